/** The checks of `vista-data` as a stream of findings. */
import { checkNuScenes, RULES } from "vista-ckpt/data";

const check = checkNuScenes("data/nuscenes", { version: "v1.0-mini" });
let errors = 0;
for await (const finding of check) {
  if (finding.severity === "error") errors++;
  console.log(finding.severity, finding.rule, finding.message);
}
console.log(`${errors} errors by ${RULES.length} rules`, check.summary.coverage);
