"""Opens and loads each image named on stdin, as Vista's loader does, and prints a JSON list of errors (null: none)."""

import json
import sys

from PIL import Image

verdicts = []
for path in json.load(sys.stdin):
    try:
        with Image.open(path) as image:
            image.load()
        verdicts.append(None)
    except Exception as error:
        verdicts.append(f"{type(error).__name__}: {error}")
json.dump(verdicts, sys.stdout)
