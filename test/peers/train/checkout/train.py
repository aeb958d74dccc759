"""Stands in for Vista's train.py: says what it was started with, and fails in the ways the tests ask for.

STANDIN_OUT   folder for one JSON file a rank
STANDIN_MODE  ok | light (no torch) | exit7 | killed | sleep | stubborn | fallback | oom | checkpoint | lightning
STANDIN_COPY  a checkpoint folder that rank 0 copies into the run as its last one
"""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("-b", "--base", nargs="*", default=[])
parser.add_argument("-n", "--name", type=str, const=True, default="", nargs="?")
parser.add_argument("-r", "--resume", type=str, const=True, default="", nargs="?")
parser.add_argument("--no_date", nargs="?", const=True, default=False)
parser.add_argument("-l", "--logdir", default="logs")
parser.add_argument("--finetune", default="ckpts/pytorch_model.bin")
parser.add_argument("--num_nodes", default=1)
parser.add_argument("--n_devices", type=int, default=8)
parser.add_argument("--max_epochs", default=None)
options, unknown = parser.parse_known_args()

mode = os.environ.get("STANDIN_MODE", "ok")
rank = int(os.environ.get("RANK", 0))
world = int(os.environ.get("WORLD_SIZE", 1))

if mode == "sleep":
    # A data loader of a worker; it must not outlive the run either.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

record = {
    "argv": sys.argv[1:],
    "options": vars(options),
    "unknown": unknown,
    "rank": rank,
    "world": world,
    "pid": os.getpid(),
    "env": {k: v for k, v in os.environ.items() if k.startswith(("SLURM_", "STANDIN_", "MASTER_", "LOCAL_", "NCCL_"))
            or k in ("RANK", "GROUP_RANK", "PYTHONUNBUFFERED", "TORCHELASTIC_RUN_ID")},
}
if mode == "ok" and "TORCHELASTIC_RUN_ID" in os.environ:
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    total = torch.ones(1)
    dist.all_reduce(total)
    record["sum"] = int(total.item())
    dist.barrier()
    dist.destroy_process_group()
if mode == "lightning":
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    record["detected"] = SLURMEnvironment.detect()
    if record["detected"]:
        record["slurm_rank"] = SLURMEnvironment().global_rank()
        record["slurm_world"] = SLURMEnvironment().world_size()
out = os.environ.get("STANDIN_OUT")
if out:
    path = os.path.join(out, f"rank-{rank}.json")
    with open(path + ".tmp", "w") as f:
        json.dump(record, f)
    os.replace(path + ".tmp", path)

weights = "ckpts/svd_xt.safetensors" if mode == "fallback" or not options.finetune else options.finetune
print(f"Loading pretrained model from {weights}")
print(f"rank {rank} of {world}", file=sys.stderr)

if mode == "exit7" and rank == world - 1:
    sys.exit(7)
if mode == "killed" and rank == world - 1:
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "fallback" or mode == "oom" and rank == 0:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB" if mode == "oom" else "stopped after loading")
if mode in ("sleep", "stubborn", "exit7", "killed", "oom"):
    time.sleep(300)
if os.environ.get("STANDIN_COPY") and rank == 0 and not options.resume:
    shutil.copytree(
        os.environ["STANDIN_COPY"], os.path.join(options.logdir, options.name, "checkpoints", "last.ckpt")
    )
if mode == "checkpoint":
    # One "epoch": a checkpoint, then more work than the time limit allows, until the run is resumed.
    run = options.resume or os.path.join(options.logdir, options.name)
    if rank == 0 and not options.resume:
        last = os.path.join(run, "checkpoints", "last.ckpt")
        if not os.path.isdir(last):
            os.makedirs(last)
            with open(os.path.join(last, "latest"), "w") as f:
                f.write("checkpoint")
        os.makedirs(os.path.join(run, "configs"))
    if not options.resume:
        time.sleep(300)
