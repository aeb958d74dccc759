/**
 * SARIF 2.1.0 (OASIS standard), for code scanning views. One result for each rule and folder, not for each finding:
 * GitHub refuses a run with more than 25,000 results.
 */
import { folderOf, type Report } from "./report.js";

const MAX_RESULTS = 20_000;

export function toSarif(report: Report): unknown {
  const ruleIndex = new Map(report.rules.map((rule, index) => [rule.code, index]));
  const results = report.rules.flatMap((rule) => {
    const examples = new Map<string, string>();
    for (const { rule: code, path, record, message } of report.findings) {
      const folder = folderOf(path);
      if (code !== rule.code || examples.has(folder)) continue;
      examples.set(folder, `${record === undefined ? "" : `${record}: `}${message}`);
    }
    return rule.folders.map(({ folder, findings, places }) => ({
      ruleId: rule.code,
      ruleIndex: ruleIndex.get(rule.code),
      level: rule.severity,
      message: {
        text: `${rule.title}: ${findings} here${examples.has(folder) ? `, the first: ${examples.get(folder)}` : ""}`,
      },
      locations: [{ physicalLocation: { artifactLocation: { uri: toUri(folder) } } }],
      properties: { findings, places },
    }));
  });
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: "vista-data",
            version: report.version,
            rules: report.rules.map((rule) => ({
              id: rule.code,
              shortDescription: { text: rule.title },
              help: { text: rule.fix },
              defaultConfiguration: { level: rule.severity },
            })),
          },
        },
        invocations: [{ executionSuccessful: report.verdict !== "interrupted" }],
        results: results.slice(0, MAX_RESULTS),
        properties: { verdict: report.verdict, resultsLeftOut: Math.max(0, results.length - MAX_RESULTS) },
      },
    ],
  };
}

function toUri(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
