/**
 * All findings of a check in the order of reports, however many there are: what is too much for memory is sorted in runs on disk.
 */

import { Spool } from "../../core/io/spool.js";
import { firstWhere } from "../../core/search.js";
import type { Finding } from "../finding.js";
import { compareFindings } from "./report.js";

/** The number of findings that are sorted at once, which take some 25 MB. */
const RUN = 50_000;
/** The number of bytes of a run that are read, or written, at once. */
const BLOCK = 64 * 1024;
const LINE_FEED = 0x0a;

/** A sorted run in the spool, as lines of JSON. */
interface Run {
  readonly from: number;
  readonly to: number;
}

export class SortedFindings {
  readonly #spool: Spool;
  readonly #runs: Run[] = [];
  #findings: Finding[] = [];

  /**
   * Makes an empty collection.
   *
   * @param path  the path of the output, beside which the runs are kept
   * @param size  the number of findings that are kept in memory
   */
  constructor(
    path: string,
    private readonly size = RUN,
  ) {
    this.#spool = new Spool(path);
  }

  /** Adds a finding. @throws VistaError `NO_SPACE`, `IO` */
  add(finding: Finding): void {
    this.#findings.push(finding);
    if (this.#findings.length >= this.size) this.#spill();
  }

  /** Yields all findings as lines of JSON, in blocks. This is to be called once. */
  *lines(): Generator<string> {
    if (this.#runs.length === 0) return yield* this.#sorted();
    if (this.#findings.length > 0) this.#spill();
    yield* inBlocks(mergeRuns(this.#runs.map((run) => linesOf(this.#spool, run))));
  }

  close(): void {
    this.#spool.close();
  }

  /** Returns the findings in memory as lines. */
  #sorted(): Generator<string> {
    this.#findings.sort(compareFindings);
    return inBlocks(this.#findings.map((finding) => JSON.stringify(finding)));
  }

  #spill(): void {
    const from = this.#spool.size;
    for (const block of this.#sorted()) this.#spool.append(Buffer.from(block));
    this.#runs.push({ from, to: this.#spool.size });
    this.#findings = [];
  }
}

function* inBlocks(lines: Iterable<string>): Generator<string> {
  let text = "";
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < BLOCK) continue;
    yield text;
    text = "";
  }
  if (text !== "") yield text;
}

function* linesOf(spool: Spool, { from, to }: Run): Generator<string> {
  const block = Buffer.alloc(BLOCK);
  let rest = Buffer.alloc(0);
  for (let at = from; at < to; ) {
    const got = spool.read(block.subarray(0, Math.min(BLOCK, to - at)), at);
    if (got === 0) throw new Error("what was written beside the output is gone");
    at += got;
    let bytes = Buffer.concat([rest, block.subarray(0, got)]);
    for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED)) {
      yield bytes.toString("utf8", 0, end);
      bytes = bytes.subarray(end + 1);
    }
    rest = Buffer.from(bytes);
  }
}

interface Head {
  readonly finding: Finding;
  readonly line: string;
  /** The number of the run: of equal findings, those of the earlier run come first. */
  readonly run: number;
  readonly more: Iterator<string>;
}

function* mergeRuns(runs: readonly Iterator<string>[]): Generator<string> {
  const heads: Head[] = [];
  const take = (run: number, more: Iterator<string>) => {
    const next = more.next();
    if (!next.done) insert(heads, { finding: JSON.parse(next.value), line: next.value, run, more });
  };
  for (const [run, more] of runs.entries()) take(run, more);
  for (let first = heads.shift(); first !== undefined; first = heads.shift()) {
    yield first.line;
    take(first.run, first.more);
  }
}

/** Puts a head into its place, so that the heads stay in order. */
function insert(heads: Head[], head: Head): void {
  const place = firstWhere(heads.length, (at) => {
    const { finding, run } = heads[at]!;
    return (compareFindings(finding, head.finding) || run - head.run) > 0;
  });
  heads.splice(place, 0, head);
}
