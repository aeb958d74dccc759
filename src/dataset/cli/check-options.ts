import type { Shard } from "../finding.js";
import type { ReportOutputs } from "./outputs.js";

/** The options of `vista-data check`, as commander gives them. */
export interface CheckCommandOptions extends ReportOutputs {
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
  writeClean?: string;
  listMissing?: string;
  shard?: Shard;
  index?: string;
}
