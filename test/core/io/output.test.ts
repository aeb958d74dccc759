/** Outputs that are whole or absent: one file, several that belong together, and what dead processes left of either. */
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import {
  AtomicFile,
  commitTogether,
  prepareOutput,
  writeAtomically,
  writeWhole,
} from "../../../src/core/io/output.js";
import { commitPath, newToken, partialPath } from "../../../src/core/io/partial-names.js";
import { temporaryFolder } from "../../helpers/state.js";

/** The token of a process of this machine that has ended. */
const dead = () => newToken().replace(/^\d+/, String(spawnSync("true").pid));
const elsewhere = () => newToken().replace(/-[^-]+-/, "-othermachine-");
const fsync = false;

let folder: string;
const at = (name: string) => join(folder, name);
const put = (name: string, text: string) => writeFileSync(at(name), text);
const text = (name: string) => readFileSync(at(name), "utf8");
const names = () => readdirSync(folder).sort();
const leave = (name: string, token: string, kind: "partial" | "old", content = "left") =>
  writeFileSync(partialPath(at(name), token, kind), content);

beforeEach(() => {
  folder = temporaryFolder();
});

describe("partial files", () => {
  it("of dead processes are cleared by the next run to the same output, and no others", async () => {
    leave("a.bin", dead(), "partial");
    leave("a.bin", dead(), "partial");
    leave("a.bin", elsewhere(), "partial");
    leave("b.bin", dead(), "partial");
    put(".a.bin.partial", "mine");
    put(".a.bin.notes.partial", "mine");
    const living = await AtomicFile.create(at("a.bin"), { fsync });
    await writeWhole(at("a.bin"), "new", { fsync });
    expect(names().filter((name) => !name.includes("othermachine"))).toEqual(
      [
        ".a.bin.notes.partial",
        ".a.bin.partial",
        living.temporary.slice(folder.length + 1),
        names().find((name) => name.startsWith(".b.bin."))!,
        "a.bin",
      ].sort(),
    );
    expect(names().filter((name) => name.includes("othermachine")).length).toBe(1);
    await living.discard();
  });

  it("of another machine are cleared when nothing was written to them for a day", async () => {
    const token = elsewhere();
    leave("a.bin", token, "partial");
    const yesterday = Date.now() / 1000 - 25 * 3600;
    utimesSync(partialPath(at("a.bin"), token, "partial"), yesterday, yesterday);
    await writeWhole(at("a.bin"), "new", { fsync });
    expect(names()).toEqual(["a.bin"]);
  });

  it("of a process with this one's number that is not this one are cleared", async () => {
    leave("a.bin", newToken(), "partial");
    await writeWhole(at("a.bin"), "new", { fsync });
    expect(names()).toEqual(["a.bin"]);
  });

  it("beside the file behind a symbolic link are cleared, and the link stays a link", async () => {
    mkdirSync(at("disk"));
    put("disk/a.bin", "old");
    symlinkSync("disk/a.bin", at("a.bin"));
    leave("disk/a.bin", dead(), "partial");
    await writeWhole(at("a.bin"), "new", { fsync, force: true });
    expect([names(), readdirSync(at("disk")), text("disk/a.bin")]).toEqual([
      ["a.bin", "disk"],
      ["a.bin"],
      "new",
    ]);
  });
});

describe("several files that belong together", () => {
  const three = ["one", "two", "seal"];
  const open = (options: object, content = "new") =>
    Promise.all(
      three.map(async (name) => {
        const file = await AtomicFile.create(at(name), { fsync, ...options });
        await file.write(`${content} ${name}`);
        return file;
      }),
    );
  const all = () => three.map(text);

  it("appear all, also over an older set whose surplus goes, and leave nothing else", async () => {
    await commitTogether(await open({}));
    expect([names(), all()]).toEqual([[...three].sort(), ["new one", "new two", "new seal"]]);
    put("three", "old");
    await commitTogether(await open({ force: true }, "newer"), [at("three")]);
    expect([names(), all()]).toEqual([[...three].sort(), ["newer one", "newer two", "newer seal"]]);
  });

  it("appear none where one of them cannot, and what was replaced is back", async () => {
    put("one", "old one");
    put("seal", "old seal");
    const files = await open({ force: true });
    mkdirSync(at("two"));
    await expect(commitTogether(files)).rejects.toMatchObject({ name: "VistaError" });
    rmSync(at("two"), { recursive: true });
    expect([names(), text("one"), text("seal")]).toEqual([["one", "seal"], "old one", "old seal"]);
  });

  it("appear none where one of the names was taken in the meantime", async () => {
    const files = await open({});
    put("two", "another's");
    await expect(commitTogether(files)).rejects.toMatchObject({ code: "EXISTS" });
    expect([names(), text("two")]).toEqual([["two"], "another's"]);
  });

  it("a stop before they have their names leaves none", async () => {
    const controller = new AbortController();
    const files = await open({ signal: controller.signal, fsync: true });
    controller.abort();
    await expect(commitTogether(files)).rejects.toMatchObject({ code: "ABORTED" });
    expect(names()).toEqual([]);
  });

  const identity = (name: string) => {
    const { dev, ino, size, mtimeNs } = statSync(at(name), { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}`;
  };
  /** As a process leaves it that dies after it has replaced one of two shards and before the seal. */
  const dieHalfWay = (token: string, replaced: boolean) => {
    leave("one", token, "partial", "new one");
    leave("two", token, "partial", "new two");
    leave("seal", token, "partial", "new seal");
    const base = (name: string, kind: "partial" | "old") => partialPath(name, token, kind);
    const files = three.map((name) => ({
      path: name,
      identity: identity(base(name, "partial")),
      old: base(name, "old"),
    }));
    writeFileSync(commitPath(at("seal")), JSON.stringify({ token, files }));
    const rename = (from: string, to: string) => spawnSync("mv", [at(from), at(to)]);
    if (replaced) {
      for (const name of three) put(name, `old ${name}`);
      rename("seal", base("seal", "old"));
      rename("one", base("one", "old"));
    }
    rename(base("one", "partial"), "one");
  };
  const belongs = (name: string) => three.includes(name);

  it("the next run puts back what a process that died among the names had begun to replace", async () => {
    dieHalfWay(dead(), true);
    expect(text("one")).toBe("new one");
    await expect(prepareOutput(at("seal"), 0, {}, belongs)).rejects.toMatchObject({ code: "EXISTS" });
    expect([names(), all()]).toEqual([[...three].sort(), ["old one", "old two", "old seal"]]);
  });

  it("the next run takes away what such a process had put where nothing was", async () => {
    dieHalfWay(dead(), false);
    await prepareOutput(at("seal"), 0, {}, belongs);
    expect(names()).toEqual([]);
  });

  it("a run to one of such files alone, which is not the seal, puts the others back too", async () => {
    dieHalfWay(dead(), true);
    await prepareOutput(at("one"), 0, { force: true });
    const seen = names().filter((name) => !name.startsWith("."));
    expect([seen, all()]).toEqual([[...three].sort(), ["old one", "old two", "old seal"]]);
  });

  it.each([
    ["another file as the one that was replaced", { old: "payload" }],
    ["a file outside as the one that was replaced", { old: "../payload" }],
    ["no text", { old: 1 }],
  ])("a note that comes with a folder and names %s is no note", async (_, wrong) => {
    mkdirSync(at("home"));
    mkdirSync(at("home/x"));
    for (const name of ["home/payload", "home/x/payload"]) put(name, "evil");
    put("home/rc", "mine");
    const token = dead();
    const files = ["../rc", "seal"].map((path) => ({ path, identity: "1:2:3:4", ...wrong }));
    writeFileSync(commitPath(at("home/x/seal")), JSON.stringify({ token, files }));
    await prepareOutput(at("home/x/seal"), 0, { force: true });
    expect(text("home/rc")).toBe("mine");
    expect(readdirSync(at("home")).sort()).toEqual(["payload", "rc", "x"]);
  });

  it.each([
    "null",
    "{}",
    '{"token":"1-a-b"}',
    '{"token":"1-a-b","files":[null]}',
    "{",
    '{"token":{},"files":[]}',
  ])("a note %s is no note", async (note) => {
    writeFileSync(commitPath(at("seal")), note);
    await writeWhole(at("seal"), "new", { fsync });
    expect(text("seal")).toBe("new");
  });

  it("a user's file that has taken the place of a dead run's is left", async () => {
    dieHalfWay(dead(), false);
    put("one", "a user's");
    await prepareOutput(at("seal"), 0, {}, belongs);
    expect([names(), text("one")]).toEqual([["one"], "a user's"]);
  });

  it("a dead run whose files all have their names is only cleaned up behind", async () => {
    const token = dead();
    dieHalfWay(token, true);
    for (const name of ["two", "seal"]) spawnSync("mv", [partialPath(at(name), token, "partial"), at(name)]);
    await prepareOutput(at("seal"), 0, { force: true }, belongs);
    expect([names(), all()]).toEqual([[...three].sort(), ["new one", "new two", "new seal"]]);
  });

  it("two runs at once: each waits for the other's names, and one whole set remains", async () => {
    const runs = ["a", "b", "c", "d"].map(async (content) =>
      commitTogether(await open({ force: true }, content)),
    );
    await Promise.all(runs);
    const winner = text("seal")[0];
    expect([names(), all()]).toEqual([[...three].sort(), three.map((name) => `${winner} ${name}`)]);
  });

  it("a stop is heard while another run gives its names", async () => {
    const token = newToken().replace(/^\d+/, String(process.ppid));
    dieHalfWay(token, false);
    const controller = new AbortController();
    const files = await open({ force: true, signal: controller.signal });
    const committing = commitTogether(files);
    setTimeout(() => controller.abort(), 20);
    await expect(committing).rejects.toMatchObject({ code: "ABORTED" });
    expect(text("one")).toBe("new one");
  });
});

describe("faults of the system are errors with the path and a way out", () => {
  it.each(["ENOSPC", "EFBIG", "EDQUOT", "EIO", "EROFS", "EMFILE"])("%s while writing", async (code) => {
    const error = Object.assign(new Error(code), { code, syscall: "write" });
    const writing = writeAtomically(at("a.bin"), 0, { fsync }, () => Promise.reject(error));
    await expect(writing).rejects.toMatchObject({
      code: expect.stringMatching(/^(NO_SPACE|IO)$/),
      where: { path: at("a.bin") },
      hint: expect.any(String),
    });
    expect(names()).toEqual([]);
  });

  it("a stop while the disk is waited for is heard at once", async () => {
    const controller = new AbortController();
    const file = await AtomicFile.create(at("a.bin"), { signal: controller.signal });
    // A sync that never ends.
    Object.defineProperty(file.handle, "sync", { value: () => new Promise(() => {}) });
    const committing = file.commit();
    controller.abort();
    await expect(committing).rejects.toMatchObject({ code: "ABORTED" });
    expect(names()).toEqual([]);
  });

  it("a sync that fails leaves the old file", async () => {
    put("a.bin", "old");
    const file = await AtomicFile.create(at("a.bin"), { force: true });
    const error = Object.assign(new Error("EIO"), { code: "EIO", syscall: "fsync" });
    Object.defineProperty(file.handle, "sync", { value: () => Promise.reject(error) });
    await expect(file.commit()).rejects.toMatchObject({ code: "IO", where: { path: at("a.bin") } });
    expect([names(), text("a.bin")]).toEqual([["a.bin"], "old"]);
  });
});
