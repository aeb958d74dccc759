/** The messages of errors: names from files are shortened where they are too long, and the sentence around them stays whole. */
import { describe, expect, it } from "vitest";
import { messageWithin, VistaError } from "../../src/core/errors.js";

const LONG = "n".repeat(5000);

describe("the message of an error", () => {
  it("keeps its end, however long a name in it is", () => {
    const error = new VistaError("FORMAT", `the parameter "${LONG}" and ${LONG}: 3 elements, not 4`, {});
    const short = `${"n".repeat(300)}… (5000 characters)`;
    expect(error.message).toBe(`the parameter "${short}" and ${short}: 3 elements, not 4`);
    expect(new VistaError("FORMAT", error.what).what).toBe(error.what);
  });

  it("keeps its end where a name has spaces, and is bounded", () => {
    const error = new VistaError("FORMAT", `the parameter ${"a b ".repeat(5000)} has 3 elements, not 4`);
    expect(error.message).toMatch(
      /^the parameter a b .*… \(20036 characters\) .*b {2}has 3 elements, not 4$/,
    );
    expect(error.message.length).toBeLessThan(2600);
  });

  it("leaves out secrets of a long URL", () => {
    const url = `https://host/file?signature=${"s".repeat(1000)}`;
    expect(new VistaError("IO", `was sent on to ${url} and back`).message).toBe(
      "was sent on to https://host/file?… and back",
    );
  });

  it("is given without the place that is known, whatever the name of the record is", () => {
    for (const record of ["a", LONG, "\u001b[31m\n", "https://user:pass@host/?x=1"]) {
      const error = new VistaError("FORMAT", "is bent", { path: "x.bin", record, offset: 7 });
      expect(error.what).toBe("is bent");
      expect(messageWithin(error, { path: "x.bin", record })).toBe("at byte 7: is bent");
      expect(messageWithin(error, { path: "y.bin", record })).toBe("x.bin: at byte 7: is bent");
    }
  });
});
