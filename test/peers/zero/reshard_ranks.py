"""Real DeepSpeed on both sides of a resharding.

    reshard_ranks.py save OUT RANKS                trains every case, saves OUT/<case>/before and goes on training
    reshard_ranks.py load OUT RANKS …              loads OUT/<case>/<RANKS> on that many ranks, compares, goes on training
    reshard_ranks.py load-universal OUT RANKS …    the same with OUT/<case>/universal on so many ranks, and load_universal

The last two print JSON, by number of ranks and case. torch and DeepSpeed are loaded once: the ranks are forks of this process.

What is compared: the fp32 weights and every state of every parameter, to the bit, and the losses of three further steps with
those of the run that was never interrupted. Each step sees the same samples on any number of ranks, so that losses differ only
by the order in which floating-point numbers are added, and in 16 bits by the rounding of gradients on each rank.
"""

import json
import math
import os
import sys
from pathlib import Path

os.environ["DS_ACCELERATOR"] = "cpu"
os.environ["TORCHDYNAMO_DISABLE"] = "1"  # Muon's steps would be compiled now
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "fixtures" / "make"))

import standins
import torch
from ranks import fork_ranks

VERSION = standins.for_deepspeed()

SAMPLES = 420  # a multiple of 1, 2, 3, 4, 5 and 7
STEPS_BEFORE, STEPS_AFTER = 3, 3
TOLERANCE = {"fp32": 1e-5, "bf16": 0.03, "fp16": 0.01}
# Stage 1 of DeepSpeed 0.10.1 trains differently on each number of ranks, checkpoint or not: the same fresh run on 1, 2 and 3 ranks
# is apart by up to 4e-3 from its second step on, where stage 2 is by 1e-7. Weights and states after loading are compared to the bit.
STAGE1_OF_OLD = 5e-3


class Lion(torch.optim.Optimizer):
    """One flat state and no step."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if not self.state[p]:
                    self.state[p]["exp_avg"] = torch.zeros_like(p)
                average = self.state[p]["exp_avg"]
                p.add_(torch.sign(average * 0.9 + p.grad * 0.1), alpha=-group["lr"])
                average.mul_(0.99).add_(p.grad, alpha=0.01)


class Network(torch.nn.Module):
    """Odd sizes: one element, and fewer elements than ranks; nothing that depends on how samples are shared."""

    def __init__(self):
        super().__init__()
        self.enter = torch.nn.Linear(5, 11)
        self.frozen = torch.nn.Linear(11, 11)
        self.middle = torch.nn.ModuleList(torch.nn.Linear(11, 11, bias=i % 2 == 0) for i in range(3))
        self.leave = torch.nn.Linear(11, 1)
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, samples, wanted):
        x = torch.relu(self.frozen(self.enter(samples)))
        for layer in self.middle:
            x = torch.relu(layer(x)) + x
        return ((self.leave(x) * self.scale - wanted).float() ** 2).mean()


# Buffers of a real size are gigabytes, and most of the time of old versions is spent on filling them with zeros.
SMALL = {"stage3_param_persistence_threshold": 0, "reduce_bucket_size": 10_000, "allgather_bucket_size": 10_000}
ADAM = lambda groups: torch.optim.AdamW(groups, lr=0.01)  # noqa: E731
def muon(groups):
    from deepspeed.runtime.zero.muon.muon_optimizer import MuonWithAuxAdam

    params = [p for group in groups for p in group["params"]]
    for p in params:
        p.use_muon = p.dim() > 1
    return MuonWithAuxAdam(
        [
            {"params": [p for p in params if p.use_muon], "use_muon": True, "lr": 0.002},
            {"params": [p for p in params if not p.use_muon], "use_muon": False, "lr": 0.002},
        ]
    )


def cpu_adam(groups):
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    return DeepSpeedCPUAdam(groups, lr=0.01)


OFFLOADED = {"offload_optimizer": {"device": "cpu"}}
# DeepSpeed's own Adam is compiled at its first use, which takes minutes: these are no tests, and stand alone with CPU_ADAM=1.
CPU_ADAM = {
    "cpu-adam-stage1": dict(optimizer=cpu_adam, zero={"stage": 1}),
    "cpu-adam-stage2-groups": dict(optimizer=cpu_adam, groups=2, zero={"stage": 2, **OFFLOADED}),
    "cpu-adam-stage2-bf16": dict(optimizer=cpu_adam, precision="bf16", zero={"stage": 2, **OFFLOADED}),
    "cpu-adam-stage3": dict(optimizer=cpu_adam, zero={"stage": 3, "sub_group_size": 60, **OFFLOADED}),
}

CASES = {
    "stage2-fp32-groups-round-robin": dict(groups=3, zero={"stage": 2, "round_robin_gradients": True}),
    "stage1-fp32-groups": dict(groups=2, zero={"stage": 1}),
    "stage1-fp32-sgd": dict(
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.001, momentum=0.9), zero={"stage": 1}
    ),
    "stage2-fp32-lion": dict(optimizer=lambda groups: Lion(groups, lr=0.001), zero={"stage": 2}),
    "stage2-fp32-plain-sgd": dict(optimizer=lambda groups: torch.optim.SGD(groups, lr=0.001), zero={"stage": 2}),
    "stage2-fp32-offloaded": dict(
        zero={"stage": 2, "offload_optimizer": {"device": "cpu"}}, config={"zero_force_ds_cpu_optimizer": False}
    ),
    "stage3-fp32-sub-groups": dict(groups=2, zero={"stage": 3, "sub_group_size": 60}),
    "stage2-bf16-aligned": dict(precision="bf16", zero={"stage": 2, "parameter_alignment": True}, since=(0, 19, 8)),
    "stage2-fp16-dynamic-scale": dict(precision="fp16", zero={"stage": 2}, since=(0, 19, 8)),
    "stage1-bf16-optimizer": dict(
        precision="bf16",
        zero={"stage": 1},
        config={"data_types": {"grad_accum_dtype": "fp32"}},
        groups=2,
        since=(0, 19, 8),
    ),
    "stage2-fp32-muon-round-robin": dict(
        optimizer=muon, zero={"stage": 2, "round_robin_gradients": True}, since=(0, 19, 8)
    ),
    "stage3-bf16": dict(precision="bf16", zero={"stage": 3}, since=(0, 19, 8)),
}


# What DeepSpeed's loader of universal checkpoints takes: flat groups in their own order, and in stage 3 Adam with one param group
# (it gives every group the hyperparameters of the first).
UNIVERSAL = [
    "stage1-fp32-groups",
    "stage2-bf16-aligned",
    "stage2-fp16-dynamic-scale",
    "stage1-bf16-optimizer",
    "stage3-bf16",
]


def cases(universal):
    return {
        name: case
        for name, case in (CPU_ADAM if os.environ.get("CPU_ADAM") else CASES).items()
        if VERSION >= case.get("since", (0,)) and (not universal or name in UNIVERSAL)
    }


def start(case, ranks, universal):
    import deepspeed

    torch.manual_seed(1)
    model = Network()
    model.frozen.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    count = case.get("groups", 1)
    groups = [{"params": trained[i::count], "weight_decay": 0.01 * i} for i in range(count)]
    precision = case.get("precision", "fp32")
    modes = {"fp32": {}, "bf16": {"bf16": {"enabled": True}}, "fp16": {"fp16": {"enabled": True}}}
    if precision == "fp16":
        modes["fp16"]["fp16"]["initial_scale_power"] = 6
        deepspeed.accelerator.get_accelerator().is_fp16_supported = lambda: True
    config = {
        "train_micro_batch_size_per_gpu": SAMPLES // ranks,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {**SMALL, **case["zero"]},
        **modes[precision],
        **case.get("config", {}),
        **({"checkpoint": {"load_universal": True}} if universal else {}),
    }
    optimizer = case.get("optimizer", ADAM)(groups)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    return engine


def train(engine, case, first, steps):
    """Steps `first` on; the mean loss over all samples at each."""
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[case.get("precision", "fp32")]
    losses = []
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        samples = torch.randn(SAMPLES, 5, generator=generator)
        wanted = samples.sum(1, keepdim=True).sin()
        here = slice(rank * SAMPLES // ranks, (rank + 1) * SAMPLES // ranks)
        loss = engine(samples[here].to(dtype), wanted[here])
        engine.backward(loss)
        engine.step()
        total = loss.detach().float().clone()
        torch.distributed.all_reduce(total)
        losses.append(total.item() / ranks)
    return losses


def gathered(tensor):
    parts = [torch.zeros_like(tensor) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, tensor.detach().contiguous())
    return torch.cat(parts)


def whole_states(engine, params, state):
    """Muon's momentum, of which each rank has that of every parameter of which it holds a part."""
    held, at = {}, 0
    for param in params:
        held[engine.param_names[param]] = state["momentum_buffer"][at : at + param.numel()].clone()
        at += param.numel()
    ranks = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(ranks, held)
    return {name: momentum for of_rank in ranks for name, momentum in of_rank.items()}


def flat_optimizer(engine):
    """Weights and states by parameter from the live flat groups of ZeRO 1 and 2, in the order of the live groups."""
    zero = engine.optimizer
    bf16 = not hasattr(zero, "single_partition_of_fp32_groups")
    partitions = zero.fp32_groups_flat_partition if bf16 else zero.single_partition_of_fp32_groups
    groups = zero.bf16_groups if bf16 else zero.round_robin_bit16_groups
    result = {}
    for i, (partition, params) in enumerate(zip(partitions, groups)):
        state = zero.optimizer.state.get(partition, {})
        whole_momentum = {}
        if zero.optimizer.param_groups[i].get("use_muon"):
            whole_momentum, state = whole_states(engine, zero.params_in_partition[i], state), {}
        flats = {"fp32": partition, **{k: v for k, v in state.items() if torch.is_tensor(v) and v.dim() == 1}}
        values = {k: float(v) for k, v in state.items() if k not in flats and v is not None}
        whole = {key: gathered(flat) for key, flat in flats.items()}
        offsets = getattr(zero, "round_robin_bit16_offsets", None)
        at = 0
        for j, param in enumerate(params):
            if offsets is not None and not bf16:
                at = offsets[i][j]
            cut = {key: flat[at : at + param.numel()].clone() for key, flat in whole.items()}
            name = engine.param_names[param]
            result[name] = {**cut, **values, "lr": zero.optimizer.param_groups[i]["lr"]}
            if name in whole_momentum:
                result[name]["momentum_buffer"] = whole_momentum[name]
            at += param.numel()
    return result


def split_optimizer(engine):
    """The same from stage 3, where a parameter is on all ranks in equal parts."""
    zero = engine.optimizer
    result = {}
    for i, params in enumerate(zero.fp16_groups):
        flat = zero.fp32_partitioned_groups_flat[i]
        state = zero.optimizer.state.get(flat, {})
        flats = {"fp32": flat, **{k: v for k, v in state.items() if torch.is_tensor(v) and v.dim() == 1}}
        at = 0
        for param in params:
            part = math.ceil(param.ds_numel / torch.distributed.get_world_size())
            cut = {key: gathered(one[at : at + part])[: param.ds_numel] for key, one in flats.items()}
            step = float(state["step"]) if "step" in state else None
            result[engine.param_names[param]] = {**cut, "step": step}
            at += part
    return result


def optimizer_of(engine, case):
    return split_optimizer(engine) if case["zero"]["stage"] == 3 else flat_optimizer(engine)


def compare(case, before, after, losses):
    problems = []
    if set(before["optimizer"]) != set(after):
        problems.append(f"parameters differ: {sorted(set(before['optimizer']) ^ set(after))}")
    for name, wanted in before["optimizer"].items():
        for key, value in wanted.items():
            found = after.get(name, {}).get(key)
            same = torch.equal(value, found) if torch.is_tensor(value) else value == found
            if not same:
                problems.append(f"{name}: {key} differs")
    tolerance = TOLERANCE[case.get("precision", "fp32")]
    if VERSION < (0, 11) and case["zero"]["stage"] == 1:
        tolerance = STAGE1_OF_OLD
    worst = max(abs(a - b) / abs(b) for a, b in zip(losses, before["losses"]))
    if not worst <= tolerance:
        problems.append(f"losses {losses}, without a break {before['losses']}")
    return {"problems": problems, "loss_difference": worst, "parameters": len(after)}


def rank_main(mode, out):
    import deepspeed

    deepspeed.runtime.engine.DeepSpeedEngine._broadcast_model = lambda self: None
    deepspeed.init_distributed(dist_backend="gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    universal = mode == "load-universal"
    results = {}
    for name, case in cases(universal).items():
        engine = start(case, ranks, universal)
        folder = Path(out, name)
        if mode == "save":
            train(engine, case, 0, STEPS_BEFORE)
            engine.save_checkpoint(str(folder / "before"), client_state={"epoch": 5})
            optimizer = optimizer_of(engine, case)
            losses = train(engine, case, STEPS_BEFORE, STEPS_AFTER)
            if rank == 0:
                torch.save({"optimizer": optimizer, "losses": losses}, folder / "before.pt")
            continue
        path, client = engine.load_checkpoint(str(folder / ("universal" if universal else str(ranks))))
        assert path is not None and client["epoch"] == 5, (path, client)
        optimizer = optimizer_of(engine, case)
        losses = train(engine, case, STEPS_BEFORE, STEPS_AFTER)
        if rank == 0:
            before = torch.load(folder / "before.pt")
            results[name] = compare(case, before, optimizer, losses)
    if rank == 0 and mode != "save":
        Path(out, f"result-{mode}-{ranks}.json").write_text(json.dumps(results))


def main():
    mode, out, *numbers = sys.argv[1:]
    for ranks in map(int, numbers):
        fork_ranks(lambda: rank_main(mode, out), ranks)
    if mode != "save":
        results = {ranks: json.loads(Path(out, f"result-{mode}-{ranks}.json").read_text()) for ranks in numbers}
        print("\n" + json.dumps(results))


if __name__ == "__main__":
    main()
