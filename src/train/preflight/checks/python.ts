/** The check of the interpreter and of the versions of what Vista imports; it imports nothing heavy. */
import { access, constants } from "node:fs/promises";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";

const PACKAGES = ["torch", "pytorch-lightning", "deepspeed", "omegaconf", "safetensors", "pydantic"] as const;
/** The packages without which train.py cannot start. */
const NEEDED = ["torch", "pytorch-lightning", "deepspeed", "omegaconf", "safetensors"] as const;

const SCRIPT = `
import importlib.metadata as metadata, json, sys
versions = {}
for name in sys.argv[1:]:
    try:
        versions[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        versions[name] = None
print(json.dumps(versions))
`;

type Versions = Partial<Record<(typeof PACKAGES)[number], string | null>>;

export async function* checkPython({ plan, system }: CheckContext): AsyncGenerator<TrainFinding> {
  const path = plan.env.PATH ?? system.env.PATH ?? "";
  const launcher = plan.torchrun ?? "torchrun";
  let python = plan.python ?? "python";
  if (plan.recipe.launcher === "torchrun" && plan.python === undefined) {
    const torchrun = await findProgram(launcher, path, plan.vista);
    if (torchrun === undefined) {
      yield finding("python-missing", `there is no ${launcher} that can be run on this machine`);
      return;
    }
    // torchrun lies beside the interpreter of its environment.
    python = (await findProgram(join(dirname(torchrun), "python"), path, plan.vista)) ?? python;
  }
  const result = await system.capture(python, ["-c", SCRIPT, ...PACKAGES], {
    timeoutSeconds: 60,
    env: { ...system.env, ...plan.env },
    cwd: plan.vista,
  });
  if (result.outcome === "missing") {
    yield finding("python-missing", `there is no ${python} that can be run on this machine`);
    return;
  }
  let versions: Versions;
  try {
    // An environment may print something of its own first, so only the last line counts.
    versions = JSON.parse(result.stdout.trim().split("\n").at(-1)!) as Versions;
  } catch {
    const line = result.stderr.trim().split("\n").at(-1) ?? "";
    yield finding("python-missing", `${python} does not run (exit code ${result.code}): ${line}`);
    return;
  }
  yield* checkVersions(versions, python);
}

async function findProgram(name: string, path: string, cwd: string): Promise<string | undefined> {
  const candidates =
    name.includes("/") || isAbsolute(name)
      ? [resolve(cwd, name)]
      : path.split(delimiter).map((folder) => join(folder, name));
  for (const candidate of candidates) {
    const runs = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return candidate;
  }
  return undefined;
}

/** Looks for versions that are known to fail with Vista, and says why. */
function* checkVersions(versions: Versions, python: string): Generator<TrainFinding> {
  const missing = NEEDED.filter((name) => versions[name] === null || versions[name] === undefined);
  if (missing.length > 0) yield finding("package-missing", `${python} has no ${missing.join(", no ")}`);

  const lightning = versions["pytorch-lightning"];
  if (lightning && (atLeast(lightning, "2.1") || !atLeast(lightning, "2.0"))) {
    yield finding("lightning-version", `pytorch-lightning ${lightning} is installed, Vista pins 2.0.1`);
  }
  const { deepspeed, torch, pydantic } = versions;
  if (!deepspeed) return;
  // torch 2.0 removed torch._six, which DeepSpeed imported before 0.8.2.
  if (torch && atLeast(torch, "2.0") && !atLeast(deepspeed, "0.8.2")) {
    const what = `deepspeed ${deepspeed} imports torch._six, which torch ${torch} no longer has`;
    yield finding("deepspeed-version", what);
  }
  // torch 2.4 renamed `log` in its elastic agent, which DeepSpeed imported before 0.14.1 (DeepSpeed#5337).
  else if (torch && atLeast(torch, "2.4") && !atLeast(deepspeed, "0.14.1")) {
    const what = `deepspeed ${deepspeed} imports \`log\` of torch's elastic agent, which torch ${torch} no longer has`;
    yield finding("deepspeed-version", what);
  }
  // The requirements of DeepSpeed say pydantic<2 up to 0.11.1.
  if (pydantic && atLeast(pydantic, "2") && !atLeast(deepspeed, "0.11.2")) {
    const what = `deepspeed ${deepspeed} needs pydantic before 2, and ${pydantic} is installed`;
    yield finding("deepspeed-version", what);
  }
}

/** Tells whether a version (`2.0.1+cu118`, `2.1.0rc1`) is not before `minimum`; only its numbers count. */
function atLeast(version: string, minimum: string): boolean {
  const numbers = (text: string) => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "0").split(".").map(Number);
  const [own, other] = [numbers(version), numbers(minimum)];
  for (let i = 0; i < Math.max(own.length, other.length); i++) {
    const difference = (own[i] ?? 0) - (other[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}
