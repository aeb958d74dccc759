/** The HTML report without a browser: its structure, what file names may hold, and what its script computes. In a browser: test/peers/data. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Chart, Finding, Severity } from "../../../src/dataset/finding.js";
import { headline } from "../../../src/dataset/report/charts.js";
import { type ReportOrigin, toHtml } from "../../../src/dataset/report/html.js";
import { html } from "../../../src/dataset/report/markup.js";
import type { PageData, PageRow } from "../../../src/dataset/report/page/data.js";
import { FindingList, rowAfterKey, rowsInView, toText } from "../../../src/dataset/report/page/list.js";
import { type Report, ReportBuilder } from "../../../src/dataset/report/report.js";

const ORIGIN: ReportOrigin = {
  path: "/data/<set>",
  date: new Date("2026-11-28T23:59:30Z"),
  host: "node&7",
  command: "vista-data check 'a\"b'",
};

function report(findings: readonly Finding[], charts: Chart[] = []): Report {
  const builder = new ReportBuilder("data", { maxFindings: 3, ignore: [], check: {} });
  for (const finding of findings) builder.add(finding);
  const coverage = [{ what: "files", checked: 5, total: 7 }];
  return builder.finish("1.2.3", [
    { kind: "nuscenes", title: "nuScenes <b>", root: "data", coverage, interrupted: false, charts },
  ]);
}

function found(rule: string, severity: Severity, path: string, message = "wrong"): Finding {
  return { rule, severity, path, message };
}

const FINDINGS = [
  found("nuscenes/known-scene", "note", "v1.0-mini/scene.json"),
  ...["a", "b", "c", "d", "e"].map((name) => found("nuscenes/surplus-file", "warning", `sweeps/${name}`)),
  found("nuscenes/bad-json", "error", "v1.0-mini/map.json"),
  found("nuscenes/missing-file", "error", "samples/1.jpg"),
  found("nuscenes/missing-file", "error", "samples/2.jpg"),
];

function dataOf(page: string): PageData {
  return JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!);
}

/** Tags of a page in their order, but for what its scripts and styles hold. */
function tags(page: string): string[] {
  const markup = page.replace(/(<(script|style)[^>]*>).*?(<\/\2>)/gs, "$1$3");
  return [...markup.matchAll(/<\/?[a-z][^>]*>/gi)].map(([tag]) => tag);
}

describe("structure", () => {
  it("every element is closed in its turn, ids are named once, and labels name what is there", async () => {
    const charts: Chart[] = [
      { kind: "bars", title: "T", unit: "u", points: [{ label: "x", value: 1 }] },
      { kind: "spans", title: "S", unit: "s", points: [{ label: "y", from: 1, to: 2 }] },
    ];
    const page = await toHtml(report(FINDINGS, charts), ORIGIN);
    const open: string[] = [];
    const empty = /^<(!doctype|meta|input|br|img|line|link)/i;
    for (const tag of tags(page)) {
      if (empty.test(tag) || tag.endsWith("/>")) continue;
      const name = /^<\/?([a-z0-9]+)/i.exec(tag)![1];
      if (tag.startsWith("</")) expect(open.pop()).toBe(name);
      else open.push(name!);
    }
    expect(open).toEqual([]);
    const ids = tags(page).flatMap((tag) => / id="([^"]+)"/.exec(tag)?.[1] ?? []);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [, id] of page.matchAll(/aria-labelledby="([^"]+)"/g)) expect(ids).toContain(id);
    for (const [, id] of page.matchAll(/href="#([^"]+)"/g)) expect(ids).toContain(id);
  });

  it("landmarks, headings in steps of one, and a language", async () => {
    const page = await toHtml(report(FINDINGS), ORIGIN);
    const all = tags(page);
    for (const tag of ["<header>", "<main>", '<html lang="en">']) expect(all).toContain(tag);
    const levels = all.flatMap((tag) => Number(/^<h(\d)/.exec(tag)?.[1] ?? 0) || []);
    expect(levels[0]).toBe(1);
    for (const [i, level] of levels.entries())
      if (i > 0) expect(level - levels[i - 1]!).toBeLessThanOrEqual(1);
    // Whatever one can do something with has a name: a text, or a label.
    for (const [tag, text] of page.matchAll(/<(?:button|select|input)[^>]*>([^<]*)/g)) {
      expect(tag).toMatch(/aria-label="|type="checkbox"|<button[^>]*>\S/);
      expect(text).toBeDefined();
    }
  });

  it("head: absolute path, date, host and command; a page of a joined report has no path", async () => {
    const page = await toHtml(report(FINDINGS), ORIGIN);
    const head = page.slice(page.indexOf("<dl>"), page.indexOf("</dl>")).replace(/<[^>]+>/g, "");
    for (const text of [
      "/data/&lt;set&gt;",
      "2026-11-28 23:59 UTC",
      "node&amp;7",
      "vista-data check &#39;a&quot;b&#39;",
      "vista-data 1.2.3",
    ])
      expect(head).toContain(text);
    const { path: _, ...origin } = ORIGIN;
    expect(await toHtml(report(FINDINGS), origin)).not.toContain("<dt>Folder</dt>");
  });

  it("rules by severity, then by count, each with a link to its page and what to do", async () => {
    const page = await toHtml(report(FINDINGS), ORIGIN);
    const list = page.slice(page.indexOf('<ol class="card rules">'), page.indexOf("</ol>"));
    const codes = [...list.matchAll(/<a href="([^"]+)"><code>([^<]+)<\/code>/g)].map(([, url, code]) => [
      code,
      url,
    ]);
    const at = "https://github.com/vista-ckpt/vista-ckpt/blob/main/docs/rules/";
    expect(codes).toEqual([
      ["nuscenes/missing-file", `${at}nuscenes-missing-file.md`],
      ["nuscenes/bad-json", `${at}nuscenes-bad-json.md`],
      ["nuscenes/surplus-file", `${at}nuscenes-surplus-file.md`],
      ["nuscenes/known-scene", `${at}nuscenes-known-scene.md`],
    ]);
    expect(list).toContain("Unpack the blob archive that holds it again.");
    expect(dataOf(page).rules.map(({ code }) => code)).toEqual(codes.map(([code]) => code));
    // Three of each rule are listed.
    expect(page).toContain("2 more were counted, but not listed");
  });

  it("needs nothing from elsewhere: no element loads a file", async () => {
    const page = await toHtml(report(FINDINGS), ORIGIN);
    expect(page).not.toMatch(/<(script|img|iframe|link|source)[^>]* (src|href)="(?!data:)/);
    expect(page).not.toMatch(/@import|url\((?!["']?data:)/);
  });

  it("without a finding there is no list and no script", async () => {
    const page = await toHtml(report([]), ORIGIN);
    expect(page).not.toContain("<script");
    expect(page).not.toContain('role="grid"');
    expect(page).toMatch(/seen in part \(files: 5 of 7, 71\.4 %\)/);
  });
});

describe("names from files", () => {
  const HOSTILE = `"'><script>alert(1)</script><!--&amp;</title></style>`;

  it("are text wherever they stand", async () => {
    const charts: Chart[] = [
      { kind: "bars", title: HOSTILE, unit: HOSTILE, points: [{ label: HOSTILE, value: 1 }] },
      { kind: "spans", title: HOSTILE, unit: HOSTILE, points: [{ label: HOSTILE, from: 1, to: 2 }] },
    ];
    const hostile = report(
      [{ ...found("nuscenes/missing-file", "error", HOSTILE, HOSTILE), record: HOSTILE }],
      charts,
    );
    Object.assign(hostile, { root: HOSTILE, version: HOSTILE });
    Object.assign(hostile.parts[0]!, { title: HOSTILE, root: HOSTILE, sampled: [HOSTILE] });
    hostile.parts[0]!.coverage[0]!.what = HOSTILE;
    const origin = { path: HOSTILE, host: HOSTILE, command: HOSTILE, date: ORIGIN.date };
    const plain = report(
      [{ ...found("nuscenes/missing-file", "error", "x", "x"), record: "x" }],
      charts.map((chart) => ({ ...chart, title: "x" })),
    );
    Object.assign(plain.parts[0]!, { sampled: ["x"] });
    const page = await toHtml(hostile, origin);
    const names = (text: string) => tags(text).map((tag) => /^<\/?[a-z0-9!-]+/i.exec(tag)![0]);
    expect(names(page)).toEqual(names(await toHtml(plain, origin)));
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(dataOf(page).findings).toEqual([[0, HOSTILE, HOSTILE, HOSTILE, 1]]);
  });

  it("html`…` escapes strings and lists of them, and nothing that it made itself", () => {
    const inner = html`<b title="${'"'}">${"<"}</b>`;
    expect(html`<p>${inner}${["&", inner]}${undefined}${3}</p>`.text).toBe(
      '<p><b title="&quot;">&lt;</b>&amp;<b title="&quot;">&lt;</b>3</p>',
    );
  });
});

describe("the list", () => {
  const rows: PageRow[] = [
    [1, "b/2.jpg", "row 1", "Missing frame", 1],
    [0, "c/3.jpg", "", "damaged", 4],
    [1, "a/1.jpg", "row 9", "missing", 2],
  ];
  const rule = { title: "", fix: "", url: "" };
  const list = new FindingList({
    rules: [
      { ...rule, code: "x/two", severity: "error" },
      { ...rule, code: "x/one", severity: "note" },
    ],
    findings: rows,
  });
  const all = { rule: "", text: "", severities: new Set<Severity>(["error", "warning", "note"]) };
  const paths = (selected: readonly PageRow[]) => selected.map(([, path]) => path[0]).join("");

  it("begins in the order of rules, which is that of severity and count", () => {
    expect(paths(list.select(all))).toBe("cba");
  });
  it("sorts by any column, both ways, equal ones as before", () => {
    expect(paths(list.select(all, { column: 2, up: true }))).toBe("abc");
    expect(paths(list.select(all, { column: 5, up: false }))).toBe("cab");
    expect(paths(list.select(all, { column: 0, up: false }))).toBe("bac");
    expect(paths(list.select(all, { column: 1, up: true }))).toBe("bac");
  });
  it("filters by rule, severity and words in any letters, all of which must be there", () => {
    expect(paths(list.select({ ...all, rule: "x/one" }))).toBe("ba");
    expect(paths(list.select({ ...all, severities: new Set<Severity>(["error"]) }))).toBe("c");
    expect(paths(list.select({ ...all, text: "  MISSING a/ " }))).toBe("a");
    expect(paths(list.select({ ...all, text: "row 9" }))).toBe("a");
    expect(paths(list.select({ ...all, text: "nothing like it" }))).toBe("");
  });
  it("copies rows as lines of file, record and text", () => {
    expect(toText(list.select(all).slice(0, 2))).toBe("c/3.jpg\t\tdamaged\nb/2.jpg\trow 1\tMissing frame\n");
  });
  it("draws the rows in view and a few more", () => {
    expect(rowsInView(0, 300, 30, 1000)).toEqual({ from: 0, to: 14 });
    expect(rowsInView(3000, 300, 30, 1000)).toEqual({ from: 96, to: 114 });
    expect(rowsInView(9999, 300, 30, 5)).toEqual({ from: 5, to: 5 });
  });
  it("keys move within it", () => {
    expect(rowAfterKey("ArrowDown", 3, 10, 100)).toBe(4);
    expect(rowAfterKey("ArrowUp", 0, 10, 100)).toBe(0);
    expect(rowAfterKey("PageDown", 95, 10, 100)).toBe(99);
    expect(rowAfterKey("PageUp", 20, 10, 100)).toBe(10);
    expect(rowAfterKey("Home", 20, 10, 100)).toBe(0);
    expect(rowAfterKey("End", 20, 10, 100)).toBe(99);
    for (const key of ["a", "Tab", "toString"]) expect(rowAfterKey(key, 20, 10, 100)).toBeUndefined();
    expect(rowAfterKey("End", 0, 10, 0)).toBeUndefined();
  });
});

describe("titles of charts say what they show", () => {
  const points = [5, 1, 3].map((value, i) => ({ label: `p${i}`, value }));
  const day = Date.UTC(2018, 6, 24) / 1000;
  it.each<[string, Chart]>([
    ["Frames: 1 to 5, half of them 3 or more", { kind: "bars", title: "Frames", unit: "frames", points }],
    [
      "Sizes: most are p0, 5 of 9 pictures",
      { kind: "bars", title: "Sizes", unit: "pictures", shares: true, points },
    ],
    [
      "Sizes: the largest part is p0, 5 of 10 pictures",
      {
        kind: "bars",
        title: "Sizes",
        unit: "pictures",
        shares: true,
        points: [...points, { label: "p3", value: 1 }],
      },
    ],
    ["Frames: 5, p0", { kind: "bars", title: "Frames", unit: "frames", points: points.slice(0, 1) }],
    ["Frames: 5 each", { kind: "bars", title: "Frames", unit: "frames", points: [points[0]!, points[0]!] }],
    [
      "Scenes: 1 in all, from 2018-07-24 00:00 to 2018-07-24 01:00",
      { kind: "spans", title: "Scenes", unit: "s", points: [{ label: "a", from: day, to: day + 3600 }] },
    ],
  ])("%s", (title, chart) => {
    expect(headline(chart)).toBe(title);
  });
});

describe("contrast, by WCAG 2.1", () => {
  const style = readFileSync("src/dataset/report/page/base.css", "utf8");
  const colours = (block: string) =>
    Object.fromEntries(
      [...block.matchAll(/--(\w+): (#[0-9a-f]{6})/g)].map(([, name, value]) => [name!, value!]),
    );
  const [light, dark] = style.split("@media (prefers-color-scheme: dark)") as [string, string];
  const schemes = { light: colours(light), dark: colours(dark.slice(0, dark.indexOf("* {"))) };

  function luminance(colour: string): number {
    const [r, g, b] = [1, 3, 5].map((at) => {
      const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    }) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function contrast(a: string, b: string): number {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
    return (high + 0.05) / (low + 0.05);
  }

  it("the formula gives the standard's own examples", () => {
    expect(contrast("#000000", "#ffffff")).toBeCloseTo(21, 5);
    expect(contrast("#777777", "#ffffff")).toBeCloseTo(4.48, 2);
  });
  for (const [scheme, colour] of Object.entries(schemes)) {
    it.each(["text", "dim", "error", "warning", "note"])(
      `${scheme}: %s on each background is 4.5:1`,
      (name) => {
        for (const ground of ["bg", "card", "hover"])
          expect(contrast(colour[name]!, colour[ground]!)).toBeGreaterThanOrEqual(4.5);
      },
    );
    it.each(["edge", "bar", "note"])(`${scheme}: %s, which is no text, is 3:1`, (name) => {
      for (const ground of ["bg", "card"])
        expect(contrast(colour[name]!, colour[ground]!)).toBeGreaterThanOrEqual(3);
    });
  }
  it("no text has a colour of its own beside these", () => {
    const rest = style.slice(style.indexOf("* {"));
    expect(rest).not.toMatch(/#[0-9a-f]{3,8}\b|rgb|opacity: (?!1)/);
  });
});
