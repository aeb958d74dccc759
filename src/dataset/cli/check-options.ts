import type { Shard } from "../finding.js";

/** The options of `vista-data check`, as commander gives them. */
export interface CheckCommandOptions {
  kind?: "nuscenes" | "opendv" | "annotations";
  version?: string;
  annos?: string[];
  tablesOnly?: boolean;
  quick?: boolean;
  images?: "names" | "headers" | "decode";
  decode?: boolean;
  sample?: number;
  budget?: number;
  seed: number;
  config?: string;
  ignore?: string[];
  maxFindings: number;
  json?: boolean;
  ndjson?: string;
  sarif?: string;
  report?: string;
  writeClean?: string;
  listMissing?: string;
  force?: boolean;
  shard?: Shard;
  index?: string;
  quiet?: boolean;
}
