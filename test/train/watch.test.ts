import { expect, test } from "vitest";
import { OutputWatch } from "../../src/train/run/watch.js";

/** torchrun's report as torch 2.x prints it. */
const REPORT = `============================================================
train.py FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-22_17:23:51
  host      : node1
  rank      : 0 (local_rank: 0)
  exitcode  : -15 (pid: 22360)  (SIGTERM)
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-22_17:23:51
  host      : node2
  rank      : 9 (local_rank: 1)
  exitcode  : 7 (pid: 22361)
  error_file: <N/A>
============================================================
`;

function watch(text: string, expected?: string, size = 7) {
  const output = new OutputWatch(expected);
  const bytes = Buffer.from(text);
  for (let i = 0; i < bytes.length; i += size) output.add("stderr", bytes.subarray(i, i + size));
  return { ...output.report(), fallback: output.fallback };
}

test("a path whose letters are cut between chunks stays that path", () => {
  for (const size of [1, 2, 3, 5]) {
    const text = "Loading pretrained model from /données/文字/🚗.bin\n";
    expect(watch(text, "/données/文字/🚗.bin", size)).toMatchObject({ causes: [], fallback: undefined });
  }
});

test("torchrun's root cause block, whatever the chunks", () => {
  for (const size of [1, 7, 100_000]) {
    const { rootCause, causes } = watch(`some text\n${REPORT}after\n`, undefined, size);
    expect(rootCause?.[0]).toBe("Root Cause (first observed failure):");
    expect(rootCause?.at(-1)).toBe("  error_file: <N/A>");
    expect(rootCause).toHaveLength(7);
    expect(causes).toEqual([]);
  }
});

test.each([
  [
    "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.05 GiB (GPU 0; 79.15 GiB total",
    "ran out of memory",
  ],
  ["node1:42:42 [0] bootstrap.cc:45 NCCL WARN Bootstrap : no socket interface found", "NCCL_SOCKET_IFNAME"],
  [
    "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1275, unhandled system error, NCCL version 2.14.3",
    "NCCL_SOCKET_IFNAME",
  ],
  [
    "RuntimeError: The server socket has failed to listen on any local network address. The server socket has failed to bind to [::]:29500 (errno: 98 - Address already in use).",
    "The port is taken",
  ],
  ["torch.distributed.elastic.rendezvous.api.RendezvousTimeoutError", "did not find one another"],
  ["socket.gaierror: [Errno -2] Name or service not known", "cannot be resolved"],
  [
    "[E ProcessGroupNCCL.cpp:475] [Rank 3] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=12",
    "was lost",
  ],
  [
    "RuntimeError: DataLoader worker (pid 99) is killed by signal: Bus error. It is possible",
    "shared memory",
  ],
  ["OSError: [Errno 28] No space left on device", "disk is full"],
  [
    "ImportError: cannot import name 'log' from 'torch.distributed.elastic.agent.server.api'",
    "DeepSpeed is too old",
  ],
  ["ValueError: Cannot find dataset data/nuscenes", "not where Vista looks"],
])("a known cause: %s", (line, explanation) => {
  const { causes } = watch(`before\n${line}\nafter\n${line}\n`);
  expect(causes).toHaveLength(1);
  expect(causes[0]!.line).toBe(line);
  expect(causes[0]!.explanation).toContain(explanation);
});

test("ordinary output has no cause", () => {
  const text = `Epoch 0:  10%|█         | 10/100 [00:10<01:30,  1.00s/it, loss=0.13]\rEpoch 0:  11%|
NCCL version 2.14.3+cuda11.7
NCCL INFO Bootstrap : Using eth0:10.0.0.1<0>
[rank0]: nvidia-smi out of the way, memory 80 GB
Loading pretrained model from ckpts/svd_xt.safetensors
`;
  expect(watch(text, "ckpts/svd_xt.safetensors")).toEqual({
    rootCause: undefined,
    causes: [],
    fallback: undefined,
  });
});

test("weights other than those asked for are a cause", () => {
  const output = watch(
    "Loading pretrained model from ckpts/svd_xt.safetensors\n",
    "/runs/p1/pytorch_model.bin",
  );
  expect(output.fallback).toBe("ckpts/svd_xt.safetensors");
  expect(output.causes[0]!.explanation).toContain("did not load /runs/p1/pytorch_model.bin");
});

test("a line without end does not fill the memory", () => {
  const output = new OutputWatch(undefined);
  for (let i = 0; i < 2000; i++) output.add("stdout", Buffer.alloc(65_536, "x"));
  output.add("stdout", Buffer.from("\nCUDA out of memory\n"));
  expect(output.report().causes).toHaveLength(1);
});
