/** The HTML report in a real browser: nothing from the network, quick with 100,000 findings. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, type CDPSession, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Finding } from "../../../src/dataset/finding.js";
import { toHtml } from "../../../src/dataset/report/html.js";
import { ReportBuilder } from "../../../src/dataset/report/report.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const folder = mkdtempSync(join(tmpdir(), "vista-report-"));
let browser: Browser;

beforeAll(async () => {
  if (!existsSync(CHROMIUM)) throw new Error(`${CHROMIUM} is missing: run test/peers/system.sh`);
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    // No attempt to reach the browser's maker: the machine of the tests is closed.
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

function makeReport(count: number) {
  const builder = new ReportBuilder("data/nuscenes", { maxFindings: 200_000, ignore: [], check: {} });
  for (let i = 0; i < count; i++) {
    const missing = i % 4 !== 0;
    const finding: Finding = {
      rule: missing ? "nuscenes/missing-file" : "nuscenes/surplus-file",
      severity: missing ? "error" : "warning",
      path: `samples/CAM_${i % 6}/n015__CAM__${String(i).padStart(8, "0")}.jpg`,
      record: `sample_data ${i.toString(16)}`,
      message: i === 77_777 ? "the needle </script><b>" : "the file is not there",
    };
    builder.add(finding);
  }
  return builder.finish("0.0.0", [
    {
      kind: "nuscenes",
      title: "nuScenes v1.0-trainval",
      root: "data/nuscenes",
      coverage: [{ what: "table rows", checked: 10, total: 20 }],
      sampled: ["headers of pictures of 2,000 of 30,000 (seed 0)"],
      interrupted: false,
      charts: [
        {
          kind: "bars",
          title: "Frames",
          unit: "frames",
          points: Array.from({ length: 850 }, (_, i) => ({ label: `s${i}`, value: i })),
        },
        { kind: "spans", title: "Times", unit: "s", points: [{ label: "a", from: 1, to: 3 }] },
      ],
    },
  ]);
}

/** Seconds of the processor that the page's main thread has taken since it was opened: on a busy machine too, what its work costs. */
async function cpuSeconds(session: CDPSession): Promise<number> {
  const { metrics } = await session.send("Performance.getMetrics");
  return metrics.find(({ name }) => name === "TaskDuration")!.value;
}

async function openReport(
  html: string,
): Promise<{ page: Page; errors: string[]; requests: string[]; session: CDPSession }> {
  const path = join(folder, "report.html");
  writeFileSync(path, html);
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const errors: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("request", (request) => requests.push(request.url()));
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  await page.goto(pathToFileURL(path).href);
  return { page, errors, requests, session };
}

describe("HTML report with 100,000 findings", () => {
  let page: Page;
  let opened: Awaited<ReturnType<typeof openReport>>;
  let seconds: number;

  beforeAll(async () => {
    const html = await toHtml(makeReport(100_000));
    opened = await openReport(html);
    page = opened.page;
    await page.waitForSelector("#shown");
    seconds = await cpuSeconds(opened.session);
  });

  it("opens at once, without an error and without the network", async () => {
    expect(opened.errors).toEqual([]);
    expect(opened.requests.filter((url) => !url.startsWith("file:") && !url.startsWith("data:"))).toEqual([]);
    // 0.4 s on a slow machine.
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThan(3);
    expect(await page.textContent("#verdict .sentence")).toContain("75,000 errors, 25,000 warnings");
    expect(await page.textContent("#verdict .sentence")).toContain("seen in part");
  });

  it("keeps only the rows in view in the document", async () => {
    expect(await page.textContent("#shown")).toBe("100,000 of 100,000");
    expect(await page.locator("#list .row").count()).toBeLessThan(40);
    await page.evaluate("document.getElementById('list').scrollTop = 99999 * 30");
    await expect.poll(() => page.locator("#list .row").last().textContent()).toContain("surplus-file");
    expect(await page.locator("#list .row").count()).toBeLessThan(40);
  });

  it("filters by text, rule and severity, and sorts", async () => {
    await page.fill("#filter", "needle");
    expect(await page.textContent("#shown")).toBe("1 of 100,000");
    // The name was written as text, not as markup.
    expect(await page.textContent("#list .row")).toContain("the needle </script><b>");
    await page.fill("#filter", "");
    await page.selectOption("#rule", "nuscenes/surplus-file");
    expect(await page.textContent("#shown")).toBe("25,000 of 100,000");
    await page.selectOption("#rule", "");
    await page.uncheck("[data-severity=error]");
    expect(await page.textContent("#shown")).toBe("25,000 of 100,000");
    await page.check("[data-severity=error]");
    const before = await cpuSeconds(opened.session);
    await page.click("[data-column='3']");
    expect(await page.locator("#list .row").first().textContent()).toContain("sample_data 0");
    expect((await cpuSeconds(opened.session)) - before).toBeLessThan(1);
  });

  it("draws a chart of 850 points with at most 160 bars", async () => {
    expect(await page.locator("figure").count()).toBe(2);
    expect(await page.locator("figure").first().locator("rect").count()).toBe(142);
  });
});

describe("without a mouse", () => {
  let page: Page;
  const focused = () =>
    page.evaluate("document.activeElement.getAttribute('aria-rowindex') ?? document.activeElement.id");

  beforeAll(async () => {
    ({ page } = await openReport(await toHtml(makeReport(5000))));
    await page.waitForSelector("#list .row");
  });

  it("Tab leads to the list, arrows and pages move in it, and the focus stays in view", async () => {
    await page.locator("[data-column='5']").focus();
    await page.keyboard.press("Tab");
    expect(await focused()).toBe("2");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    expect(await focused()).toBe("4");
    await page.keyboard.press("End");
    expect(await focused()).toBe("5001");
    const inView = `(() => { const a = document.activeElement.getBoundingClientRect(), b = document.getElementById("list").getBoundingClientRect();
      return a.top >= b.top - 1 && a.bottom <= b.bottom + 1; })()`;
    expect(await page.evaluate(inView)).toBe(true);
    await page.keyboard.press("PageUp");
    expect(await page.evaluate(inView)).toBe(true);
    await page.keyboard.press("Home");
    expect(await focused()).toBe("2");
    // A scroll by the wheel takes the row out of view, but not the focus from it.
    await page.evaluate("document.getElementById('list').scrollTop = 3000");
    await page.waitForTimeout(200);
    expect(await focused()).toBe("2");
  });

  it("Enter and Space open a finding, Escape goes back to it", async () => {
    for (const key of ["Enter", " "]) {
      await page.keyboard.press("ArrowDown");
      const row = await focused();
      await page.keyboard.press(key);
      expect(await focused()).toBe("detail");
      expect(await page.locator("#detail").textContent()).toContain("the file is not there");
      expect(await page.locator("#detail a").getAttribute("href")).toMatch(
        /docs\/rules\/nuscenes-missing-file\.md$/,
      );
      expect(await page.locator("[aria-selected=true]").getAttribute("aria-rowindex")).toBe(row);
      await page.keyboard.press("Escape");
      expect(await focused()).toBe(row);
      expect(await page.locator("#detail").isVisible()).toBe(false);
    }
  });

  it("what has the focus can be seen", async () => {
    for (const target of ["#filter", "[data-do=copy]", "#list .row[tabindex='0']"]) {
      await page.locator(target).first().focus();
      await page.keyboard.press("Shift");
      expect(await page.evaluate("getComputedStyle(document.activeElement).outlineWidth")).not.toBe("0px");
    }
  });

  it("what is clicked is 24 pixels high at least", async () => {
    const heights = await page.evaluate(
      `[...document.querySelectorAll("button, select, summary, .tools input[type=search], .tools label")].filter((each) => each.checkVisibility()).map((each) => each.getBoundingClientRect().height)`,
    );
    expect((heights as number[]).length).toBeGreaterThan(10);
    for (const height of heights as number[]) expect(height).toBeGreaterThanOrEqual(24);
  });

  it("sorting is told to screen readers", async () => {
    await page.locator("[data-column='2']").press("Enter");
    expect(await page.locator("[aria-sort=ascending]").textContent()).toContain("File");
    await page.locator("[data-column='2']").press("Enter");
    expect(await page.locator("[aria-sort=descending]").textContent()).toContain("File");
  });
});

it("a rule's findings are shown, copied and downloaded", async () => {
  const { page } = await openReport(await toHtml(makeReport(100)));
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const surplus = "[data-rule='nuscenes/surplus-file']";
  await page.click(`[data-do=show]${surplus}`);
  expect(await page.textContent("#shown")).toBe("25 of 100");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.click(`[data-do=download]${surplus}`),
  ]);
  expect(download.suggestedFilename()).toBe("nuscenes-surplus-file.tsv");
  const lines = readFileSync(await download.path(), "utf8").split("\n");
  expect(lines).toHaveLength(26);
  expect(lines[0]).toBe("samples/CAM_0/n015__CAM__00000000.jpg\tsample_data 0\tthe file is not there");
  await page.selectOption("#rule", "");
  await page.fill("#filter", "00000004.jpg");
  await page.click(".tools [data-do=copy]");
  await expect.poll(() => page.textContent("#status")).toBe("Copied 1 line.");
  const copied = await page.evaluate("navigator.clipboard.readText()");
  expect(copied).toBe("samples/CAM_4/n015__CAM__00000004.jpg\tsample_data 4\tthe file is not there\n");
});

it.each([375, 390, 800, 1280])(
  "nothing is wider than a window of %i pixels, and rows do not overlap",
  async (width) => {
    const { page } = await openReport(await toHtml(makeReport(100)));
    await page.setViewportSize({ width, height: 800 });
    await page.waitForTimeout(200);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    const places = (await page.evaluate(
      `[...document.querySelectorAll("#list .row")].map((row) => [row.getBoundingClientRect().top, row.getBoundingClientRect().bottom, row.scrollHeight - row.clientHeight])`,
    )) as [number, number, number][];
    for (const [i, [top, , hidden]] of places.entries()) {
      expect(hidden).toBeLessThanOrEqual(0);
      if (i > 0) expect(top).toBeGreaterThanOrEqual(places[i - 1]![1] - 0.5);
    }
    // The three counts stand side by side.
    const tops = await page.evaluate(
      `[...document.querySelectorAll(".tally")].map((each) => each.getBoundingClientRect().top)`,
    );
    expect(new Set(tops as number[]).size).toBe(1);
  },
);

it("an empty report says that all is well", async () => {
  const { page, errors } = await openReport(await toHtml(makeReport(0)));
  expect(errors).toEqual([]);
  expect(await page.textContent("#verdict .sentence")).toContain("nothing found in what was looked at");
  expect(await page.locator("#list").count()).toBe(0);
});
