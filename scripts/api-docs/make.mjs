/**
 * Makes docs/api.md from the doc comments of the three doors, one after the other, each by itself: a type that a public one
 * mentions and that cannot be named from the same door is an error, as is a link to what is not there.
 *
 * `npm run docs:api` writes the page; with `-- --check` nothing is written, and the exit code is 1 where the page is not current.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Application } from "typedoc";

const DOORS = [
  { name: "vista-ckpt", title: "Checkpoints", source: "checkpoint" },
  { name: "vista-ckpt/data", title: "Data", source: "dataset" },
  { name: "vista-ckpt/train", title: "Training", source: "train" },
];
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PAGE = join(ROOT, "docs/api.md");

const output = mkdtempSync(join(tmpdir(), "vista-ckpt-api-"));
try {
  const pages = [];
  for (const door of DOORS) pages.push(await pageOf(door));
  const page = [
    "# The library",
    "",
    "This page is made from the doc comments in `src/` by `npm run docs:api`; change it there. Every name below can be imported from the",
    "door under whose heading it stands. [docs/examples](examples) has programs that run; [errors.md](errors.md) has what is thrown.",
    "",
    ...DOORS.map(({ name, title }) => `- [${title}: \`${name}\`](#${anchor(`${title}: ${name}`)})`),
    "",
    pages.join("\n"),
  ].join("\n");
  if (process.argv.includes("--check")) {
    if (readFileSync(PAGE, "utf8") !== page) fail("docs/api.md is not current: run npm run docs:api");
  } else {
    writeFileSync(PAGE, page);
  }
} finally {
  rmSync(output, { recursive: true, force: true });
}

/** The text of a door, its headings one level down. */
async function pageOf({ name, title, source }) {
  const out = join(output, source);
  const app = await Application.bootstrapWithPlugins({
    entryPoints: [join(ROOT, `src/${source}/index.ts`)],
    tsconfig: join(ROOT, "tsconfig.build.json"),
    plugin: ["typedoc-plugin-markdown"],
    readme: "none",
    logLevel: "Warn",
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    disableGit: true,
    validation: { notExported: true, invalidLink: true, notDocumented: false },
    treatWarningsAsErrors: true,
    hidePageHeader: true,
    hidePageTitle: true,
    hideBreadcrumbs: true,
    hideGroupHeadings: true,
    useCodeBlocks: true,
    expandObjects: true,
    parametersFormat: "table",
    interfacePropertiesFormat: "table",
    enumMembersFormat: "table",
    typeAliasPropertiesFormat: "table",
    entryFileName: "api.md",
    router: "module",
  });
  const project = await app.convert();
  if (project === undefined) fail(`${name}: TypeDoc found errors`);
  app.validate(project);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) fail(`${name}: the warnings above are errors`);
  app.options.setValue("outputs", [{ name: "markdown", path: out }]);
  await app.generateOutputs(project);
  return `## ${title}: ${name}\n\n${indent(readFileSync(join(out, "api.md"), "utf8"))}`;
}

/** Headings one level down, six at most, outside of code. */
function indent(text) {
  let code = false;
  return text
    .split("\n")
    .map((line) => {
      if (line.startsWith("```")) code = !code;
      return !code && /^#{1,5} /.test(line) ? `#${line}` : line.replace(/^#{7,} /, "###### ");
    })
    .join("\n");
}

function anchor(heading) {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  rmSync(output, { recursive: true, force: true });
  process.exit(1);
}
