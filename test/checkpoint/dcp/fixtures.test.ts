/** Folders that real torch saved, against the digests of what torch's own converter makes of them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.js";
import { verifyCheckpoint } from "../../../src/checkpoint/verify.js";
import { type Digest, digestsOf, FIXTURES } from "../../helpers/state.js";

const FOLDER = join(FIXTURES, "dcp");
const cases = readdirSync(FOLDER, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

it.each(cases)("%s is what torch converts it to", async (name) => {
  const expected = JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8")) as Record<
    string,
    Omit<Digest, "name">
  >;
  const opened = await openCheckpoint(join(FOLDER, name));
  try {
    expect(opened.kind).toBe("dcp");
    const digests = await digestsOf(opened.state);
    expect(Object.fromEntries(digests.map(({ name, ...rest }) => [name, rest]))).toEqual(expected);
  } finally {
    await opened.state.close();
  }
});

it.each(cases)("verify leaves no byte of %s aside, nor the items of empty boxes", async (name) => {
  const { problems, files, warnings } = await verifyCheckpoint(join(FOLDER, name));
  expect({ problems, warnings: warnings.filter((text) => text.includes("not looked at")) }).toEqual({
    problems: [],
    warnings: [],
  });
  for (const { format, records, checked } of files) if (format === "dcp") expect(checked).toBe(records);
});
