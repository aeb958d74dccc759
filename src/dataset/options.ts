/** Options that are numbers of things, which a program may give in any form; the commands look at theirs as they read them. */
import { VistaError } from "../core/errors.js";
import type { CheckOptions, Shard } from "./finding.js";

const LEVELS: readonly string[] = ["names", "headers", "decode"] satisfies CheckOptions["images"][];

/** Refuses an option that is no whole number from 1 to `most`; one that is not given is left alone. @throws VistaError `USAGE` */
export function requireCount(name: string, value: number | undefined, most = Number.MAX_SAFE_INTEGER): void {
  if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) return;
  throw new VistaError("USAGE", `${name} is ${value}`, {
    hint: `Give a whole number from 1 ${most === Number.MAX_SAFE_INTEGER ? "on" : `to ${most}`}.`,
  });
}

/**
 * Refuses what no check can heed: of a shard that there is not, nothing would be looked at, and of an amount that is none, all or
 * nothing.
 *
 * @throws VistaError `USAGE`
 */
export function requireCheckOptions({
  images = "headers",
  sample = 0,
  budget = 0,
  shard,
}: CheckOptions): void {
  if (!LEVELS.includes(images))
    throw new VistaError("USAGE", `images is ${images}`, { hint: `Give ${LEVELS.join(", ")}.` });
  for (const [name, value] of Object.entries({ sample, budget }))
    if (!(value >= 0))
      throw new VistaError("USAGE", `${name} is ${value}`, { hint: "Give a number from 0 on." });
  if (shard === undefined) return;
  requireCount("shard.count", shard.count ?? Number.NaN);
  requireCount("shard.index", shard.index ?? Number.NaN, shard.count);
}

/** Tells whether this is the part of a check that does what cannot be split. */
export function isFirst(shard: Shard | undefined): boolean {
  return shard === undefined || shard.index === 1;
}

/** Returns those of some things that this part of a check looks at. */
export function ownOf<Item>(items: readonly Item[], shard: Shard | undefined): readonly Item[] {
  return shard === undefined ? items : items.filter((_, i) => i % shard.count === shard.index - 1);
}
