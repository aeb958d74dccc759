/** The report as one HTML file that needs no network: data, style and script are all in it. */
import { SCRIPT } from "./page/script.js";
import { STYLE } from "./page/style.js";
import type { Report } from "./report.js";
import { verdict } from "./text.js";
import { makeThumbnails } from "./thumbnails.js";

export async function toHtml(report: Report): Promise<string> {
  const codes = report.rules.map((rule) => rule.code);
  const data = {
    root: report.root,
    version: report.version,
    verdict: report.verdict,
    sentence: verdict(report),
    counts: report.counts,
    parts: report.parts.map(({ samples: _, ...part }) => part),
    rules: report.rules.map((rule) => ({
      ...rule,
      folders: rule.folders.slice(0, 3),
      places: rule.folders.length,
    })),
    // As rows: as objects, 100,000 findings would repeat their keys 100,000 times.
    findings: report.findings.map(({ rule, path, record, offset, message, count }) => [
      codes.indexOf(rule),
      path,
      record ?? (offset === undefined ? "" : `byte ${offset}`),
      message,
      count ?? 1,
    ]),
    thumbnails: await makeThumbnails(report),
  };
  // A "</script>" in a file name must not end the script element.
  const json = JSON.stringify(data).replaceAll("<", "\\u003c");
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vista-data</title>
<style>${STYLE}</style>
</head>
<body>
<main></main>
<script type="application/json" id="data">${json}</script>
<script>${SCRIPT}</script>
</body>
</html>
`;
}
