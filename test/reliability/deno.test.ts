/** Deno, whose threads do not share descriptors, so that sound files were called damaged: the programs say that it is not supported. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const AS_DENO =
  'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,deno:"2.9.6"}})';

it.each(["vista-ckpt", "vista-data", "vista-train"])(
  "%s says in one line that Deno is not supported",
  (program) => {
    const file = fileURLToPath(new URL(`../../bin/${program}.js`, import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", AS_DENO, file, "--help"], {
      encoding: "utf8",
    });
    expect(stdout).toBe("");
    expect(stderr).toBe(`${program}: Deno is not supported. Run the program with Node 20.15 or later.\n`);
    expect(status).toBe(1);
  },
);
