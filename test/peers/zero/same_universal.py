"""Converts ZeRO checkpoints with the installed ds_to_universal.py and compares the results with folders that we wrote.

Reads a JSON list [ZERO_FOLDER, OUR_FOLDER, SCRATCH] a line and prints the number of files for each; fails at the first key, tensor or
value that differs.
"""

import json
import sys
from pathlib import Path

import torch

# What DeepSpeed says is none of our answers; it takes its stream as it is loaded.
answers, sys.stdout = sys.stdout, sys.stderr

from deepspeed.checkpoint import ds_to_universal


def same(a, b, where):
    if torch.is_tensor(a) or torch.is_tensor(b):
        assert torch.is_tensor(a) and torch.is_tensor(b) and a.dtype == b.dtype and a.shape == b.shape, where
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert list(a) == list(b), (where, list(a), list(b))
        for key in a:
            same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b) and len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}[{i}]")
    elif hasattr(a, "__dict__") and not isinstance(a, type):
        assert type(a) is type(b), where
        same(vars(a), vars(b), where)
    else:
        assert type(a) is type(b) and a == b, (where, a, b)


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def compare(zero, ours, theirs):
    zero, ours, theirs = Path(zero), Path(ours), Path(theirs)
    tag = (zero / "latest").read_text()
    theirs.mkdir(parents=True)
    folders = ["--input_folder", zero / tag, "--output_folder", theirs / f"{tag}_universal"]
    options = ["--inject_missing_state", "--num_extract_workers", "1", "--num_merge_workers", "1"]
    # The script's own arguments, as from a command line.
    sys.argv = ["ds_to_universal.py", *map(str, folders), *options]
    ds_to_universal.main(ds_to_universal.parse_arguments())
    assert files(ours) == files(theirs), set(files(ours)) ^ set(files(theirs))
    for path in files(ours):
        if path.suffix == ".pt":
            load = lambda folder: torch.load(folder / path, weights_only=False)  # noqa: E731
            same(load(ours), load(theirs), str(path))
    return len(files(ours))


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(compare(*json.loads(line))), file=answers, flush=True)
