"""Oracles for our safetensors output, by torch, safetensors and huggingface_hub. Reads a JSON list a line and prints a line of JSON for each.

    ["make", FOLDER]           state dicts with torch.save (zip and legacy) and their save_file
    ["digests", FILE, …]       {name: [dtype, shape, sha256]} of each file, read by the real library
    ["to16", FILE]             digests of the floats as torch rounds them to bfloat16 and float16
    ["split", FILE, PATTERN, SIZE, …]  for each size, the index that huggingface_hub would write for the file's tensors
    ["adapters", BIN, OURS]    how far the weights in OURS are from those of BIN with its adapters added in float64
"""

import hashlib
import json
import sys

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def sha(tensor):
    flat = tensor.detach().contiguous().reshape(-1)
    if flat.is_floating_point():
        # Which NaN a conversion gives depends on the machine's instructions.
        flat = torch.where(flat.isnan(), torch.full_like(flat, float("nan")), flat)
    data = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    return [str(tensor.dtype), list(tensor.shape), hashlib.sha256(data).hexdigest()]


def state_dict():
    torch.manual_seed(7)
    flat = torch.randn(1000)
    flat[3], flat[4], flat[5] = float("nan"), float("inf"), -0.0
    return {
        "view": flat[10:40].view(5, 6),
        "slice": flat[:8],
        "transposed": torch.randn(7, 3).t(),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "half": torch.randn(9).half(),
        "bfloat16": torch.randn(9).bfloat16(),
        "double": torch.randn(4).double(),
        "int": torch.arange(5),
        "bool": torch.tensor([True, False]),
        "schlüssel 日本": torch.nn.Parameter(torch.randn(2)),
        "large": torch.randn(3_000_001),
    }


def make(folder):
    state = state_dict()
    torch.save(state, f"{folder}/zip.bin")
    torch.save(state, f"{folder}/legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": state, "epoch": 1}, f"{folder}/lightning.ckpt")
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    save_file(plain, f"{folder}/reference.safetensors")
    save_file(plain, f"{folder}/reference-pt.safetensors", metadata={"format": "pt"})


def digests(*paths):
    result = []
    for path in paths:
        if path.endswith(".safetensors"):
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            assert tensors.keys() == load_file(path).keys()
        else:
            tensors = torch.load(path, weights_only=True)
        result.append({name: sha(tensor) for name, tensor in tensors.items()})
    return result


def to16(path):
    state = torch.load(path, weights_only=True)
    return [{name: sha(t.to(kind) if t.is_floating_point() else t) for name, t in state.items()} for kind in (torch.bfloat16, torch.float16)]


def split(path, pattern, *sizes):
    state = torch.load(path, weights_only=True)
    if pattern.endswith(".safetensors"):
        # That format has no tensors that share their bytes.
        state = {name: tensor.clone() for name, tensor in state.items()}
    result = []
    for size in sizes:
        plan = split_torch_state_dict_into_shards(state, filename_pattern=pattern, max_shard_size=size)
        result.append({"metadata": plan.metadata, "weight_map": plan.tensor_to_filename, "sharded": plan.is_sharded})
    return result


def adapters(path, ours_path):
    """Vista's script's LoRA step in float64, on the EMA's names, from what torch.load gives: the largest difference, of the largest weight."""
    state = torch.load(path, weights_only=True)
    ours = load_file(ours_path)
    shadow = "_forward_module.model_ema."
    worst = 0.0
    for name in ours:
        if not name.startswith("model."):
            continue
        base = shadow + name[6:].replace(".", "")
        if base not in state:
            continue
        truth = state[base].double()
        for kind, to in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("out", "to_out0")):
            down = base.replace(to + "weight", kind + "_adapter_downweight")
            if base.endswith(to + "weight") and down in state:
                truth = truth + state[down.replace("_down", "_up")].double() @ state[down].double()
        scale = truth.abs().max().item()
        if scale:
            worst = max(worst, (ours[name].double() - truth).abs().max().item() / scale)
    return worst


COMMANDS = {each.__name__: each for each in (make, digests, to16, split, adapters)}
for line in sys.stdin:
    command, *arguments = json.loads(line)
    print(json.dumps(COMMANDS[command](*arguments)), flush=True)
