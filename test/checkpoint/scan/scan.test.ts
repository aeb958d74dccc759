/**
 * The scanner against files that passed by other scanners (fixtures/make/scan_files.py says what each is), and against
 * everything real that lies in fixtures/, in which nothing may be found.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { scanPaths } from "../../../src/checkpoint/scan/scan.js";
import { isKnownGlobal } from "../../../src/checkpoint/torch/known-globals.js";
import { runCli } from "../../helpers/cli.js";
import { temporaryFolder } from "../../helpers/state.js";
import { FakeTensor, legacyTorch, zip } from "../../helpers/torch-file.js";

const FIXTURES = join(import.meta.dirname, "../../../fixtures");
const BAD = join(FIXTURES, "scan/bad");
const GOOD = join(FIXTURES, "scan/good");

/** A finding that must be there; where a file is not listed, it must be that `os.system` is named. */
const EXPECTED: Record<string, [rule: string, text: RegExp]> = {
  "bytes-between-records.pt": ["contradiction", /byteorder: 48 bytes before it belong to no record/],
  "calls-what-a-call-gave.pkl": ["odd-operation", /calls something that is no named class/],
  "changes-a-known-class.pkl": ["odd-operation", /sets attributes of torch\.Tensor itself/],
  "compressed-by-gzip.pkl": ["not-understood", /68 bytes/],
  "compressed-by-zlib.pkl": ["not-understood", /56 bytes/],
  "distributed-hidden-bytes": ["contradiction", /48 bytes at the end belong to no item/],
  "dotted-below-a-known-class.pkl": ["unknown-global", /builtins\.dict\.get/],
  "dotted-below-a-known-module.pkl": ["unknown-global", /torch\.Tensor\.__reduce_ex__/],
  "dotted-module.pkl": ["unknown-global", /numpy\.core\._internal\.sys\.modules/],
  "extension-registry.pkl": ["unparsed", /EXT/],
  "flag-in-the-directory-only.pt": ["contradiction", /encrypted/],
  "legacy-with-bytes-behind-it.pt": ["contradiction", /72 bytes behind the pickles, its storages need 24/],
  "more-nesting-than-is-read.pkl": ["unparsed", /nested more than/],
  "names-a-submodule.pkl": ["unknown-global", /asyncio\.unix_events\._UnixSubprocessTransport\._start/],
  "names-getattr.pkl": ["unknown-global", /builtins\.getattr/],
  "names-imaplib.pkl": ["unknown-global", /imaplib\.IMAP4_stream/],
  "names-methodcaller.pkl": ["unknown-global", /operator\.methodcaller/],
  "names-numpy-runstring.pkl": ["unknown-global", /numpy\.testing\._private\.utils\.runstring/],
  "names-partial.pkl": ["unknown-global", /functools\.partial/],
  "names-pip-inside.pkl": ["unknown-global", /pip\._internal\.main/],
  "names-pip.pkl": ["unknown-global", /pip\.main/],
  "names-profile.pkl": ["unknown-global", /cProfile\.runctx/],
  "names-pydoc.pkl": ["unknown-global", /pydoc\.pipepager/],
  "names-python-2.pkl": ["unknown-global", /builtins\.eval/],
  "names-runpy.pkl": ["unknown-global", /runpy\._run_code/],
  "names-spawn.pkl": ["unknown-global", /multiprocessing\.util\.spawnv_passfds/],
  "names-timeit.pkl": ["unknown-global", /timeit\.timeit/],
  "names-torch-collect-env.pkl": ["unknown-global", /torch\.utils\.collect_env\.run/],
  "names-torch-config.pkl": ["unknown-global", /torch\.utils\._config_module/],
  "names-torch-jit.pkl": ["unknown-global", /torch\.jit\.unsupported_tensor_ops\.execWrapper/],
  "names-torch-load.pkl": ["unknown-global", /torch\.serialization\.load/],
  "names-uuid-command.pkl": ["unknown-global", /uuid\._get_command_stdout/],
  "names-webbrowser.pkl": ["unknown-global", /webbrowser\.open/],
  "other-method-in-the-local-header.pt": [
    "contradiction",
    /the method is 8 in the local header, 0 in the directory/,
  ],
  "other-name-in-the-local-header.pt": [
    "contradiction",
    /its name is archive\/data2\.pkl in the local header/,
  ],
  "pickle-with-a-zip-behind-it.bin": ["contradiction", /ends as a zip does and does not begin as one/],
  "safetensors-with-a-pickle-behind-it.safetensors": [
    "contradiction",
    /its tensors end at 16, there are 64 bytes/,
  ],
  "seven-zip.pt": ["not-understood", /begin with "7z/],
  "storage-longer-than-the-pickle-says.pt": ["contradiction", /a storage of 16 bytes, the pickle says 12/],
  "torchscript-code.pt": ["program", /TorchScript code/],
  "zip-with-bytes-before-it.pt": ["contradiction", /ends as a zip does and does not begin as one/],
};

/** Findings as the command shows them. */
async function found(path: string): Promise<string[]> {
  const { findings, clean } = await scanPaths([path]);
  expect(clean).toBe(findings.length === 0);
  return findings.map(
    ({ rule, record, message }) => `${rule}: ${record === undefined ? "" : `${record}: `}${message}`,
  );
}

describe("files that pass by scanners", () => {
  const names = readdirSync(BAD);

  it("are all there", () => {
    expect(names.length).toBeGreaterThan(70);
    expect(Object.keys(EXPECTED).filter((name) => !names.includes(name))).toEqual([]);
  });

  it.each(names)("%s", async (name) => {
    const [rule, text] = EXPECTED[name] ?? ["unknown-global", /names os\.system/];
    const findings = await found(join(BAD, name));
    expect(findings.filter((line) => line.startsWith(`${rule}: `) && text.test(line))).not.toEqual([]);
    expect(existsSync("executed-by-a-pickle")).toBe(false);
  });
});

describe("nothing is found", () => {
  it.each([
    "weights.pt",
    "weights-legacy.pt",
    "weights.safetensors",
    "numbers.npy",
    "numbers.npz",
    "distributed",
    "",
  ])("in good/%s", async (name) => {
    expect(await found(join(GOOD, name))).toEqual([]);
  });

  it("in the checkpoints of real DeepSpeed, but for the objects that one of them was made with", async () => {
    const { files, findings } = await scanPaths([join(FIXTURES, "zero")]);
    expect(files.length).toBeGreaterThan(300);
    const others = findings.filter(({ path }) => !path.includes("client-state"));
    expect(others).toEqual([]);
    expect(findings.some(({ message }) => /odd_objects\./.test(message))).toBe(true);
  });

  it.each([1, 4])(
    "in a legacy file of pickle protocol %i, whose magic number is spelt otherwise",
    async (protocol) => {
      expect(await found(join(FIXTURES, "torch", `protocol-${protocol}-legacy.pt`))).toEqual([]);
    },
  );

  it("in a legacy file with a quantised storage, nor in one path that is given as text", async () => {
    const path = join(temporaryFolder(), "q.pt");
    const values = new FakeTensor(new Uint8Array(4), [1], { storageClass: "QInt32Storage" });
    writeFileSync(path, legacyTorch(new Map([["w", values]])));
    expect(await scanPaths(path)).toMatchObject({ clean: true, files: [{ path, kind: "legacy torch" }] });
  });

  it("in torch's files of every kind of tensor", async () => {
    const folder = join(FIXTURES, "torch");
    const plain = readdirSync(folder).filter((name) => !/^lightning|^repacked|expected/.test(name));
    const { files, findings } = await scanPaths(plain.map((name) => join(folder, name)));
    expect(files.length).toBe(plain.length);
    // A class of the script that made them.
    const others = findings.filter(({ message }) => message !== "names __main__.Named");
    expect(others).toEqual([]);
    expect(findings).toHaveLength(2);
  });
});

it("a name is known as a whole, under the module that torch names", () => {
  const known = (module: string, qualname: string) => isKnownGlobal({ module, qualname });
  expect(known("torch", "BFloat16Storage")).toBe(true);
  expect(known("torch.cuda", "HalfStorage")).toBe(true);
  expect(known("__builtin__", "set")).toBe(true);
  // What Python 2 wrote, and types that stand for themselves.
  for (const name of ["long", "unicode", "int", "float"]) expect(known("__builtin__", name), name).toBe(true);
  expect(known("copy_reg", "_reconstructor")).toBe(true);
  expect(known("numpy.dtypes", "Float64DType")).toBe(true);
  for (const [module, name] of [
    ["torch", "load"],
    ["torch", "hub"],
    ["torch", "QueueStorage"],
    ["torch", "Tensor.__class__"],
    ["torch._utils", "_import_dotted_name"],
    ["builtins", "getattr"],
    ["builtins", "dict.get"],
    ["constructor", "name"],
    ["__proto__", "toString"],
    ["numpy.dtypes", "os.DType"],
  ] as const)
    expect(known(module, name), `${module}.${name}`).toBe(false);
});

it("a memo that is written twice does not hide the names that Python calls", async () => {
  // Python counts the twice-written number once and so calls os.getcwd; counted twice, it looks like collections.OrderedDict.
  const text = (value: string) => `\x8c${String.fromCharCode(value.length)}${value}`;
  const memoized = ["collections", "os", "OrderedDict", "getcwd"].map((name) => `${text(name)}\x940`);
  const pickle = `\x80\x04${text("x")}q\x00q\x000${memoized.join("")}h\x02h\x04\x93)R.`;
  const path = join(temporaryFolder(), "twice.pkl");
  writeFileSync(path, pickle, "latin1");
  expect((await found(path)).join("\n")).toMatch(/unknown-global: .*os\.getcwd/);
});

it("bytes behind the end of a tar belong to nothing", async () => {
  const header = Buffer.alloc(512);
  for (const [at, text] of [
    [0, "a.txt"],
    [124, "00000000005"],
    [257, "ustar"],
  ] as const)
    header.write(text, at);
  const tar = (end: Buffer) => {
    const path = join(temporaryFolder(), "a.tar");
    writeFileSync(path, Buffer.concat([header, Buffer.from("hello".padEnd(512, "\0")), end]));
    return found(path);
  };
  for (const zeros of [0, 7, 512, 1024, 9216, 2 ** 18 + 1])
    expect(await tar(Buffer.alloc(zeros))).toEqual([]);
  for (const zeros of [512, 2 ** 18 - 1, 2 ** 18])
    expect(await tar(Buffer.concat([Buffer.alloc(zeros), Buffer.from("x")]))).toEqual([
      "contradiction: bytes behind the end of the tar, byte 1024, belong to no member",
    ]);
});

it("a header of NumPy that is cut short is a finding of its own", async () => {
  for (const version of [1, 2])
    for (let length = 6; length < 12; length++) {
      const path = join(temporaryFolder(), "a.npy");
      writeFileSync(
        path,
        Buffer.from(`\x93NUMPY${String.fromCharCode(version)}\0\0\0\0\0`, "latin1").subarray(0, length),
      );
      expect(await found(path)).toEqual([
        expect.stringMatching(/^unparsed: an npy header (of \d+ bytes|that cannot)/),
      ]);
    }
});

describe("a file of NumPy", () => {
  // A pickle that names os.system, as a scanner sees it; numpy.load(allow_pickle=True) runs what is behind such a header.
  const CALL = Buffer.from("cos\nsystem\n(S'x'\ntR.");
  const npy = (header: string, body: Buffer, version = 1) => {
    const text = Buffer.from(`${header}\n`, version === 3 ? "utf8" : "latin1");
    const head = Buffer.alloc(version === 1 ? 10 : 12);
    head.write("\x93NUMPY", "latin1");
    head[6] = version;
    if (version === 1) head.writeUInt16LE(text.length, 8);
    else head.writeUInt32LE(text.length, 8);
    return Buffer.concat([head, text, body]);
  };
  const of = (descr: string, shape = "(2,)") =>
    `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`;
  const foundIn = (bytes: Buffer) => {
    const path = join(temporaryFolder(), "a.npy");
    writeFileSync(path, bytes);
    return found(path);
  };

  it.each([
    ["'|O'"],
    ["[('t', '<M8[ns]'), ('x', '|O')]"],
    ["[('a', [('b', '<f4'), ('c', '|O', (2,))])]"],
    ['"|O"'],
  ])("with objects among its elements is a pickle: %s", async (descr) => {
    expect((await foundIn(npy(of(descr), CALL))).join()).toMatch(/unknown-global: objects: names os\.system/);
  });

  it.each([
    ["an alias that NumPy takes", of("'object'")],
    ["an escape", of("'|\\x4f'")],
    ["a key that is given twice", of("'<f4', 'descr': '|O'")],
    ["texts that Python joins", of("'|' 'O'")],
    ["a comment", of("#'<f4'\n'|O'")],
    ["a tuple in the place of a record", of("('|O', (1,))")],
    ["a shape that is no tuple", of("'<f4'", "2")],
    ["a further key", of("'<f4', 'x': 1")],
  ])("with a header that NumPy does not write is a finding: %s", async (_, header) => {
    expect(await foundIn(npy(header, CALL))).toEqual([
      expect.stringMatching(/^unparsed: .*an npy header that cannot be read/),
    ]);
  });

  it.each([
    ["'<f8'", "(2,)", 16],
    ["'|b1'", "()", 1],
    ["'<U7'", "(2, 3)", 168],
    ["'<M8[us]'", "(0, 4)", 0],
    ["'<c16'", "(1L,)", 16],
    ["[('a', '|u1'), ('', '|V7'), ('b', '<i2', (2, 3))]", "(2,)", 40],
    ["[('O', '<f4'), (('title', 'n'), [('x', '|S3')])]", "(3,)", 21],
  ])(
    "has as many bytes as its header says, and behind them nothing but another array: %s %s",
    async (descr, shape, length) => {
      const array = npy(of(descr, shape), Buffer.alloc(length));
      expect(await foundIn(array)).toEqual([]);
      expect(await foundIn(Buffer.concat([array, npy(of(descr, shape), Buffer.alloc(length), 3)]))).toEqual(
        [],
      );
      expect(await foundIn(Buffer.concat([array, CALL]))).toEqual([
        expect.stringMatching(
          `^contradiction: .*its array ends at ${array.length}, there are ${array.length + CALL.length} bytes`,
        ),
      ]);
      if (length === 0) return;
      expect(await foundIn(array.subarray(0, -1))).toEqual([
        expect.stringMatching(
          `^contradiction: its array ends at ${array.length}, there are ${array.length - 1} bytes`,
        ),
      ]);
    },
  );
});

it("a file that decompresses to more than is read is a finding, and is not decompressed", async () => {
  const path = join(temporaryFolder(), "bomb.pt");
  const data = deflateRawSync(Buffer.alloc(2 ** 24));
  const entries = Array.from({ length: 40 }, (_, i) => ({
    name: `archive/${i}.pkl`,
    data,
    method: 8,
    crc: 0,
  }));
  const bytes = zip(entries);
  // Sizes of the directory: what it becomes.
  for (let at = bytes.indexOf("PK\x01\x02"); at >= 0; at = bytes.indexOf("PK\x01\x02", at + 4)) {
    bytes.writeUInt32LE(2 ** 24, at + 24);
  }
  writeFileSync(path, bytes);
  expect((await found(path)).join("\n")).toMatch(/unparsed: archive\/39\.pkl: cannot be decompressed/);
});

it("what is no file and links to folders are findings; a path that is not there is an error", async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "below"));
  writeFileSync(join(folder, "below", ".hidden"), readFileSync(join(BAD, "obj.pkl")));
  symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));
  symlinkSync(join(folder, "below"), join(folder, "link"));
  const { findings } = await scanPaths([folder]);
  expect(findings.map(({ rule, path }) => `${rule} ${path.slice(folder.length + 1)}`).sort()).toEqual([
    "not-understood link",
    "unknown-global below/.hidden",
    "unparsed dangling",
  ]);
  await expect(scanPaths([join(folder, "nothing")])).rejects.toThrow(/no such file/);
});

it("a file of a folder that cannot be opened is a finding, and the files behind it are looked at", async () => {
  const folder = temporaryFolder();
  for (const name of ["a.txt", "b.txt", "c.txt"]) writeFileSync(join(folder, name), "text");
  const { files, findings, clean } = await scanPaths([folder], {
    onProgress: ({ done }) => done === 1 && rmSync(join(folder, "b.txt")),
  });
  expect(files.map(({ path }) => path)).toEqual(
    ["a.txt", "b.txt", "c.txt"].map((name) => join(folder, name)),
  );
  expect(findings).toMatchObject([{ rule: "unparsed", path: join(folder, "b.txt") }]);
  expect(clean).toBe(false);
});

describe("vista-ckpt scan", () => {
  it("takes patterns in quotes, says what each file is, and exits 1 for findings", async () => {
    const good = await runCli("vista-ckpt", ["scan", `${GOOD}/*.np[yz]`, join(GOOD, "weights.pt")]);
    expect(good.code).toBe(0);
    expect(good.stdout).toMatch(
      /weights\.pt: torch zip, 634 B, 4 records, 1 pickle, 3 names: nothing found\nclean: 3 files\n$/,
    );
    const bad = await runCli("vista-ckpt", ["scan", `${BAD}/names-p*.pkl`]);
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(
      /names-pip\.pkl: pickle, .*: 1 finding\n {2}unknown-global: names pip\.main\n/,
    );
    expect(bad.stdout).toMatch(/NOT CLEAN: 6 findings in 6 files\n$/);
    const empty = temporaryFolder();
    expect(await runCli("vista-ckpt", ["scan", empty])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/no file in it, so nothing was scanned/),
    });
    const none = await runCli("vista-ckpt", ["scan", `${GOOD}/*.nothing`]);
    expect([none.code, none.stderr]).toEqual([
      1,
      expect.stringMatching(/no file or folder matches this pattern/),
    ]);
  });

  it("gives JSON, and SARIF with a rule for each finding", async () => {
    const sarif = join(temporaryFolder(), "scan.sarif");
    const { code, stdout } = await runCli("vista-ckpt", [
      "scan",
      join(BAD, "obj.pkl"),
      "--json",
      "--sarif",
      sarif,
    ]);
    expect(code).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      command: "scan",
      clean: false,
      files: [{ kind: "pickle", globals: ["os.system"] }],
    });
    const [run] = JSON.parse(readFileSync(sarif, "utf8")).runs;
    expect(run.results).toHaveLength(1);
    expect(run.results[0]).toMatchObject({ ruleId: "unknown-global", level: "error" });
    expect(run.tool.driver.rules[run.results[0].ruleIndex].id).toBe("unknown-global");
  });
});

it("the progress of a scan states no total, which nobody knows before all folders are listed", async () => {
  const seen: unknown[] = [];
  await scanPaths([join(FIXTURES, "torch")], { onProgress: ({ done, total }) => seen.push([done, total]) });
  expect(seen.length).toBeGreaterThan(2);
  expect(seen).toEqual(seen.map((_, i) => [i + 1, undefined]));
});

it("is not clean where there was nothing to look at", async () => {
  for (const paths of [[], temporaryFolder()])
    expect(await scanPaths(paths)).toEqual({ files: [], findings: [], more: 0, clean: false });
});
