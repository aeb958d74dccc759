/** SARIF 2.1.0 (an OASIS standard), which code scanning views read: the part that the reports of all programs share. */
import { withoutSecrets } from "./errors.js";
import { isRemote } from "./io/places.js";

/** The largest number of results in a report; GitHub refuses a run with more than 25,000. */
const MAX_RESULTS = 20_000;

export interface SarifRule {
  readonly id: string;
  readonly title: string;
  /** The sentence that says what to do about it. */
  readonly fix: string;
  readonly level: "error" | "warning" | "note";
}

export interface SarifResult {
  readonly rule: string;
  readonly text: string;
  /** The file or folder, as the user would write it. */
  readonly path: string;
  readonly properties?: Readonly<Record<string, unknown>>;
}

export interface SarifRun {
  readonly program: string;
  readonly version: string;
  readonly rules: readonly SarifRule[];
  readonly results: readonly SarifResult[];
  /** Whether the run came to its end; false where it was stopped. */
  readonly successful: boolean;
  readonly properties: Readonly<Record<string, unknown>>;
}

export function sarifLog({ program, version, rules, results, successful, properties }: SarifRun): unknown {
  const places = new Map(rules.map(({ id }, index) => [id, index]));
  return {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [
      {
        tool: {
          driver: {
            name: program,
            version,
            rules: rules.map(({ id, title, fix, level }) => ({
              id,
              shortDescription: { text: title },
              help: { text: fix },
              defaultConfiguration: { level },
            })),
          },
        },
        invocations: [{ executionSuccessful: successful }],
        results: results.slice(0, MAX_RESULTS).map(({ rule, text, path, properties }) => ({
          ruleId: rule,
          ruleIndex: places.get(rule),
          level: rules[places.get(rule)!]!.level,
          message: { text },
          locations: [{ physicalLocation: { artifactLocation: { uri: toUri(path) } } }],
          properties,
        })),
        properties: { ...properties, resultsLeftOut: Math.max(0, results.length - MAX_RESULTS) },
      },
    ],
  };
}

function toUri(path: string): string {
  if (/^https?:/i.test(path) && URL.canParse(path))
    return withoutSecrets(new URL(path).href).replace(/\?\u2026$/, "");
  const scheme = isRemote(path) ? path.slice(0, path.indexOf("://") + 3) : "";
  return scheme + path.slice(scheme.length).split("/").map(encodeURIComponent).join("/");
}
