import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { RULES } from "../../src/dataset/rules.js";

const pageOf = (code: string) => `${code.replace("/", "-")}.md`;

describe("rules", () => {
  it("have codes of one form, each once", () => {
    const codes = RULES.map((rule) => rule.code);
    expect(new Set(codes).size).toBe(codes.length);
    // Each of these families has its matrix of faults and near misses: a new one needs one, too.
    for (const code of codes) expect(code).toMatch(/^(vista|nuscenes|opendv|annos)\/[a-z0-9-]+$/);
  });

  it("have a page each, and there are no other pages", () => {
    expect(readdirSync("docs/rules").sort()).toEqual(RULES.map((rule) => pageOf(rule.code)).sort());
  });

  it.each(RULES)("$code: the page names its severity and has all three parts", ({ code, severity }) => {
    const page = readFileSync(`docs/rules/${pageOf(code)}`, "utf8");
    expect(page.startsWith(`# ${code}\n`)).toBe(true);
    expect(page).toContain(`Severity: ${severity}.`);
    for (const part of ["**What.**", "**Why it hurts.**", "**How to mend it.**"])
      expect(page).toContain(part);
  });

  // If this fails: npm run build && node scripts/rule-index.mjs
  it("are all in the index of docs/vista-data.md, with severity and title", () => {
    const index = [
      ...readFileSync("docs/vista-data.md", "utf8").matchAll(/^\| \[(\S+)\]\((\S+)\) \| (\w+) \| (.+) \|$/gm),
    ];
    expect(index.map(([, code, page, severity, title]) => [code, page, severity, title])).toEqual(
      RULES.map(({ code, severity, title }) => [code, `rules/${pageOf(code)}`, severity, title]),
    );
  });

  it("have titles and fixes that fit one line", () => {
    for (const { title, fix } of RULES) {
      expect(title.length).toBeLessThan(80);
      expect(fix).toMatch(/\.$/);
    }
  });
});
