/** The README's pictures and links to files: they are there, and a picture is read over slow lines, too. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { expect, it } from "vitest";

const readme = readFileSync("README.md", "utf8");

it("every file that is linked is there", () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!);
  const files = links.filter((link) => !/^https?:/.test(link));
  expect(files.length).toBeGreaterThan(15);
  for (const file of files) expect([file, existsSync(file)]).toEqual([file, true]);
});

it("every picture says in words what it shows, and has less than 150 kB", () => {
  const pictures = [...readme.matchAll(/!\[([^\]]*)\]\(([^)]+)\)/g)];
  expect(pictures.length).toBe(3);
  for (const [, words, file] of pictures) {
    expect(words!.split(" ").length).toBeGreaterThan(5);
    expect(statSync(file!).size).toBeLessThan(150_000);
  }
});
