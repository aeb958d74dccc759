import { expect, it } from "vitest";
import { mapOrdered } from "../../../src/core/io/map-ordered.js";
import { settleAll } from "../../../src/core/io/settle.js";

/** Ends some turns of the event loop later, and says so. */
async function later(ended: string[], name: string, error?: Error): Promise<string> {
  for (let turn = 0; turn < (error === undefined ? 5 : 1); turn++)
    await new Promise((resolve) => setImmediate(resolve));
  ended.push(name);
  if (error !== undefined) throw error;
  return name;
}

it("settleAll gives results in order, and the first failure only when nothing runs any more", async () => {
  const ended: string[] = [];
  expect(await settleAll([later(ended, "a"), "b"])).toEqual(["a", "b"]);
  ended.length = 0;
  const failing = settleAll([later(ended, "a"), later(ended, "b", new Error("b failed")), later(ended, "c")]);
  await expect(failing).rejects.toThrow("b failed");
  expect(ended).toEqual(["b", "a", "c"]);
});

it("mapOrdered leaves nothing running behind a failure, nor where the caller stops", async () => {
  for (const fails of [true, false]) {
    const ended: string[] = [];
    const results = mapOrdered(["a", "b", "c", "d"], 3, (name) =>
      later(ended, name, name === "b" && fails ? new Error("b failed") : undefined),
    );
    const taking = (async () => {
      for await (const result of results) if (!fails && result === "a") break;
    })();
    if (fails) await expect(taking).rejects.toThrow("b failed");
    else await taking;
    expect(ended.sort()).toEqual(fails ? ["a", "b", "c", "d"] : ["a", "b", "c"]);
  }
});
