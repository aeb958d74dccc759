"""The 12 Hz tables by the rules in docs/annotations.md, with nuscenes-devkit, numpy and pyquaternion, compared with those in a folder.

Reads a JSON list of [ROOT, VERSION, FOLDER] from stdin, where FOLDER is the version's name of the 12 Hz tables, which the devkit opens too.
Prints for each how many rows were compared; an assertion says what differs.
"""
import json
import sys

import numpy as np
from nuscenes.nuscenes import NuScenes
from pyquaternion import Quaternion

N = 6


class Expected:
    def __init__(self, nusc):
        self.nusc = nusc
        self.tables = {"sample": {}, "sample_annotation": {}, "sample_data": {}}
        for sample in nusc.sample:
            self.sample(sample)
        for row in nusc.sample_data:
            if row["is_key_frame"]:
                self.sample_data(row)

    def put(self, table, row):
        assert row["token"] not in self.tables[table], row["token"]
        self.tables[table][row["token"]] = row

    def boxes(self, token):
        if token == "":
            return {}
        rows = [self.nusc.get("sample_annotation", t) for t in self.nusc.get("sample", token)["anns"]]
        return {row["instance_token"]: row for row in rows}

    def sample(self, s):
        own = {k: s[k] for k in ("token", "timestamp", "scene_token", "prev", "next")}
        before, after = self.boxes(s["prev"]), self.boxes(s["next"])
        for box in self.boxes(s["token"]).values():
            box = {k: v for k, v in box.items() if k != "category_name"}
            if box["instance_token"] in before:
                box["prev"] += "5"
            if box["instance_token"] in after:
                box["next"] = box["token"] + "1"
            self.put("sample_annotation", box)
        if s["next"] == "":
            self.put("sample", {**own, "prev": s["prev"] + "5"})
            return
        t0, t1 = s["timestamp"], self.nusc.get("sample", s["next"])["timestamp"]
        tokens = [s["token"]] + [s["token"] + str(k) for k in range(1, N)] + [s["next"]]
        self.put("sample", {**own, "prev": s["prev"] and s["prev"] + "5", "next": tokens[1]})
        for k in range(1, N):
            t = t0 + k / N * (t1 - t0)
            self.put("sample", {**own, "token": tokens[k], "timestamp": t, "prev": tokens[k - 1], "next": tokens[k + 1]})
            for box in self.boxes(s["token"]).values():
                other = after.get(box["instance_token"])
                if other is None:
                    continue
                names = [box["token"]] + [box["token"] + str(i) for i in range(1, N)] + [box["next"]]
                turn = Quaternion.slerp(Quaternion(box["rotation"]), Quaternion(other["rotation"]), (t - t0) / (t1 - t0))
                row = {key: value for key, value in box.items() if key != "category_name"}
                row.update(
                    token=names[k],
                    sample_token=tokens[k],
                    prev=names[k - 1],
                    next=names[k + 1],
                    translation=[np.interp(t, [t0, t1], pair) for pair in zip(box["translation"], other["translation"])],
                    rotation=list(turn.elements),
                )
                self.put("sample_annotation", row)

    def sample_data(self, row):
        row = {key: value for key, value in row.items() if key not in ("sensor_modality", "channel")}
        sample = self.nusc.get("sample", row["sample_token"])
        if sample["next"] == "":
            self.put("sample_data", {**row, "prev": row["prev"] + "5"})
            return
        self.put("sample_data", {**row, "next": row["token"] + "1"})
        t1 = self.nusc.get("sample", sample["next"])["timestamp"]
        shown = row
        for k in range(1, N):
            if shown["next"] != "" and not self.nusc.get("sample_data", shown["next"])["is_key_frame"]:
                shown = self.nusc.get("sample_data", shown["next"])
            token = row["token"] + str(k)
            self.put(
                "sample_data",
                {
                    **row,
                    "token": token,
                    "sample_token": row["sample_token"] + str(k),
                    "prev": token + str(k - 1),
                    "next": row["next"] if k == N - 1 else token + str(k + 1),
                    "timestamp": row["timestamp"] + k / N * (t1 - row["timestamp"]),
                    **{key: shown[key] for key in ("ego_pose_token", "calibrated_sensor_token", "filename")},
                    "is_key_frame": True,
                },
            )


def same(ours, theirs):
    if isinstance(ours, float) or isinstance(theirs, float):
        return abs(ours - theirs) <= 1e-9
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(same(a, b) for a, b in zip(ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


def compared(root, version, folder):
    expected = Expected(NuScenes(version=version, dataroot=root, verbose=False)).tables
    counts = {}
    for table, rows in expected.items():
        with open(f"{root}/{folder}/{table}.json") as file:
            made = json.load(file)
        counts[table] = len(made)
        assert len(made) == len(rows), (table, len(made), len(rows))
        for row in made:
            other = rows[row["token"]]
            assert row.keys() == other.keys(), (table, row, other)
            for key, value in row.items():
                assert same(value, other[key]), (table, row["token"], key, value, other[key])

    # The devkit opens them, and finds the boxes and the pictures of each sample.
    opened = NuScenes(version=folder, dataroot=root, verbose=False)
    opened.get("sample", opened.sample[1]["token"])
    counts["anns"] = sum(len(sample["anns"]) for sample in opened.sample)
    counts["pictures"] = sum("CAM_FRONT" in sample["data"] for sample in opened.sample)
    return counts


print("RESULT" + json.dumps([compared(*one) for one in json.load(sys.stdin)]))
