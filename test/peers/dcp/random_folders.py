"""Saves random distributed checkpoints with real torch on gloo: random_folders.py OUT SEED COUNT.

Each is a folder `OUT/<ranks>ranks-<i>` and, beside it, `<ranks>ranks-<i>.safetensors`: what torch's own `dcp_to_torch` and
`save_file` make of it (of the safetensors form, which that converter does not read, the tensors before they were sharded).
The first name in `<ranks>ranks-<i>.json` says which form and mesh it has. The ranks are forks of this process, which has loaded torch.
"""

import itertools
import json
import random
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "fixtures" / "make"))

MESHES = {2: [(2,), (1, 2)], 3: [(3,), (3, 1)], 4: [(4,), (2, 2), (1, 2, 2)]}
DTYPES = "float32 float32 bfloat16 float16 float64 int8 int16 int32 int64 uint8 bool float8_e4m3fn float8_e5m2".split()


def random_tensor(dice, forms):
    """Of 0 to 4 dimensions, some of them of no length, others longer than there are ranks; values are random bytes."""
    import torch

    dtype = getattr(torch, dice.choice(DTYPES if forms != "safetensors" else DTYPES[:9]))
    shape = [dice.choice([0, 1, 1, 2, 3, 4, 5, 7, 9, 16]) for _ in range(dice.choice([0, 1, 1, 2, 2, 2, 3, 4]))]
    if forms == "safetensors":
        shape = [max(size, 1) for size in shape] or [1]
    count = 1
    for size in shape:
        count *= size
    data = bytearray(dice.randbytes(count * dtype.itemsize))
    if dtype is torch.bool:
        data = bytearray(byte & 1 for byte in data)
    flat = torch.frombuffer(data, dtype=dtype) if count else torch.empty(0, dtype=dtype)
    return flat.reshape(shape)


def place(value, mesh, placements):
    """What `distribute_tensor` makes of it, without sending anything, since gloo does not send every dtype."""
    from torch.distributed.tensor import DTensor, Shard

    local = value
    for dimension, placement in enumerate(placements):
        if not isinstance(placement, Shard):
            continue
        parts = local.chunk(mesh.size(dimension), placement.dim)
        mine = mesh.get_coordinate()[dimension]
        local = parts[mine] if mine < len(parts) else local.narrow(placement.dim, 0, 0)
    return DTensor.from_local(
        local.clone(), mesh, placements, run_check=False, shape=value.shape, stride=value.stride()
    )


def random_state(dice, mesh, forms):
    """The dict to save and, by name, the same tensors whole."""
    import torch
    from torch.distributed.tensor import Replicate, Shard

    whole, model = {}, {}
    for i in range(dice.randint(1, 25)):
        name = ".".join(dice.choice(["layer", "block", "wéight", "a b", "0"]) for _ in range(dice.randint(1, 3))) + f".{i}"
        value = random_tensor(dice, forms)
        if forms != "safetensors" and value.ndim > 1 and dice.random() < 0.2:
            # As channels_last and transposed weights are: saved with strides of their own.
            value = value.transpose(0, -1).contiguous().transpose(0, -1)
        whole[name] = value
        if dice.random() < 0.2:
            model[name] = value
            continue
        choose = lambda: Replicate() if value.ndim == 0 or dice.random() < 0.3 else Shard(dice.randrange(value.ndim))
        model[name] = place(value, mesh, [choose() for _ in range(mesh.ndim)])
    if forms != "nested":
        return model if forms == "safetensors" else {**model, "step": 7, "name": "x"}, whole
    moments = {f"exp_avg.{i}": torch.full((3,), float(i)) for i in range(3)}
    return {"model": model, "scheduler": {"last_lr": [0.1], "rates": {}}, "other": {"exp": list(moments)}, "step": 7}, whole


def save(state, folder, forms, dice):
    import torch.distributed.checkpoint as dcp

    if forms == "safetensors":
        writer = dcp.HuggingFaceStorageWriter(path=str(folder), save_distributed=True)
    else:
        single, threads = dice.random() < 0.5, dice.choice([1, 3])
        writer = dcp.FileSystemWriter(str(folder), single_file_per_rank=single, thread_count=threads, sync_files=False)
    dcp.save(state, storage_writer=writer)


def expectation(folder, whole, forms):
    import torch
    from safetensors.torch import save_file
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    tensors = whole
    if forms != "safetensors":
        converted_file = folder.with_suffix(".pt")
        dcp_to_torch_save(str(folder), str(converted_file))
        converted = torch.load(converted_file, weights_only=False)
        converted_file.unlink()
        tensors = {n: v for n, v in converted.get("model", converted).items() if isinstance(v, torch.Tensor)}
        assert tensors.keys() == whole.keys()
    save_file({name: value.contiguous() for name, value in tensors.items()}, str(folder.with_suffix(".safetensors")))


def rank_main(out, seed, count):
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    dist.init_process_group("gloo")
    ranks = dist.get_world_size()
    meshes = [init_device_mesh("cpu", shape) for shape in MESHES[ranks]]
    for i, mesh in zip(range(count), itertools.cycle(meshes)):
        dice = random.Random(f"{seed} {ranks} {i}")
        forms = dice.choice(["flat", "flat", "nested", "safetensors"])
        folder = Path(out, f"{ranks}ranks-{i}")
        if dist.get_rank() == 0:
            folder.mkdir(parents=True)
        dist.barrier()
        state, whole = random_state(dice, mesh, forms)
        save(state, folder, forms, dice)
        dist.barrier()
        if dist.get_rank() == 0:
            expectation(folder, whole, forms)
            folder.with_suffix(".json").write_text(json.dumps([forms, list(mesh.shape), len(whole)]))
    dist.barrier()
    dist.destroy_process_group()


def main():
    import safetensors.torch  # noqa: F401
    import torch.distributed.checkpoint  # noqa: F401
    import torch.distributed.tensor  # noqa: F401
    from ranks import fork_ranks

    out, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for ranks in MESHES:
        fork_ranks(lambda: rank_main(out, seed, count), ranks)


if __name__ == "__main__":
    main()
