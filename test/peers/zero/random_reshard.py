"""Random networks, optimizers and ways to share them, resharded from N ranks to M, with real DeepSpeed on both sides.

    random_reshard.py save OUT SEED FIRST COUNT    trains cases FIRST on, saves OUT/<case>/before and goes on training
    random_reshard.py load OUT SEED FIRST COUNT    loads OUT/<case>/after on as many ranks as that is for, compares, goes on training
    random_reshard.py unite OUT SEED FIRST COUNT   ds_to_universal.py's form of OUT/<case>/before against OUT/<case>/universal

Every case is told by its number and the seed; OUT/<case>/case.json says what it is. `load` and `unite` print JSON by case. What is
compared is what reshard_ranks.py compares.
"""

import json
import os
import random
import sys
import traceback
from pathlib import Path

os.environ["DS_ACCELERATOR"] = "cpu"

import reshard_ranks as fixed
import torch
from ranks import fork_ranks

VERSION = fixed.VERSION
# With these learning rates stage 1 of 0.10.1 is further from the same run on other ranks (5e-3 was seen, with states equal to the bit).
fixed.STAGE1_OF_OLD = 0.02
STEPS = fixed.STEPS_BEFORE, 2


def random_case(seed, number):
    dice = random.Random(f"{seed} {number}")
    chance = lambda p: dice.random() < p  # noqa: E731
    stage = dice.choice([1, 1, 2, 2, 2, 3, 3, 3])
    # In old versions networks in 16 bits do not train on a CPU.
    precision = dice.choice(["fp32", "fp32", "bf16", "bf16", "fp16"]) if VERSION >= (0, 19) else "fp32"
    # DeepSpeed itself fails on 0-dim and zero-sized parameters in stage 3, old versions on zero-sized ones anywhere.
    odd = [[], [1], [0], [3, 0]] if stage < 3 and VERSION >= (0, 19) else [[], [1]] if stage < 3 else [[1]]
    parameters = []
    for _ in range(dice.choice([1, 2, 5, 12, 30])):
        shape = dice.choice(odd) if chance(0.15) else [dice.choice([1, 2, 3, 5, 8, 11, 17]) for _ in range(dice.randint(1, 3))]
        role = "frozen" if chance(0.15) else "orphan" if chance(0.1) and stage < 3 else "trained"
        parameters.append({"shape": shape, "role": role, "shared": chance(0.1), "group": dice.randrange(4)})
    zero = {"stage": stage}
    if stage == 3:
        zero["sub_group_size"] = dice.choice([1_000_000, 300, 60, 7])
    else:
        zero["round_robin_gradients"] = stage == 2 and chance(0.4) or chance(0.15)
        if VERSION >= (0, 19, 8):
            zero["parameter_alignment"] = chance(0.4)
    config = {}
    if stage == 1 and precision == "bf16" and chance(0.5):
        config["data_types"] = {"grad_accum_dtype": "fp32"}
        zero["round_robin_gradients"] = False
    if chance(0.25) and "data_types" not in config:
        zero["offload_optimizer"] = {"device": "cpu"}
        config["zero_force_ds_cpu_optimizer"] = False
    if chance(0.15):
        config["checkpoint"] = {"checkpoint_serialization": False}
    if chance(0.3):
        config["gradient_clipping"] = 0.5
    optimizers = ["Adam", "Adam", "AdamW-amsgrad", "SGD", "SGD-momentum", "Lion", "RMSprop", "Adagrad"]
    if VERSION >= (0, 19):
        # Others' states, and options that change when gradients and parameters move, but not what is saved of them.
        optimizers += ["SGD-nesterov", "RAdam", "Adamax", "Adadelta"]
        zero["contiguous_gradients"] = chance(0.7)
        if stage == 3 and chance(0.3):
            zero["offload_param"] = {"device": "cpu"}
        if stage == 3 and chance(0.3):
            zero["stage3_param_persistence_threshold"] = dice.choice([4, 20, 100_000])
    case = {
        "ranks": dice.choice([1, 2, 3, 4, 5]),
        "ranks_after": dice.choice([1, 2, 3, 4, 5, 7]),
        "precision": precision,
        "parameters": parameters,
        "groups": dice.choice([1, 1, 2, 3]),
        "optimizer": dice.choice(optimizers),
        "dynamic": chance(0.5),
        "zero": zero,
        "config": config,
    }
    # In stage 3 DeepSpeed makes Adagrad anew and then refuses checkpoints that it has saved itself: "loaded state dict contains
    # a parameter group that doesn't match the size of optimizer's group".
    if stage == 3 and case["optimizer"] == "Adagrad":
        case["optimizer"] = "RMSprop"
    return case


class Network(torch.nn.Module):
    """Any parameters: each is multiplied with features of the sample, and all products are added up."""

    def __init__(self, case):
        super().__init__()
        for i, what in enumerate(case["parameters"]):
            shape = what["shape"]
            value = torch.randn(shape, generator=torch.Generator().manual_seed(100 + i)) * 0.3
            parameter = torch.nn.Parameter(value, requires_grad=what["role"] != "frozen")
            # In a module of its own, so that a second name can be one of another module.
            setattr(self, f"part{i}", torch.nn.ParameterDict({"weight": parameter}))
            if what["shared"]:
                setattr(self, f"tied{i}", torch.nn.ParameterDict({"weight": parameter}))
        self.last = torch.nn.Linear(5, 1)
        self.register_buffer("count", torch.arange(3))
        self.register_buffer("scale", torch.full((2,), 0.5))

    def forward(self, samples, wanted):
        out = self.last(samples)
        for i in range(sum(name.startswith("part") for name, _ in self.named_children())):
            for name in (f"part{i}", f"tied{i}"):
                if not hasattr(self, name):
                    continue
                weight = getattr(self, name)["weight"].reshape(-1)
                mix = torch.randn(5, weight.numel(), generator=torch.Generator().manual_seed(i)).to(samples.dtype)
                out = out + (torch.tanh(samples @ mix) * weight).sum(1, keepdim=True) / (1 + weight.numel()) ** 0.5
        return ((out - wanted).float() ** 2).mean()


def groups_of(model, case):
    groups = [[] for _ in range(case["groups"])]
    groups[0] += list(model.last.parameters())
    for i, what in enumerate(case["parameters"]):
        if what["role"] == "trained":
            groups[what["group"] % len(groups)].append(getattr(model, f"part{i}")["weight"])
    # DeepSpeed demands something to train of every group.
    return [
        {"params": group, "lr": 0.002 * (i + 1), "weight_decay": 0.01 * i}
        for i, group in enumerate(groups)
        if any(p.numel() for p in group)
    ]


OPTIMIZERS = {
    "Adam": torch.optim.AdamW,
    "AdamW-amsgrad": lambda groups: torch.optim.AdamW(groups, amsgrad=True),
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.01),
    "SGD-momentum": lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9),
    "Lion": lambda groups: fixed.Lion(groups, lr=0.01),
    "SGD-nesterov": lambda groups: torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True),
    "RAdam": torch.optim.RAdam,
    "Adamax": torch.optim.Adamax,
    "Adadelta": torch.optim.Adadelta,
    "RMSprop": torch.optim.RMSprop,
    "Adagrad": torch.optim.Adagrad,
}


def start(case, ranks):
    import deepspeed

    torch.manual_seed(1)
    model = Network(case)
    precision = case["precision"]
    modes = {"fp32": {}, "bf16": {"bf16": {"enabled": True}}, "fp16": {"fp16": {"enabled": True}}}
    if precision == "fp16":
        modes["fp16"]["fp16"].update({"initial_scale_power": 6} if case["dynamic"] else {"loss_scale": 64})
        deepspeed.accelerator.get_accelerator().is_fp16_supported = lambda: True
    config = {
        "train_micro_batch_size_per_gpu": fixed.SAMPLES // ranks,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {**fixed.SMALL, **case["zero"]},
        **modes[precision],
        **case["config"],
    }
    optimizer = OPTIMIZERS[case["optimizer"]](groups_of(model, case))
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    return engine


def module_of(engine):
    return {k: v.clone() for k, v in engine.module.state_dict().items() if v.numel() and not hasattr(v, "ds_id")}


def one_case(mode, case, folder, ranks):
    engine = start(case, ranks)
    if mode == "save":
        fixed.train(engine, case, 0, STEPS[0])
        engine.save_checkpoint(str(folder / "before"), client_state={"epoch": 5})
        optimizer, module = fixed.optimizer_of(engine, case), module_of(engine)
        losses = fixed.train(engine, case, *STEPS)
        if torch.distributed.get_rank() == 0:
            torch.save({"optimizer": optimizer, "losses": losses, "module": module}, folder / "before.pt")
        return {"problems": []}
    path, client = engine.load_checkpoint(str(folder / "after"))
    assert path is not None and client["epoch"] == 5, (path, client)
    optimizer, module = fixed.optimizer_of(engine, case), module_of(engine)
    losses = fixed.train(engine, case, *STEPS)
    before = torch.load(folder / "before.pt")
    result = fixed.compare(case, before, optimizer, losses)
    if case["zero"]["stage"] < 3:
        result["problems"] += [f"{k}: other weights" for k, v in before["module"].items() if not torch.equal(v, module[k])]
    return result


def rank_main(mode, out, first, cases, ranks):
    import deepspeed

    deepspeed.runtime.engine.DeepSpeedEngine._broadcast_model = lambda self: None
    deepspeed.init_distributed(dist_backend="gloo")
    results = {}
    for name, case in cases.items():
        folder = Path(out, name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "case.json").write_text(json.dumps(case))
        try:
            results[name] = one_case(mode, case, folder, ranks)
        except Exception:
            results[name] = {"failed": traceback.format_exc()[-1500:]}
        Path(out, f"{mode}-{first}-{ranks}-{torch.distributed.get_rank()}.json").write_text(json.dumps(results))


def unite(out, cases):
    import same_universal

    results = {}
    for name in cases:
        folder = Path(out, name)
        if (folder / "universal").exists():
            try:
                results[name] = {"files": same_universal.compare(folder / "before", folder / "universal", folder / "theirs")}
            except BaseException:
                results[name] = {"failed": traceback.format_exc()[-1500:]}
    return results


def main():
    mode, out, seed, first, count = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    cases = {f"{seed}-{i}": random_case(seed, i) for i in range(first, first + count)}
    if mode == "unite":
        results = unite(out, cases)
    else:
        results = {}
        of_mode = "ranks" if mode == "save" else "ranks_after"
        here = {name: case for name, case in cases.items() if mode == "save" or Path(out, name, "after").exists()}
        for ranks in sorted({case[of_mode] for case in here.values()}):
            mine = {name: case for name, case in here.items() if case[of_mode] == ranks}
            try:
                fork_ranks(lambda: rank_main(mode, out, first, mine, ranks), ranks)
            except SystemExit as error:
                print(f"{ranks} ranks: {error}", file=sys.stderr)
            results.update(json.loads(Path(out, f"{mode}-{first}-{ranks}-0.json").read_text()))
    print("\n" + json.dumps(results))


if __name__ == "__main__":
    main()
