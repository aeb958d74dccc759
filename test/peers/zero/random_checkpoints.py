"""Saves random checkpoints with real DeepSpeed: random_checkpoints.py OUT SEED COUNT, a folder `<ranks>ranks-<i>` each.

All checkpoints of one number of ranks come from the same processes, forks of this one, which has loaded torch and DeepSpeed: that
takes longer than training.
"""

import json
import os
import random
import sys
from pathlib import Path

os.environ["DS_ACCELERATOR"] = "cpu"
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "fixtures" / "make"))

WORLDS = [2, 3]


def random_case(dice, ranks, seed):
    import networks
    from cases import Case

    stage = dice.choice([0, 1, 2, 2, 3, 3])
    precision = dice.choice(["fp32", "fp32", "bf16", "fp16"])
    # DeepSpeed itself fails on 0-dim and zero-sized parameters in stage 3, and on 0-dim gradients in stage 0.
    options = {"seed": seed, "odd_sizes": stage in (1, 2)}
    options["wrapped"] = dice.choice([0, 0, 0, 1, 3])
    # DeepSpeed itself fails on parameters that are not contiguous in stage 3.
    options["strided"] = stage in (1, 2) and dice.random() < 0.3
    parts = ["part0", "part1", "part2", "part3"]
    dice.shuffle(parts)
    # Never everything, and nothing of the part that always has a group of its own.
    def some(first):
        names = [(f"part{dice.randint(first, 3)}", f"weight{i}") for i in range(25) if dice.random() < 0.15]
        return tuple(f"{part}.{inside}{name}" for part, name in names for inside in ("", "_checkpoint_wrapped_module."))

    frozen = some(1)
    orphans = some(0)
    return Case(
        stage,
        ranks,
        networks.Random,
        options,
        precision=precision,
        groups=[[part] for part in parts[: dice.randint(1, 4)]],
        frozen=frozen if dice.random() < 0.5 else (),
        orphans=orphans if stage in (1, 2) and dice.random() < 0.4 else (),
        tag=dice.choice([None, "checkpoint", "best model"]),
        steps=1,
        # Each of DeepSpeed's ways to cut a group into partitions pads it differently.
        zero={
            "round_robin_gradients": dice.random() < 0.3,
            "sub_group_size": dice.choice([1_000_000, 200]),
            "parameter_alignment": stage in (1, 2) and dice.random() < 0.4,
        },
        config={"gradient_clipping": 0.0},
    )


def trainable(case):
    """Whether each of the case's param groups has something to train, as DeepSpeed demands."""
    import worker

    model = case.network(**case.options)
    for name, parameter in model.named_parameters():
        if worker.starts(name, case.frozen):
            parameter.requires_grad_(False)
    return all(any(p.numel() for p in group["params"]) for group in worker.param_groups(model, case))


def rank_main(out, seed, count):
    import dataclasses

    import torch
    import worker

    worker.join()
    ranks = torch.distributed.get_world_size()
    for i in range(count):
        dice = random.Random(f"{seed} {ranks} {i}")
        case = random_case(dice, ranks, dice.randrange(2**31))
        while not trainable(case):
            case = random_case(dice, ranks, dice.randrange(2**31))
        folder = Path(out, f"{ranks}ranks-{i}")
        if torch.distributed.get_rank() == 0:
            folder.mkdir(parents=True)
            told = {**dataclasses.asdict(case), "network": case.network.__name__}
            Path(folder, "case.json").write_text(json.dumps(told))
        torch.distributed.barrier()
        worker.save(case, str(folder), seed)


def main():
    import worker  # noqa: F401  loads torch and DeepSpeed
    from ranks import fork_ranks

    out, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    for ranks in WORLDS:
        fork_ranks(lambda: rank_main(out, seed, count), ranks)


if __name__ == "__main__":
    main()
