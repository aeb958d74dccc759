/** A reader of the output of a training, which says at its end why it failed. */
import { StringDecoder } from "node:string_decoder";

/** The known causes of failures, each with what to do about it. */
// biome-ignore format: a cause and its explanation are a line each
const KNOWN_CAUSES: readonly (readonly [pattern: RegExp, explanation: string])[] = [
  [/CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED/,
    "A GPU ran out of memory. 576x1024 needs 80 GB; try -- data.params.target_height=320 data.params.target_width=576, and see with nvidia-smi who else is on the GPU."],
  [/Address already in use|EADDRINUSE|server socket has failed to (listen|bind)/i,
    "The port is taken, often by a training that still runs. Choose another with --rdzv-endpoint HOST:PORT or --master-port, or end the other program (`ss -ltnp`)."],
  [/NCCL WARN.*(Bootstrap|socket|Connect)|No socket interface found|ncclSystemError|ncclRemoteError|NCCL error.*unhandled system/i,
    "NCCL could not connect the GPUs. On several nodes it may have chosen the wrong network: list them with `ip -br addr` and name the right one, --env NCCL_SOCKET_IFNAME=eth0 (and --env NCCL_DEBUG=INFO to see what it does)."],
  [/Watchdog caught collective operation timeout|ProcessGroupNCCL.*timeout/i,
    "A process waited for the others until the time-out: one of them was lost or hung before. Look for the first error above; if there is none, for the data (`vista-data check`)."],
  [/RendezvousTimeoutError|RendezvousConnectionError|failed to connect to .*(TCPStore|store)|The client socket has (failed|timed out)/i,
    "The nodes did not find one another. All must be started with the same --rdzv-endpoint and number of --nodes, and reach that address and port."],
  [/Name or service not known|Temporary failure in name resolution|getaddrinfo failed/i,
    "A host name cannot be resolved. Use IP addresses: --node-rank and --master-addr, or --rdzv-endpoint with an address."],
  [/Insufficient shared memory|unable to (open|mmap) shared memory object|Bus error/i,
    "The data loaders ran out of shared memory (/dev/shm). In Docker use --shm-size=64g or --ipc=host; or lower -- data.params.num_workers=4."],
  [/No space left on device|ENOSPC|Disk quota exceeded/i,
    "The disk is full. Checkpoints are never deleted by train.py; choose another --logdir."],
  [/Cannot find (dataset|annotation) /,
    "A data set is not where Vista looks for it: see `vista-train check` and vwm/data/subsets."],
  [/cannot import name 'log' from 'torch\.distributed\.elastic/,
    "This DeepSpeed is too old for this torch: install the versions Vista pins (deepspeed==0.10.1, torch 2.0.1)."],
  [/num_nodes.*must be (an integer|a positive)|`num_nodes=.*` argument/i,
    "This Lightning is too new for Vista's train.py: pip install pytorch-lightning==2.0.1."],
];

/** The line that train.py prints before it loads weights. */
const LOADING = /^.*Loading pretrained model from (\S.*?)\s*$/;

/** The largest number of characters that are kept of a line that has not ended yet; output may go on without an end of line. */
const LINE_LIMIT = 8192;
/** The largest number of lines of torchrun's report that are kept; 128 processes have 7 lines each. */
const BLOCK_LIMIT = 1200;

/** The reasons of a failed training, as far as its output tells them. */
export interface FailureReport {
  /** The report of torchrun itself on the first failure; undefined where it made none. */
  rootCause: string[] | undefined;
  /** The known causes that were seen, with the line that shows each. */
  causes: { line: string; explanation: string }[];
}

/** The collector of what {@link FailureReport} needs from the chunks of both streams; it keeps no more than that. */
export class OutputWatch {
  readonly #rest = { stdout: "", stderr: "" };
  /** The decoders, since a character may be cut between two chunks: half a letter of a path would make it another path. */
  readonly #decoders = { stdout: new StringDecoder("utf8"), stderr: new StringDecoder("utf8") };
  readonly #causes = new Map<string, string>();
  #rootCause: string[] | undefined;
  #inBlock = false;

  /** @param expectedWeights  the path of the weights as train.py prints it; another file is reported as a cause */
  constructor(private readonly expectedWeights: string | undefined) {}

  /** The path that train.py loaded weights from, where that is not the one that it was given. */
  fallback: string | undefined;

  add(stream: "stdout" | "stderr", chunk: Buffer): void {
    const parts = (this.#rest[stream] + this.#decoders[stream].write(chunk)).split(/[\r\n]/);
    this.#rest[stream] = parts.pop()!.slice(-LINE_LIMIT);
    for (const line of parts) if (line !== "") this.#line(line);
  }

  /** Returns the report. It is to be called when both streams have ended. */
  report(): FailureReport {
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#rest[stream] !== "") this.#line(this.#rest[stream]);
      this.#rest[stream] = "";
    }
    return {
      rootCause: this.#rootCause,
      causes: [...this.#causes].map(([explanation, line]) => ({ line, explanation })),
    };
  }

  #line(line: string): void {
    if (/Root Cause \(first observed failure\)/.test(line)) {
      this.#inBlock = true;
      this.#rootCause = [];
    }
    if (this.#inBlock) {
      if (/^\s*=+\s*$/.test(line) || this.#rootCause!.length >= BLOCK_LIMIT) this.#inBlock = false;
      else this.#rootCause!.push(line);
    }
    for (const [pattern, explanation] of KNOWN_CAUSES) {
      if (!this.#causes.has(explanation) && pattern.test(line)) {
        this.#causes.set(explanation, line.trim().slice(0, 300));
      }
    }
    const loaded = LOADING.exec(line)?.[1];
    if (loaded !== undefined && this.expectedWeights !== undefined && loaded !== this.expectedWeights) {
      this.fallback = loaded;
      this.#causes.set(
        `train.py did not load ${this.expectedWeights} but ${loaded}, in silence: the first was not there when it looked, on this node or another.`,
        line.trim().slice(0, 300),
      );
    }
  }
}
