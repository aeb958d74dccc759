/** Worker threads, with a module of their own over the built files: what crosses over, and how they end. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { livePartials } from "../../../src/core/io/live-partials.js";
import { runWorker, TaskThread } from "../../../src/core/io/worker.js";

let folder: string;
let entry: URL;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "vista-worker-"));
  const file = join(folder, "entry.mjs");
  const dist = (name: string) => JSON.stringify(pathToFileURL(join(process.cwd(), "dist", name)).href);
  writeFileSync(
    file,
    `import { mkdirSync, readFileSync } from "node:fs";
    import { livePartials } from ${dist("core/io/live-partials.js")};
    import { VistaError } from ${dist("core/errors.js")};
    import { serveTasks } from ${dist("core/io/worker.js")};
    serveTasks(async (task, send, signal) => {
      if (task.startsWith("leave")) {
        const path = task.slice(6);
        mkdirSync(path);
        livePartials.set(path, "1-a-b");
        send({ kind: "number", value: 0 });
        await new Promise((sent) => setTimeout(sent, 20));
        process.exit(3);
      }
      if (task === "until stopped") {
        send({ kind: "number", value: 0 });
        await new Promise((stopped) => signal.addEventListener("abort", stopped));
        throw new VistaError("ABORTED", "stopped by " + signal.reason);
      }
      if (task === "count") for (let i = 0; i < 3; i++) send({ kind: "number", value: i });
      if (task === "ours") throw new VistaError("FORMAT", "is bent", { path: "a.json", hint: "Mend it." });
      if (task === "system") readFileSync("/no/such/file");
      if (task === "bug") null.length;
      if (task === "exit") process.exit(3);
      if (task === "busy") { send({ kind: "number", value: 0 }); for (;;); }
    });`,
  );
  entry = pathToFileURL(file);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Message = { kind: "number"; value: number };

describe("a thread", () => {
  it("runs tasks one after the other, and goes on after an error", async () => {
    const thread = new TaskThread<string, Message>(entry, undefined);
    const got: number[] = [];
    const take = ({ value }: Message) => void got.push(value);
    try {
      await thread.run("count", take);
      await expect(thread.run("ours", take)).rejects.toMatchObject({
        name: "VistaError",
        code: "FORMAT",
        message: "a.json: is bent",
        where: { path: "a.json" },
        hint: "Mend it.",
        stack: expect.stringContaining("entry.mjs"),
      });
      await expect(thread.run("system", take)).rejects.toMatchObject({
        code: "ENOENT",
        syscall: "open",
        message: expect.stringContaining("/no/such/file"),
      });
      await thread.run("count", take);
      expect(got).toEqual([0, 1, 2, 0, 1, 2]);
    } finally {
      await thread.close();
    }
  });

  it("dies of a bug, with its message", async () => {
    await expect(runWorker(entry, "bug", undefined, () => {})).rejects.toThrow(TypeError);
  });

  it("that ends without an error event is an error of the task it had, and of every later one", async () => {
    const thread = new TaskThread<string, Message>(entry, undefined);
    await expect(thread.run("exit", () => {})).rejects.toThrow(/ended with code 3/);
    await expect(thread.run("count", () => {})).rejects.toThrow(/ended with code 3/);
    await thread.close();
  });

  it("that unwinds is told the reason to stop, and its own error is the one that counts", async () => {
    const controller = new AbortController();
    const stop = () => controller.abort("SIGTERM");
    const run = runWorker(entry, "until stopped", controller.signal, stop, { unwinds: true });
    await expect(run).rejects.toMatchObject({ code: "ABORTED", message: "stopped by SIGTERM" });
  });

  it("whose end clears nothing (it ran out of its heap) leaves nothing of what it was writing", async () => {
    const path = join(folder, ".out.1-a-b.partial");
    const seen: boolean[] = [];
    const onMessage = () => void seen.push(existsSync(path), livePartials.has(path));
    await expect(runWorker(entry, `leave ${path}`, undefined, onMessage)).rejects.toThrow(/code 3/);
    expect(seen).toEqual([true, true]);
    expect([existsSync(path), livePartials.has(path)]).toEqual([false, false]);
  });

  it("ends when asked to, in the middle of a computation", async () => {
    const controller = new AbortController();
    // Left alone, it would never end.
    const run = runWorker<string, Message>(entry, "busy", controller.signal, () => controller.abort());
    await expect(run).rejects.toMatchObject({ code: "ABORTED" });
    await expect(runWorker(entry, "count", controller.signal, () => {})).rejects.toMatchObject({
      code: "ABORTED",
    });
  });
});
