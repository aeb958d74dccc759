/**
 * Adds the platform packages that npm left out of package-lock.json. A registry mirror that lacks the binaries of other
 * platforms makes npm write an incomplete lock file, which `npm ci` then refuses everywhere. Run it after every
 * `npm install` that changes dependencies; it does nothing to a complete file.
 */
import { readFileSync, writeFileSync } from "node:fs";

const path = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8"));
const OS = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const CPU = {
  arm64: "arm64",
  x64: "x64",
  ia32: "ia32",
  arm: "arm",
  loong64: "loong64",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
};

let added = 0;
for (const [where, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (lock.packages[`node_modules/${name}`] || lock.packages[`${where}/node_modules/${name}`]) continue;
    // e.g. @rollup/rollup-linux-arm-musleabihf, @biomejs/cli-darwin-arm64
    const words = name.split("/").at(-1).split("-");
    const os = words.find((word) => OS.includes(word));
    const cpu = words.find((word) => word in CPU);
    if (os === undefined || cpu === undefined || !/^\d+\.\d+\.\d+$/.test(version)) {
      throw new Error(
        `${name}@${version} of ${where} is not in the lock file, and its name tells no platform`,
      );
    }
    const libc = words.some((word) => word.startsWith("musl"))
      ? "musl"
      : words.some((word) => word.startsWith("gnu"))
        ? "glibc"
        : undefined;
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu: [CPU[cpu]],
      ...(entry.dev ? { dev: true } : {}),
      ...(libc !== undefined && os === "linux" ? { libc: [libc] } : {}),
      optional: true,
      os: [os],
    };
    added++;
  }
}
if (added > 0) {
  const root = lock.packages[""];
  const sorted = Object.keys(lock.packages)
    .filter((key) => key !== "")
    .sort();
  lock.packages = { "": root, ...Object.fromEntries(sorted.map((key) => [key, lock.packages[key]])) };
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
}
console.log(`${added} platform packages added to package-lock.json`);
