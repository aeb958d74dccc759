/** The report as SARIF. It has one result for each rule and folder, not for each finding, of which there may be millions. */
import { sarifLog } from "../../core/sarif.js";
import { folderOf, type Report } from "./report.js";

export function toSarif(report: Report): unknown {
  const results = report.rules.flatMap((rule) => {
    const examples = new Map<string, string>();
    for (const { rule: code, path, record, message } of report.findings) {
      const folder = folderOf(path);
      if (code !== rule.code || examples.has(folder)) continue;
      examples.set(folder, `${record === undefined ? "" : `${record}: `}${message}`);
    }
    return rule.folders.map(({ folder, findings, places }) => ({
      rule: rule.code,
      text: `${rule.title}: ${findings} here${examples.has(folder) ? `, the first: ${examples.get(folder)}` : ""}`,
      path: folder,
      properties: { findings, places },
    }));
  });
  return sarifLog({
    program: "vista-data",
    version: report.version,
    rules: report.rules.map(({ code, title, fix, severity }) => ({ id: code, title, fix, level: severity })),
    results,
    successful: report.verdict !== "interrupted",
    properties: { verdict: report.verdict, coverage: report.parts.flatMap(({ coverage }) => coverage) },
  });
}
