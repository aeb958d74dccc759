/**
 * The script of the HTML report, which shows its list of findings. It runs in the reader's browser, without any library and
 * without the network. Only rows in view are in the document, so that 100,000 findings scroll like 100.
 */
import { SEVERITIES } from "../../finding.js";
import type { PageData, PageRow } from "./data.js";
import { COLUMNS, FindingList, rowAfterKey, rowsInView, toText } from "./list.js";

function byId<Kind extends HTMLElement>(id: string): Kind {
  return document.getElementById(id) as Kind;
}

function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string>,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const number = (value: number) => value.toLocaleString("en-US");

const data = JSON.parse(byId("data").textContent) as PageData;
const list = new FindingList(data);
const filter = { rule: "", text: "", severities: new Set(SEVERITIES) };
const order = { column: -1, up: true };
let rows: PageRow[] = [];
/** The index of the row that the keyboard is at. */
let current = 0;

const grid = byId("grid");
const view = byId("list");
const space = make("div", { class: "space", role: "presentation" });
const detail = byId("detail");
const status = byId("status");
const choice = byId<HTMLSelectElement>("rule");
const buttons = [...grid.querySelectorAll<HTMLButtonElement>("[data-column]")];
view.append(space);

/** Returns the height of a row, which the style sheet sets: rows are lines on a wide screen and cards on a narrow one. */
const rowHeight = () => Number.parseFloat(getComputedStyle(view).getPropertyValue("--row"));

function rowElement(row: PageRow, index: number): HTMLElement {
  const [rule, path, record, message, places] = row;
  const { code, severity } = data.rules[rule]!;
  const isCurrent = index === current;
  const cell = (...children: (Node | string)[]) => make("div", { role: "gridcell" }, ...children);
  return make(
    "div",
    {
      class: "row",
      role: "row",
      "aria-rowindex": String(index + 2),
      "data-index": String(index),
      tabindex: isCurrent ? "0" : "-1",
      "aria-selected": String(isCurrent && !detail.hidden),
      style: `top:${index * rowHeight()}px`,
      title: `${path}\n${message}`,
    },
    cell(make("span", { class: `badge ${severity}` }, severity)),
    cell(make("code", {}, code)),
    // The end of a path tells files apart, so where there is no room for all of it, its start is left out.
    make("div", { role: "gridcell", class: "tail" }, make("bdi", {}, make("code", {}, path))),
    cell(make("code", {}, record)),
    cell(message),
    cell(places > 1 ? number(places) : ""),
  );
}

function draw(): void {
  const { from, to } = rowsInView(view.scrollTop, view.clientHeight, rowHeight(), rows.length);
  const shown = new Set(Array.from({ length: to - from }, (_, i) => from + i));
  // The row with the focus stays in the document, wherever it is, because the focus would be lost with it.
  const hadFocus = space.contains(document.activeElement);
  if (current < rows.length) shown.add(current);
  space.replaceChildren(...[...shown].sort((a, b) => a - b).map((index) => rowElement(rows[index]!, index)));
  if (hadFocus) focusCurrent();
}

function focusCurrent(): void {
  space.querySelector<HTMLElement>(`[data-index="${current}"]`)?.focus({ preventScroll: true });
}

function refresh(): void {
  rows = list.select(filter, order);
  current = 0;
  for (const [index, button] of buttons.entries()) {
    const isSorted = order.column === index;
    button.textContent = COLUMNS[index]!.title + (isSorted ? (order.up ? " ↑" : " ↓") : "");
    const header = button.parentElement!;
    header.setAttribute("aria-sort", isSorted ? (order.up ? "ascending" : "descending") : "none");
  }
  byId("shown").textContent = `${number(rows.length)} of ${number(data.findings.length)}`;
  grid.setAttribute("aria-rowcount", String(rows.length + 1));
  space.style.height = `${rows.length * rowHeight()}px`;
  view.style.height = `${Math.min(540, Math.max(3, data.findings.length) * rowHeight() + 2)}px`;
  view.scrollTop = 0;
  detail.hidden = true;
  draw();
}

function open(index: number): void {
  const row = rows[index];
  if (row === undefined) return;
  current = index;
  const [rule, path, record, message, places] = row;
  const { code, severity, title, fix, url } = data.rules[rule]!;
  const entries: [string, Node | string][] = [
    ["What", message],
    ["File", make("code", {}, path)],
    ...(record === "" ? [] : [["Record", make("code", {}, record)] as [string, Node]]),
    ...(places > 1 ? [["Places", number(places)] as [string, string]] : []),
    ["Rule", make("a", { href: url }, `${code}: ${title}`)],
    ["What to do", fix],
  ];
  const close = make("button", { type: "button" }, "Close");
  close.addEventListener("click", closeDetail);
  detail.replaceChildren(
    make("h3", {}, make("span", { class: `badge ${severity}` }, severity), ` ${code}`),
    make("dl", {}, ...entries.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)])),
    close,
  );
  detail.hidden = false;
  draw();
  detail.focus({ preventScroll: true });
  detail.scrollIntoView({ block: "nearest" });
}

function closeDetail(): void {
  detail.hidden = true;
  draw();
  focusCurrent();
}

function moveTo(index: number): void {
  current = index;
  const top = index * rowHeight();
  if (top < view.scrollTop) view.scrollTop = top;
  const below = top + rowHeight() - view.clientHeight;
  if (below > view.scrollTop) view.scrollTop = below;
  draw();
  focusCurrent();
}

function indexOf(event: Event): number | undefined {
  const row = (event.target as Element).closest<HTMLElement>("[data-index]");
  return row === null ? undefined : Number(row.dataset.index);
}

view.addEventListener("click", (event) => {
  const index = indexOf(event);
  if (index !== undefined) open(index);
});
view.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const index = indexOf(event) ?? current;
  if (event.key === "Enter" || event.key === " ") open(index);
  else {
    const to = rowAfterKey(event.key, index, Math.floor(view.clientHeight / rowHeight()) - 1, rows.length);
    if (to === undefined) return;
    moveTo(to);
  }
  event.preventDefault();
});
detail.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeDetail();
});
view.addEventListener("scroll", () => requestAnimationFrame(draw));
addEventListener("resize", () => {
  space.style.height = `${rows.length * rowHeight()}px`;
  draw();
});

for (const [index, button] of buttons.entries()) {
  button.addEventListener("click", () => {
    if (order.column === index) order.up = !order.up;
    else Object.assign(order, { column: index, up: true });
    refresh();
  });
}
const field = byId<HTMLInputElement>("filter");
field.addEventListener("input", () => {
  filter.text = field.value;
  refresh();
});
choice.addEventListener("change", () => {
  filter.rule = choice.value;
  refresh();
});
for (const box of document.querySelectorAll<HTMLInputElement>("[data-severity]")) {
  const severity = box.dataset.severity as (typeof SEVERITIES)[number];
  box.addEventListener("change", () => {
    if (box.checked) filter.severities.add(severity);
    else filter.severities.delete(severity);
    refresh();
  });
}

/** Returns all findings of a rule or, without one, those that the list shows. */
function rowsFor(rule: string | undefined): PageRow[] {
  return rule === undefined ? rows : list.select({ rule, text: "", severities: new Set(SEVERITIES) });
}

async function copy(text: string, lines: number): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = `Copied ${number(lines)} line${lines === 1 ? "" : "s"}.`;
  } catch {
    status.textContent = "The browser does not let this page copy: use Download.";
  }
}

function download(text: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: "text/tab-separated-values" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  status.textContent = `Downloading ${name}.`;
}

document.addEventListener("click", (event) => {
  const button = (event.target as Element).closest<HTMLButtonElement>("button[data-do]");
  if (button === null) return;
  const { rule } = button.dataset;
  if (button.dataset.do === "show") {
    filter.rule = choice.value = rule!;
    refresh();
    byId("findings").scrollIntoView();
    choice.focus({ preventScroll: true });
    return;
  }
  const selected = rowsFor(rule);
  if (button.dataset.do === "copy") void copy(toText(selected), selected.length);
  else download(toText(selected), `${(rule ?? "findings").replace("/", "-")}.tsv`);
});

refresh();
