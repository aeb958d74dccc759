/** The report as one HTML file that needs no network, because data, style and script are all in it. */
import { fileURLToPath } from "node:url";
import { readRegular } from "../../core/io/regular.js";
import { formatCount as count, plural } from "../../core/text.js";
import { type CheckSummary, SEVERITIES, type Severity } from "../finding.js";
import { figure } from "./charts.js";
import { html, Markup } from "./markup.js";
import type { PageData } from "./page/data.js";
import { COLUMNS } from "./page/list.js";
import type { Report, RuleCount } from "./report.js";
import { amount, verdict } from "./text.js";
import { makeThumbnails, type Thumbnail } from "./thumbnails.js";

/** The address below which the pages of rules can be read without the package. */
const RULE_PAGES = "https://github.com/vista-ckpt/vista-ckpt/blob/main/docs/rules/";

/** The place, time and command of a check, for those who find its report later. */
export interface ReportOrigin {
  /** The absolute path of what was checked; missing where the report was joined from those of several machines. */
  path?: string;
  date: Date;
  host: string;
  /** The command in a form that can be run again. */
  command: string;
}

/**
 * Returns the report as an HTML page.
 *
 * @param origin  where the check was made; the page does not say so where this is not given
 */
export async function toHtml(report: Report, origin?: ReportOrigin): Promise<string> {
  const [style, script] = await Promise.all([built("style.css"), built("main.js")]);
  const rules = sortedRules(report.rules);
  const sentence = verdict(report);
  const charts = report.parts.flatMap((part) => part.charts ?? []).filter(({ points }) => points.length > 0);
  const thumbnails = await makeThumbnails(report);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vista-data: ${sentence}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<a class="skip" href="#findings">To the findings</a>
<div class="page">
<header>
<h1>Data check of ${report.root}</h1>
${head(report, origin)}
<div class="card banner ${report.verdict.replaceAll(" ", "-")}" id="verdict" role="group" aria-label="Verdict">
<p class="sentence">${sentence}</p>
${SEVERITIES.map((severity) => tally(severity, report.counts[severity]))}</div>
</header>
<main>
${section("parts", "What was checked", html`<div class="grid">${report.parts.map(part)}</div>`)}
${rules.length === 0 ? undefined : section("rules", "Findings by rule", html`<ol class="card rules">${rules.map(ruleItem)}</ol>`)}
${report.findings.length === 0 ? html`<span id="findings"></span>` : section("findings", "All findings", findingsList(report, rules))}
${charts.length === 0 ? undefined : section("charts", "Charts", html`<div class="grid">${charts.map(figure)}</div>`)}
${pictures("bad-pictures", "Pictures with findings", thumbnails.bad)}
${pictures("sound-pictures", "Sound pictures", thumbnails.sound)}
</main>
</div>
${
  report.findings.length === 0
    ? undefined
    : html`<script type="application/json" id="data">${pageData(report, rules)}</script>
<script>${new Markup(script)}</script>`
}
</body>
</html>
`.text;
}

/** Returns what the build makes of the page's own sources. The path to it is the same from src/ and from dist/. */
async function built(name: string): Promise<string> {
  const path = new URL(`../../../dist/dataset/report/page/${name}`, import.meta.url);
  return (await readRegular(fileURLToPath(path))).toString();
}

/** Sorts rules: the gravest come first and, of equally grave ones, that with the most findings. */
function sortedRules(rules: readonly RuleCount[]): RuleCount[] {
  const rank = ({ severity }: RuleCount) => SEVERITIES.indexOf(severity);
  return [...rules].sort((a, b) => rank(a) - rank(b) || b.findings - a.findings);
}

function rulePage(code: string): string {
  return `${RULE_PAGES}${code.replace("/", "-")}.md`;
}

function pageData(report: Report, rules: readonly RuleCount[]): Markup {
  const places = new Map(rules.map(({ code }, index) => [code, index]));
  const data: PageData = {
    rules: rules.map(({ code, severity, title, fix }) => ({
      code,
      severity,
      title,
      fix,
      url: rulePage(code),
    })),
    findings: report.findings.map(({ rule, path, record, offset, message, count }) => [
      places.get(rule)!,
      path,
      record ?? (offset === undefined ? "" : `byte ${offset}`),
      message,
      count ?? 1,
    ]),
  };
  // The sign is escaped because a "</script>" in a file name must not end the script element.
  return new Markup(JSON.stringify(data).replaceAll("<", "\\u003c"));
}

function head({ version }: Report, origin: ReportOrigin | undefined): Markup {
  if (origin === undefined) return html`<p class="dim">vista-data ${version}</p>`;
  const { path, date, host, command } = origin;
  const time = date.toISOString();
  return html`<dl>
${path === undefined ? undefined : html`<dt>Folder</dt><dd><code>${path}</code></dd>\n`}<dt>Date</dt><dd><time datetime="${time}">${time.slice(0, 16).replace("T", " ")} UTC</time></dd>
<dt>Host</dt><dd>${host}</dd>
<dt>Command</dt><dd><code>${command}</code></dd>
<dt>Version</dt><dd>vista-data ${version}</dd>
</dl>`;
}

function tally(severity: Severity, found: number): Markup {
  return html`<div class="tally ${severity}"><b>${count(found)}</b>${severity}${found === 1 ? "" : "s"}</div>\n`;
}

function section(id: string, title: string, content: Markup): Markup {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${content}
</section>`;
}

function part({ title, root, coverage, sampled = [] }: CheckSummary): Markup {
  return html`<div class="card"><h3>${title}</h3>
<div class="dim">${root}</div>
<table>
${coverage.map((part) => html`<tr><th scope="row">${part.what}</th><td>${amount(part)}</td></tr>\n`)}</table>
${sampled.map((text) => html`<div class="dim">A sample: ${text}</div>`)}</div>
`;
}

/** Returns a text whose parts between two backticks, which are commands, are marked as code. */
function withCode(text: string): Markup[] {
  return text.split("`").map((part, i) => (i % 2 === 1 ? html`<code>${part}</code>` : html`${part}`));
}

/** The number of folders that are named for a rule. */
const FOLDERS_SHOWN = 3;

function ruleItem({ code, severity, title, fix, findings, places, folders }: RuleCount): Markup {
  const named = folders
    .slice(0, FOLDERS_SHOWN)
    .map(({ folder, findings }) => html`<div><code>${folder}</code> · ${count(findings)}</div>`);
  const more = folders.length - named.length;
  const standing = places === findings ? "" : `, ${count(places)} places`;
  return html`<li>
<div><h3><span class="badge ${severity}">${severity}</span> ${title}</h3>
<p><a href="${rulePage(code)}"><code>${code}</code></a> · ${plural(findings, "finding")}${standing}</p></div>
<div>${named}${more > 0 ? html`<div class="dim">and ${count(more)} more</div>` : undefined}</div>
<div><p>${withCode(fix)}</p>
<div class="actions">
<button type="button" data-do="show" data-rule="${code}" aria-label="Show the findings of ${code}">Show</button>
<button type="button" data-do="copy" data-rule="${code}" aria-label="Copy the findings of ${code}">Copy</button>
<button type="button" data-do="download" data-rule="${code}" aria-label="Download the findings of ${code}">Download</button>
</div></div>
</li>
`;
}

function findingsList({ counts, findings }: Report, rules: readonly RuleCount[]): Markup {
  const counted = counts.error + counts.warning + counts.note - findings.length;
  const boxes = SEVERITIES.filter((severity) => counts[severity] > 0).map(
    (severity) =>
      html`<label class="${severity}"><input type="checkbox" checked data-severity="${severity}"> ${severity}s</label>\n`,
  );
  return html`<noscript><p>The list needs JavaScript. The same findings are written as text by --ndjson.</p></noscript>
<div class="card list">
<div class="tools" role="search" aria-label="Findings">
<input type="search" id="filter" placeholder="Filter by file, record or text" aria-label="Filter by file, record or text">
<select id="rule" aria-label="Rule"><option value="">All rules</option>${rules.map(({ code }) => html`<option value="${code}">${code}</option>`)}</select>
${boxes}<span class="dim" id="shown" role="status"></span>
<button type="button" data-do="copy">Copy list</button>
<button type="button" data-do="download">Download list</button>
<span class="dim" id="status" role="status"></span>
</div>
<div role="grid" id="grid" aria-label="Findings; arrows move, Enter opens" aria-colcount="${COLUMNS.length}">
<div role="rowgroup"><div class="row head" role="row" aria-rowindex="1">
${COLUMNS.map(({ title }, i) => html`<div role="columnheader"><button type="button" data-column="${i}">${title}</button></div>\n`)}</div></div>
<div class="window" id="list" role="rowgroup"></div>
</div>
<section class="detail" id="detail" aria-label="The finding" tabindex="-1" hidden></section>
</div>
${counted > 0 ? html`<p class="dim">${count(counted)} more were counted, but not listed (--max-findings).</p>` : undefined}`;
}

function pictures(id: string, title: string, list: readonly Thumbnail[]): Markup | undefined {
  if (list.length === 0) return undefined;
  const items = list.map(
    ({ path, rule, message, image }) => html`<li class="thumb${rule === undefined ? "" : " bad"}">
${image === undefined ? html`<div class="none">does not decode</div>` : html`<img src="${image}" alt="" loading="lazy">`}
<p><code>${path}</code>${rule === undefined ? undefined : html`<br><span class="error">${rule}: ${message}</span>`}</p>
</li>
`,
  );
  return section(id, title, html`<ul class="thumbs">${items}</ul>`);
}
