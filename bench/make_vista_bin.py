"""A pytorch_model.bin shaped like Vista's phase 2: attention layers with LoRA adapters, their EMA shadows, the prefix.

Usage: make_vista_bin.py --gb 1 --out FILE
"""

import argparse

import torch

PREFIX = "_forward_module."


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gb", type=float, default=1)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    torch.manual_seed(0)
    state = {PREFIX + "model_ema.decay": torch.tensor(0.9999), PREFIX + "model_ema.num_updates": torch.tensor(3.0)}
    size = 0
    layer = 0
    while size < options.gb * 1e9:
        # Three widths, as in the network's levels; a wide feed-forward takes most of the bytes, as there.
        width = (320, 640, 1280)[layer % 3]
        tensors = {"ff.net.0.proj.weight": torch.randn(8 * width, width), "ff.net.2.weight": torch.randn(width, 4 * width)}
        for kind, base in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("out", "to_out.0")):
            tensors[f"attn1.{base}.weight"] = torch.randn(width, width)
            tensors[f"attn1.{kind}_adapter_down.weight"] = torch.randn(16, width) / 16
            tensors[f"attn1.{kind}_adapter_up.weight"] = torch.randn(width, 16) / 100
        for name, tensor in tensors.items():
            name = f"diffusion_model.blocks.{layer}.{name}"
            state[f"{PREFIX}model.{name}"] = tensor
            state[f"{PREFIX}model_ema.{name.replace('.', '')}"] = tensor + 0.001
            size += 2 * tensor.nbytes
        layer += 1
    torch.save(state, options.out)


main()
