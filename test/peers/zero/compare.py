"""Compares merged files with the reference: reads a JSON list of {"checkpoint", "output"} from stdin, prints one too.

For each pair it loads the output with weights_only, with and without mmap, runs DeepSpeed's own zero_to_fp32 on the
checkpoint, and says in `problems` where names, order, dtypes, shapes, bytes or sharing differ. `reference_error` is set
where the reference itself fails; then, and for tensors that it lacks, the live network that the checkpoint's `truth.pt`
holds is what is compared with.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

os.environ["DS_ACCELERATOR"] = "cpu"

import torch
from deepspeed.utils import zero_to_fp32


def raw(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else torch.zeros(0)


def differences(name, ours, theirs):
    if ours.dtype != theirs.dtype:
        yield f"{name}: dtype {ours.dtype}, not {theirs.dtype}"
    elif ours.shape != theirs.shape:
        yield f"{name}: shape {tuple(ours.shape)}, not {tuple(theirs.shape)}"
    elif not torch.equal(raw(ours), raw(theirs)):
        yield f"{name}: other bytes"


def shared(state, key):
    """Groups of names that stand for one tensor, those without elements aside."""
    groups = {}
    for name, tensor in state.items():
        if tensor.numel():
            groups.setdefault(key(tensor), []).append(name)
    return sorted(sorted(names) for names in groups.values() if len(names) > 1)


def reference(checkpoint):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        state = zero_to_fp32.get_fp32_state_dict_from_zero_checkpoint(checkpoint)
    # In stage 3 they are gathered only now.
    gathered = {}
    for tensor in state.values():
        gathered.setdefault(id(tensor), tensor if isinstance(tensor, torch.Tensor) else tensor.contiguous())
    return {name: gathered[id(tensor)] for name, tensor in state.items()}


def as_recovered(tensor):
    """16-bit floats that are taken from `module` become fp32; everything else keeps its type."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


WRAPPER = "_checkpoint_wrapped_module."


def check(checkpoint, output):
    ours = torch.load(output, weights_only=True)
    problems = []
    mapped = torch.load(output, weights_only=True, mmap=True)
    for name in ours:
        problems += (f"mmap: {line}" for line in differences(name, mapped[name], ours[name]))
    result = {"tensors": len(ours), "recovered": 0, "problems": problems}
    try:
        theirs = reference(checkpoint)
    except Exception as error:  # whatever the reference does with it
        result["reference_error"] = f"{type(error).__name__}: {error}"
        theirs = {}
    names = list(ours)
    if names[: len(theirs)] != list(theirs):
        problems.append(f"names or order differ from the reference: {names[:5]} …, not {list(theirs)[:5]} …")
    for name, tensor in theirs.items():
        if name in ours:
            problems += differences(name, ours[name], tensor)
    truth_file = Path(checkpoint, "truth.pt")
    if truth_file.exists():
        truth = torch.load(truth_file)
        missing = [name for name in truth if name not in theirs]
        result["recovered"] = len(missing)
        for name in missing:
            renamed = [other for other in theirs if other.replace(WRAPPER, "") == name]
            if name in ours and renamed:
                # A second name of what the reference has under a wrapper's name, whatever type it has there.
                problems += differences(name, ours[name], theirs[renamed[0]])
            elif name in ours:
                problems += differences(name, ours[name], as_recovered(truth[name]))
            else:
                problems.append(f"{name}: not recovered")
        problems += (f"{name}: not in the network" for name in ours if name.replace(WRAPPER, "") not in truth)
    if not problems and theirs:
        ours_shared = shared({name: ours[name] for name in theirs}, lambda tensor: tensor.untyped_storage().data_ptr())
        if ours_shared != shared(theirs, id):
            problems.append(f"shared storages {ours_shared}, not {shared(theirs, id)}")
    return result


if __name__ == "__main__":
    print(json.dumps([check(**pair) for pair in json.load(sys.stdin)]))
