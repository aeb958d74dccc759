"""Converts a ZeRO checkpoint with the installed ds_to_universal.py and compares the result with a folder that we wrote.

    same_universal.py ZERO_FOLDER OUR_FOLDER SCRATCH

Prints the number of files; fails at the first key, tensor or value that differs.
"""

import subprocess
import sys
from pathlib import Path

import torch


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


zero, ours, theirs = (Path(argument) for argument in sys.argv[1:])
tag = (zero / "latest").read_text()
theirs.mkdir(parents=True)
folders = ["--input_folder", zero / tag, "--output_folder", theirs / f"{tag}_universal"]
options = ["--inject_missing_state", "--num_extract_workers", "1", "--num_merge_workers", "1"]
subprocess.run(
    [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", *folders, *options],
    check=True,
    stdout=subprocess.DEVNULL,
)
assert files(ours) == files(theirs), set(files(ours)) ^ set(files(theirs))
for path in files(ours):
    if path.suffix == ".pt":
        load = lambda folder: torch.load(folder / path, weights_only=False)  # noqa: E731
        same(load(ours), load(theirs), str(path))
print("files:", len(files(ours)))
