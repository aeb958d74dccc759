import { expect, test } from "vitest";
import { suggest } from "../../src/core/suggest.js";

test("slips of the finger are recognised, other words are not", () => {
  const names = ["--accumulate_grad_batches", "--max_epochs", "--seed"];
  expect(suggest("--acumulate_grad_batchs", names)).toBe("--accumulate_grad_batches");
  expect(suggest("--sead", names)).toBe("--seed");
  expect(suggest("--wandb", names)).toBeUndefined();
});
