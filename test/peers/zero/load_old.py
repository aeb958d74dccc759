"""Loads merged files in an old torch: prints {file: {name: [dtype, shape, SHA-256]}}.

    load_old.py            with weights_only (since 1.13)
    load_old.py mmap       with weights_only and mmap (since 2.1)
"""

import hashlib
import json
import sys

import torch


def described(tensor):
    data = tensor.detach().contiguous().reshape(-1)
    # numpy has no bfloat16; its bits are those of an int16.
    data = data.view(torch.int16) if tensor.dtype == torch.bfloat16 else data
    return [str(tensor.dtype), list(tensor.shape), hashlib.sha256(data.numpy().tobytes()).hexdigest()]


options = {"mmap": True} if "mmap" in sys.argv else {}
files = {}
for path in json.load(sys.stdin):
    state = torch.load(path, weights_only=True, **options)
    files[path] = {name: described(tensor) for name, tensor in state.items()}
print(json.dumps({"torch": torch.__version__, "files": files}))
