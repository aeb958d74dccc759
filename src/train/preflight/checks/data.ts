/** The check of the data sets that the config's subsets need, in the places where their classes look for them. */
import { resolve } from "node:path";
import { quote } from "../../../core/text.js";
import { configFindings } from "../../../dataset/vista-config.js";
import { locateSubsets, mapsSubset } from "../data.js";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";
import { there } from "./look.js";

/** The largest number of problems of one subset that are shown; `vista-data check` has the rest. */
const SHOWN = 3;

export async function* checkData(context: CheckContext): AsyncGenerator<TrainFinding> {
  const { plan, facts, wanted, sampled, signal, onProgress } = context;
  if (facts === undefined) return;
  if (facts.noSubsets !== undefined) {
    yield finding("unknown-subset", `data.params.subsets is ${facts.noSubsets}`, {
      fix: "Write a list: data.params.subsets=[NuScenes]",
    });
    return;
  }
  const { known, unknown, unclear } = await locateSubsets(plan.vista, facts.subsets);
  for (const name of unknown) {
    if (await mapsSubset(plan.vista, name)) continue;
    const what = `the config names the subset ${name}, which vwm/data/dataset.py does not know`;
    yield finding("unknown-subset", what);
  }
  for (const { name, file, parameter } of unclear) {
    const what = `${name}: ${file} does not set ${parameter} to a plain text: not looked at`;
    const fix = "Look for yourself whether the data is where the class will open it.";
    yield finding("data-missing", what, { severity: "note", fix });
  }
  for (const problem of facts.countProblems)
    yield finding("data-faulty", problem, { fix: "Correct data.params of the config." });
  if (facts.countProblems.length > 0) return;
  const numFrames = facts.numFrames ?? 25;
  const settings = {
    path: plan.base[0] ?? "the config",
    subsets: facts.subsets,
    probs: facts.probs,
    batchSize: facts.batchSize,
    // These three have the defaults of Sampler in vwm/data/dataset.py.
    numFrames,
    targetHeight: facts.height ?? 320,
    targetWidth: facts.width ?? 576,
  };
  for (const one of unknown.length > 0 ? [] : configFindings(settings, () => true, [])) {
    if (one.severity !== "error") continue;
    yield finding("data-faulty", `${one.message} (${one.rule})`, {
      fix: "Correct data.params of the config.",
    });
  }
  for (const subset of known) {
    let isThere = true;
    for (const path of [subset.root, ...subset.annotations]) {
      const kind = path === subset.root ? "folder" : "file";
      const absent = `${subset.name}: there is no ${kind} ${path}`;
      const own = yield* there("data-missing", resolve(plan.vista, path), absent, kind);
      isThere &&= own !== undefined;
    }
    if (!isThere || !wanted("data-faulty")) continue;
    const fix = `For the whole list: vista-data check ${quote(plan.vista)}`;
    const options = { numFrames, signal, onProgress };
    // The check of annotation files is loaded where there are some: most commands need none of it.
    const { quickCheck } = await import("../quick-data.js");
    const { errors, warnings, ...look } = await quickCheck(subset, plan.vista, options);
    sampled.push(...look.sampled);
    const problems = [...errors, ...warnings];
    if (problems.length > SHOWN) problems[SHOWN] = `${problems.length - SHOWN} more of the kind`;
    for (const [at, message] of problems.slice(0, SHOWN + 1).entries()) {
      const severity = at < errors.length ? "error" : "warning";
      yield finding("data-faulty", `${subset.name}: ${message}`, { severity, fix });
    }
  }
}
