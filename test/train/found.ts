/** The preflight of the checkout in a test's folder, on a machine that answers as told. */
import { join } from "node:path";
import { expect } from "vitest";
import { BUILT_IN_RECIPES } from "../../src/train/launch/built-in-recipes.js";
import { type LaunchOptions, planLaunch } from "../../src/train/launch/plan.js";
import type { System } from "../../src/train/launch/system.js";
import { type PreflightOptions, preflight } from "../../src/train/preflight/preflight.js";
import { fakeSystem } from "./checkout.js";

/** A port that is another one in each process: the check opens it, and two that did so at once would call it busy. */
export const FREE_PORT = 20_000 + (process.pid % 10_000);
export const ENDPOINT = `localhost:${FREE_PORT}`;

/** A line in the documented form of nvidia-smi (not taken from a real machine), with what is different. */
export const H100 = (
  index: number,
  more: { total?: string; free?: string; mig?: string; name?: string } = {},
) =>
  `${index}, GPU-0${index}c8e1a4-7d1f-4f0e-8a57-6a1f3c9d2b10, ${more.name ?? "NVIDIA H100 80GB HBM3"}, ${more.total ?? "81559"}, ${more.free ?? "81084"}, ${more.mig ?? "Disabled"}`;
/** What nvidia-smi says of eight H100, in its documented form. */
export const EIGHT = Array.from({ length: 8 }, (_, i) => H100(i)).join("\n");

/** A node on which nothing is wrong, but for what `answers` says. */
export function node(
  answers: Parameters<typeof fakeSystem>[0] = {},
  env: Record<string, string> = {},
): System {
  return fakeSystem({ "nvidia-smi": { stdout: `${EIGHT}\n` }, ...answers }, env);
}

/** What the preflight finds, as `severity rule` without `train/`, and its words. Other paths are relative to `folder`. */
export async function preflightOf(
  folder: string,
  recipe: string,
  options: Partial<LaunchOptions> = {},
  system: System = node(),
  preflightOptions: Omit<PreflightOptions, "env"> = {},
) {
  const plan = planLaunch(
    BUILT_IN_RECIPES.find((one) => one.name === recipe)!,
    { vista: join(folder, "Vista"), python: "python", ...options },
    folder,
  );
  const { findings, sampled } = await preflight(plan, system, preflightOptions);
  for (const one of findings) {
    expect(one.message).not.toMatch(/undefined|\n/);
    expect(one.fix).not.toBe("");
  }
  return {
    codes: findings.map((one) => `${one.severity} ${one.rule.replace("train/", "")}`),
    text: findings.map((one) => `${one.message} | ${one.fix}`).join("\n"),
    sampled,
  };
}

/** {@link preflightOf} with its folder given. */
export type Preflight = (
  ...args: Parameters<typeof preflightOf> extends [string, ...infer Rest] ? Rest : never
) => ReturnType<typeof preflightOf>;
