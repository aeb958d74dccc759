import type { Subset } from "./data.js";

export async function quickCheck(_subset: Subset, _vista: string): Promise<string[]> {
  return [];
}
