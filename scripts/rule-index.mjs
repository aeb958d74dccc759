// Writes the index of rules at the end of docs/vista-data.md from the rule tables. Run it after `npm run build` when a rule
// is added or renamed; a test compares the two.
import { readFileSync, writeFileSync } from "node:fs";
import { RULES } from "../dist/dataset/rules.js";

const PAGE = new URL("../docs/vista-data.md", import.meta.url);
const TITLES = {
  vista: "Vista and its config",
  nuscenes: "nuScenes",
  opendv: "OpenDV-YouTube",
  annos: "Annotation files",
};

const page = readFileSync(PAGE, "utf8");
const start = page.indexOf(`### ${TITLES.vista}`);
const sections = Object.entries(TITLES).map(([prefix, title]) => {
  const rules = RULES.filter(({ code }) => code.startsWith(`${prefix}/`));
  const lines = rules.map(({ code, severity, title }) => {
    return `| [${code}](rules/${code.replace("/", "-")}.md) | ${severity} | ${title} |`;
  });
  return [`### ${title}`, "", "| rule | | |", "| --- | --- | --- |", ...lines, ""].join("\n");
});
writeFileSync(PAGE, page.slice(0, start) + sections.join("\n"));
