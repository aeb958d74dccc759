"""Turns OpenDV's sheet (CSV) into JSON with pandas: the way of DriveAGI's script, so that its quirks (bare NaN, floats
where a column has blanks, \\u escapes) are pandas' own."""

import json
import sys

import numpy
import pandas

NAMES = {
    "train / val": "split",
    "mini / full set": "subset",
    "nation or area (inferred by gpt)": "area",
    "state, province, or city (inferred by gpt and refined by human)": "state",
    "discarded length at the begininning (second)": "start_discard",
    "discarded length at the ending (second)": "end_discard",
}

table = pandas.read_csv(sys.argv[1])
rows = []
for number in range(len(table)):
    row = {}
    for column in table.keys():
        name = NAMES.get(column.lower(), column.lower())
        value = table[column][number]
        if name == "state":
            value = "N/A" if str(value) == "nan" else str(value)
        if isinstance(value, numpy.integer):
            value = int(value)
        row[name] = value
    seconds = 0
    for part in row["duration"].split(":"):
        seconds = seconds * 60 + int(part)
    row["length"] = seconds
    rows.append(row)
with open(sys.argv[2], "w") as file:
    json.dump(rows, file, indent=4, ensure_ascii=True)
