/** `vista-data index`, `annos youtube`, `stats`, `preview`, and `check` on OpenDV-YouTube, as a user runs them. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { folderOf, languageRows, makeOpenDv, makeRows, type OpenDvRow } from "../../../bench/make-opendv.mjs";
import type { Finding } from "../../../src/dataset/finding.js";
import type { Report } from "../../../src/dataset/report/report.js";
import { runCli } from "../../helpers/cli.js";
import { copyOf, newFolder, removeFolders } from "../opendv/support.js";

/** A Vista folder with 6 videos of 40 frames in data/YouTube. */
let vista: string;
let rows: OpenDvRow[];
/** A language file that is large enough for a worker thread. */
let language: string;
let languageCount = 0;

const run = (...args: string[]) => runCli("vista-data", args);

beforeAll(async () => {
  vista = newFolder();
  mkdirSync(join(vista, "annos"));
  rows = await makeOpenDv(join(vista, "data/YouTube"), { frames: 40 });
  language = join(newFolder(), "10hz_YouTube_train_split0.json");
  const parts: string[] = [];
  const long = makeRows({ youtubers: 3, videos: 5, val: 0, seed: 4 });
  // Blanks make it large enough with fewer rows.
  for (const row of languageRows(long, 1000)) {
    parts.push(JSON.stringify(row).padStart(2400));
    languageCount++;
  }
  writeFileSync(language, `[${parts.join(", ")}]`);
});
afterAll(removeFolders);

describe("annos youtube of a part of a set", () => {
  it("names folders as the loader joins them to data/YouTube, wherever in the set the root is", async () => {
    const youtube = join(vista, "data/YouTube");
    const folder = folderOf(rows.find((row) => row.split === "Train")!);
    const [split, driver] = folder.split("/") as [string, string];
    for (const root of ["", split, join(split, driver), folder]) {
      const file = join(newFolder(), "YouTube.json");
      expect((await run("annos", "youtube", join(youtube, root), "-o", file)).code).toBe(0);
      const records = JSON.parse(readFileSync(file, "utf8")) as { folder_name: string }[];
      expect([root, records.some(({ folder_name }) => folder_name === folder)]).toEqual([root, true]);
      for (const { folder_name } of records) expect(existsSync(join(youtube, folder_name))).toBe(true);
    }
  });
});

describe("index", () => {
  it("writes an index that check takes the listings from", async () => {
    const root = copyOf(vista);
    const { code, stdout, stderr } = await run("index", root);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("OpenDV-YouTube: 6 videos, 240 frames");
    const check = await run("check", root, "--index", join(root, "vista-data.index"));
    expect(check.stdout).toMatch(/Verdict: all seen.*: clean\./);
    expect(check.code).toBe(0);
  });

  it("refuses to replace a file that is no index, and a root without data", async () => {
    const file = join(newFolder(), "other.index");
    writeFileSync(file, "[]");
    const other = await run("index", copyOf(vista), "-o", file);
    expect(other.code).toBe(1);
    expect(other.stderr).toMatch(/not an index file/);
    expect(readFileSync(file, "utf8")).toBe("[]");
    expect((await run("index", newFolder())).stderr).toMatch(
      /neither nuScenes tables nor OpenDV-YouTube frames/,
    );
  });
});

describe("annos youtube", () => {
  it("writes YouTube.json as Vista's loader reads it", async () => {
    const root = copyOf(vista);
    const { code, stdout, stderr } = await runCli("vista-data", ["annos", "youtube"], {
      cwd: root,
    });
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toContain("annos/YouTube.json: 80 clips of 25 frames from 5 videos (train)");
    const records = JSON.parse(readFileSync(join(root, "annos/YouTube.json"), "utf8"));
    expect(records).toHaveLength(80);
    for (const { folder_name, first_frame } of records) {
      // The loader's own steps.
      const [digits, extension, ...more] = first_frame.split(".");
      expect(more).toEqual([]);
      for (const index of [0, 24]) {
        const name = `${String(Number.parseInt(digits, 10) + index).padStart(digits.length, "0")}.${extension}`;
        expect(existsSync(join(root, "data/YouTube", folder_name, name))).toBe(true);
      }
    }
    const check = await run("check", root);
    expect(check.stdout).toMatch(/Verdict: all seen.*: clean\./);
    expect(check.code).toBe(0);
  });

  it("--force replaces neither a list of videos nor a language file", async () => {
    const root = copyOf(vista);
    const spoken = join(root, "10hz_YouTube_val.json");
    writeFileSync(spoken, JSON.stringify([...languageRows(rows, 40)]));
    for (const output of [spoken, join(root, "data/YouTube/meta/OpenDV-YouTube.json")]) {
      const before = readFileSync(output, "utf8");
      const { code, stderr } = await run(
        ...["annos", "youtube", root, "--from-language", spoken, "-o", output, "--force"],
      );
      expect([code, stderr.split(": ").at(-1)]).toEqual([
        2,
        "the output would take the place of a file that it is made from. Choose another output.\n",
      ]);
      expect(readFileSync(output, "utf8") === before).toBe(true);
    }
  });

  it("takes a set that is a folder in data/YouTube, and the listings of an index", async () => {
    const root = copyOf(vista);
    const parts = readdirSync(join(root, "data/YouTube"));
    mkdirSync(join(root, "data/YouTube/OpenDV-YouTube"));
    for (const part of parts)
      renameSync(join(root, "data/YouTube", part), join(root, "data/YouTube/OpenDV-YouTube", part));
    const annos = join(root, "annos/YouTube_val.json");
    const index = join(root, "vista-data.index");
    expect((await run("index", root)).code).toBe(0);
    const args = [root, "-o", annos, "--split", "val", "--stride", "8", "--index", index];
    expect((await run("annos", "youtube", ...args)).code).toBe(0);
    expect(JSON.parse(readFileSync(annos, "utf8"))).toEqual([
      { folder_name: `OpenDV-YouTube/${folderOf(rows[5]!)}`, first_frame: "000000000.jpg" },
      { folder_name: `OpenDV-YouTube/${folderOf(rows[5]!)}`, first_frame: "000000008.jpg" },
    ]);
    expect((await run("check", root)).stdout).toMatch(/Verdict: all seen.*: clean\./);
  });

  it("refuses to replace an annotation file, and wants to know where clips of all videos go", async () => {
    const root = copyOf(vista);
    const annos = join(root, "annos/YouTube.json");
    writeFileSync(annos, "[]");
    const refused = await run("annos", "youtube", root, "-o", annos);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/already exists.*--force/);
    expect(readFileSync(annos, "utf8")).toBe("[]");
    expect((await run("annos", "youtube", root, "--split", "all")).code).toBe(2);
    expect((await run("annos", "youtube", root, "-o", annos, "--force", "--clip", "0")).code).toBe(2);
    expect((await run("annos")).code).toBe(2);
    expect((await run("index", root, "--annos", annos)).code).toBe(2);
  });

  it("makes YouTube.json from language files, with and without the frames", async () => {
    const root = newFolder();
    mkdirSync(join(root, "data/YouTube/full_images/A/b"), { recursive: true });
    rmSync(join(root, "data/YouTube/full_images/A"), { recursive: true });
    const annos = join(root, "YouTube.json");
    // One of the files once more, as a second one: the option takes one file, and may come several times.
    const second = join(root, "10hz_YouTube_train_split1.json");
    writeFileSync(second, "[]");
    const { code, stdout, stderr } = await run(
      ...["annos", "youtube", "-o", annos, "--from-language", language, "--from-language", second],
      ...[root, "--json"],
    );
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ path: annos, clips: 15 * (1000 - 24), folders: 15 });
  });
});

describe("Ctrl-C while an index or YouTube.json is made", () => {
  /** Runs `index`, and sends SIGINT as soon as `when` says so. */
  async function interrupted(args: string[], when: (pid: number) => boolean) {
    let sent = false;
    const result = await runCli("vista-data", [...args], {
      onStart: (kill, pid) => {
        const timer = setInterval(() => {
          if (!when(pid)) return;
          clearInterval(timer);
          sent = true;
          kill("SIGINT");
        }, 5);
      },
    });
    expect(sent).toBe(true);
    return result;
  }

  /** What a process has open, folders that are being listed too. */
  function openFiles(pid: number): string[] {
    try {
      return readdirSync(`/proc/${pid}/fd`).map((fd) => {
        try {
          return readlinkSync(`/proc/${pid}/fd/${fd}`);
        } catch {
          return ""; // closed meanwhile
        }
      });
    } catch {
      return []; // not started yet, or ended
    }
  }

  it("lists folders: leaves the old index as it was", async () => {
    // Many links to one folder: the listing takes many seconds, and to make them none.
    const root = newFolder();
    const [row] = await makeOpenDv(join(root, "frames"), { youtubers: 1, videos: 1, val: 0, frames: 5000 });
    const youtuber = join(root, "full_images/Someone");
    mkdirSync(youtuber, { recursive: true });
    for (let i = 0; i < 5000; i++)
      symlinkSync(join(root, "frames", folderOf(row!)), join(youtuber, `video${i}`));
    const old = join(root, "vista-data.index");
    const small = await run("index", join(root, "frames"), "-o", old);
    expect(small.code).toBe(0);
    const before = readFileSync(old);
    const names = readdirSync(root).sort();
    // Telling what the root is opens one such folder too, for a moment; the listing has one open nearly all the time.
    let seen = 0;
    const { code, stdout, stderr } = await interrupted(["index", root], (pid) => {
      if (openFiles(pid).some((path) => path.startsWith(join(root, "frames")))) seen++;
      return seen === 20;
    });
    expect(stderr).toMatch(
      /^vista-data: interrupted; nothing was written\. Covered: index frames, [\d,]+ of 5,000 folders\.\n$/,
    );
    expect(stdout).toBe("");
    expect(code).toBe(130);
    expect(readFileSync(old)).toEqual(before);
    expect(readdirSync(root).sort()).toEqual(names);
  });

  it("writes clips: leaves the old annotation file", async () => {
    const root = newFolder();
    mkdirSync(join(root, "data/YouTube/full_images"), { recursive: true });
    const annos = join(root, "YouTube.json");
    writeFileSync(annos, "[]");
    // One record of a very long clip stands for three million clips to write.
    const long = join(root, "10hz_YouTube_train_split0.json");
    const record = {
      cmd: 0,
      blip: "",
      folder: "full_images/Someone/dQw4w9WgXcQ",
      first_frame: "000000000.jpg",
      last_frame: "003000000.jpg",
    };
    writeFileSync(long, JSON.stringify([record]));
    const names = readdirSync(root).sort();
    const { code, stdout, stderr } = await interrupted(
      ["annos", "youtube", root, "-o", annos, "--force", "--from-language", long],
      () => readdirSync(root).some((name) => name.endsWith(".partial")),
    );
    expect(stderr).toMatch(
      /^vista-data: interrupted; nothing was written\..* write clips, [\d,]+ of 2,999,977 rows/,
    );
    expect(stdout).toBe("");
    expect(code).toBe(130);
    expect(readFileSync(annos, "utf8")).toBe("[]");
    expect(readdirSync(root).sort()).toEqual(names);
  });
});

describe("check", () => {
  it("reads a large language file in a thread of its own, and finds what is wrong near its end", async () => {
    const report = await run("check", join(language, ".."), "--annos", language, "--json");
    expect(report.code).toBe(0);
    const { parts } = JSON.parse(report.stdout) as Report;
    expect(parts[0]!.coverage).toEqual([
      { what: "annotation records", checked: languageCount, total: languageCount },
    ]);
    const broken = join(newFolder(), "10hz_YouTube_train_split1.json");
    const content = readFileSync(language, "utf8");
    const at = content.lastIndexOf('{"cmd":');
    writeFileSync(broken, `${content.slice(0, at)}{"cmd":77${content.slice(content.indexOf(",", at))}`);
    const bad = await run("check", join(broken, ".."), "--annos", broken, "--json");
    expect(bad.code).toBe(1);
    const [finding] = (JSON.parse(bad.stdout) as { findings: Finding[] }).findings.filter(
      ({ rule }) => rule === "annos/cmd-range",
    );
    expect(finding).toMatchObject({ record: `record ${languageCount - 1}`, offset: at });
  });
});

describe("stats", () => {
  it("prints figures, or one JSON object", async () => {
    const text = await run("stats", join(vista, "data/YouTube"));
    expect(text.stdout).toMatch(/clips of 25 frames +96/);
    expect(text.stdout).toMatch(/Japan +1 video/);
    const json = await run("stats", vista, "--json");
    expect(JSON.parse(json.stdout)).toMatchObject({ opendv: { videos: 6, frames: 240 } });
    expect((await run("stats", newFolder())).code).toBe(1);
  });
});

describe("preview", () => {
  it("writes a sheet of the size that the config gives", async () => {
    const sheet = join(newFolder(), "sheet.png");
    const config = join(newFolder(), "config.yaml");
    writeFileSync(
      config,
      "data:\n  target: vwm.data.dataset.Sampler\n  params:\n    subsets: [YouTube]\n    target_height: 64\n    target_width: 128\n    num_frames: 10\n",
    );
    const folder = join(vista, "data/YouTube", folderOf(rows[0]!));
    const { code, stderr } = await run("preview", folder, "-o", sheet, "--config", config);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(await sharp(sheet).metadata()).toMatchObject({
      format: "png",
      width: 5 * 136 + 8,
      height: 68 + 2 * 72 + 8,
    });
    expect((await run("preview", folder, "-o", sheet)).stderr).toMatch(/already exists/);
    expect((await run("preview", folder)).code).toBe(2);
    const none = await run("preview", join(vista, "nowhere"), "-o", join(newFolder(), "x.png"));
    expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/no such folder, record or sample/)]);
  });
});
