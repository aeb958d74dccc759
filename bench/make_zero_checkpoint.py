"""Makes a ZeRO-2 or ZeRO-3 checkpoint of a given size, as DeepSpeed would save it, without training anything.

    make_zero_checkpoint.py --out DIR [--gb 1] [--ranks 4] [--stage 2] [--narrow 1] [--no-moments] [--sparse]

The files are torch.save of dicts with DeepSpeed's own keys and types: a real one of 4 GB would need 64 GB of memory to
train. The model's shapes are those of a diffusion network: many small tensors, most bytes in a few hundred large ones.
`--gb` is the size of the merged result. --sparse writes weights of zeros as holes, for sizes that no disk should hold:
those files' CRCs are not computed (torch's own option), so that nothing has to be read. --narrow divides every layer's width:
as many tensors, with fewer bytes. In stage 3 all ranks have the same values: their files are one, copied.

Runs with torch and DeepSpeed (.venv-peers/zero); memory: one rank's shard.
"""

import argparse
import os
import shutil
import sys
from collections import OrderedDict
from pathlib import Path

os.environ["DS_ACCELERATOR"] = "cpu"

import torch
from deepspeed.runtime.fp16.loss_scaler import LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from deepspeed.utils.tensor_fragment import fragment_address

TAG = "checkpoint"
PREFIX = "_forward_module.model.diffusion_model."


def shapes_of(total, narrow):
    """Names and shapes of about `total` elements: blocks of a convolution, attention and feed-forward layers."""
    shapes = OrderedDict()
    left = total
    block = 0
    while left > 0:
        width = 1280 if left > 60_000_000 else 320 if left > 4_000_000 else 32
        name = f"{PREFIX}blocks.{block}"
        for layer, shape in {
            "norm.weight": (width,),
            "norm.bias": (width,),
            "conv.weight": (width, width, 3, 3),
            "conv.bias": (width,),
            "attn.to_q.weight": (width, width),
            "attn.to_k.weight": (width, width),
            "attn.to_v.weight": (width, width),
            "attn.to_out.0.weight": (width, width),
            "attn.to_out.0.bias": (width,),
            "ff.net.0.proj.weight": (8 * width, width),
            "ff.net.2.weight": (width, 4 * width),
            "mix_factor": (1,),
        }.items():
            shapes[f"{name}.{layer}"] = torch.Size(shape)
            left -= shapes[f"{name}.{layer}"].numel()
        block += 1
    if narrow == 1:
        return shapes
    return OrderedDict((name, torch.Size(n if n < 9 else n // narrow for n in shape)) for name, shape in shapes.items())


def slice_mapping(shapes, start, size):
    """What of each parameter lies in a partition, as DeepSpeed links them."""
    mapping = OrderedDict()
    at = -start
    for name, shape in shapes.items():
        first, last = max(at, 0), min(at + shape.numel(), size)
        if first < last:
            mapping[name] = fragment_address(numel=last - first, start=first)
        at += shape.numel()
    return mapping


def optimizer_state(rank, ranks, partition, padding, moments, mapping):
    state = {
        "loss_scaler": LossScaler(1.0),
        "dynamic_loss_scale": False,
        "overflow": False,
        "clip_grad": 0.3,
        "base_optimizer_state": {
            "state": {0: {"step": torch.tensor(1000.0), "exp_avg": moments[0], "exp_avg_sq": moments[1]}},
            "param_groups": [{"lr": 1e-5, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "params": [0]}],
        },
        "single_partition_of_fp32_groups": [partition],
        "zero_stage": ZeroStageEnum.gradients,
        "group_paddings": [padding if rank == ranks - 1 else 0],
        "partition_count": [ranks],
        "ds_version": "0.10.1",
        "param_slice_mappings": [mapping],
    }
    return {"optimizer_state_dict": state, "ds_config": {"zero_optimization": {"stage": 2}}, "ds_version": "0.10.1"}


def model_state(shapes, ranks):
    """`module` holds bf16 weights here, as a mixed-precision run leaves them; a merge of stage 2 reads none of them."""
    module = OrderedDict((name, torch.zeros(shape, dtype=torch.bfloat16)) for name, shape in shapes.items())
    return {
        "module": module,
        "buffer_names": [],
        "optimizer": None,
        "param_shapes": [shapes],
        "frozen_param_shapes": None,
        "shared_params": {},
        "frozen_param_fragments": None,
        "lr_scheduler": None,
        "data_sampler": None,
        "random_ltd": None,
        "sparse_tensor_module_names": set(),
        "skipped_steps": 0,
        "global_steps": 1000,
        "global_samples": 1000 * ranks,
        "dp_world_size": ranks,
        "mp_world_size": 1,
        "ds_config": {"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": 1},
        "ds_version": "0.10.1",
    }


def split_state(size, ranks):
    """A rank's shard in stage 3, with values that every rank may have."""
    fp32, *moments = (torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    group = {"lr": 1e-5, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "params": [0]}
    state = {"step": torch.tensor(1000.0), "exp_avg": moments[0], "exp_avg_sq": moments[1]}
    return {
        "optimizer_state_dict": {
            "zero_stage": ZeroStageEnum.weights,
            "loss_scaler": LossScaler(1.0),
            "dynamic_loss_scale": False,
            "overflow": False,
            "partition_count": ranks,
            "optimizer_state_dict": {"state": {0: state}, "param_groups": [group]},
            "fp32_flat_groups": [fp32],
        },
        "ds_config": {"zero_optimization": {"stage": 3}},
        "ds_version": "0.10.1",
    }


def make_stage3(folder, shapes, ranks, save):
    """Each parameter is cut into equal parts, and `module` has nothing but their names."""
    model = model_state(shapes, ranks)
    model["module"] = OrderedDict((name, torch.zeros(0, dtype=torch.bfloat16)) for name in shapes)
    model["ds_config"] = {"zero_optimization": {"stage": 3}, "train_micro_batch_size_per_gpu": 1}
    size = sum(-(-shape.numel() // ranks) for shape in shapes.values())
    files = {"model_states.pt": model, "optim_states.pt": split_state(size, ranks)}
    for kind, state in files.items():
        first = folder / f"zero_pp_rank_0_mp_rank_00_{kind}"
        save(state, first.name)
        for rank in range(1, ranks):
            shutil.copy(first, folder / f"zero_pp_rank_{rank}_mp_rank_00_{kind}")


def make_sparse(path):
    """Punches holes where the file's blocks are zeros."""
    holed = path.with_suffix(".holed")
    with open(path, "rb") as source, open(holed, "wb") as target:
        while block := source.read(1 << 20):
            if block.count(0) == len(block):
                target.seek(len(block), os.SEEK_CUR)
            else:
                target.write(block)
        target.truncate(source.tell())
    holed.replace(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--stage", type=int, choices=(2, 3), default=2)
    parser.add_argument("--narrow", type=int, default=1)
    parser.add_argument("--no-moments", action="store_true", help="leave out the optimizer's moments: a third of the size")
    parser.add_argument("--sparse", action="store_true")
    options = parser.parse_args()

    shapes = shapes_of(round(options.gb * 1e9 / 4), options.narrow)
    total = sum(shape.numel() for shape in shapes.values())
    # As 0.10.1 pads: to a multiple of twice the ranks, and the last rank's padding is not saved.
    align = 2 * options.ranks
    padded = (total + align - 1) // align * align
    share = padded // options.ranks
    folder = options.out / TAG
    shutil.rmtree(options.out, ignore_errors=True)
    folder.mkdir(parents=True)
    (options.out / "latest").write_text(TAG)
    if options.sparse:
        torch.serialization.set_crc32_options(False)

    def save(value, name):
        torch.save(value, folder / name)
        if options.sparse:
            make_sparse(folder / name)

    if options.stage == 3:
        make_stage3(folder, shapes, options.ranks, save)
        return
    save(model_state(shapes, options.ranks), "mp_rank_00_model_states.pt")
    generator = torch.Generator().manual_seed(7)
    for rank in range(options.ranks):
        numel = share if rank < options.ranks - 1 else total - share * (options.ranks - 1)
        partition = torch.zeros(numel)
        if not options.sparse:
            partition.normal_(generator=generator)
        # The moments are saved with the padding.
        moments = (torch.zeros(0), torch.zeros(0)) if options.no_moments else (torch.zeros(share), torch.zeros(share))
        if not options.sparse and not options.no_moments:
            for moment in moments:
                moment[:numel].normal_(generator=generator)
        mapping = slice_mapping(shapes, rank * share, share)
        state = optimizer_state(rank, options.ranks, partition, padded - total, moments, mapping)
        save(state, f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
        del partition, moments, state
    print(f"{options.out}: {len(shapes)} tensors, {total * 4 / 1e9:.3f} GB when merged", file=sys.stderr)


if __name__ == "__main__":
    main()
