/** Where sharp's binary is missing, as after `npm install --omit=optional`. */
import { expect, it, vi } from "vitest";
import { loadSharp } from "../../../src/dataset/images/decode.js";

vi.mock("sharp", () => {
  throw new Error('Could not load the "sharp" module using the linux-x64 runtime');
});

it("without sharp's binary decoding ends with the command that mends it", async () => {
  await expect(loadSharp()).rejects.toMatchObject({
    name: "VistaError",
    code: "IO",
    hint: expect.stringMatching(/npm install --include=optional sharp@0\.35\.5/),
  });
});
