/**
 * Script of the HTML report, as text: it runs in the reader's browser, without any library. The list of findings has
 * only those rows in the document that are in view, so that 100,000 findings scroll like 100. (No backticks in it.)
 */
export const SCRIPT = String.raw`
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SEVERITIES = ["error", "warning", "note"];
  const ROW = 30;
  const MAX_BARS = 160;
  const number = (value) => value.toLocaleString("en-US");

  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== undefined));
    return element;
  };
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const main = document.querySelector("main");
  const section = (title, ...children) => main.append(make("h2", {}, title), ...children);

  // Verdict.
  document.title = "vista-data: " + data.sentence;
  main.append(
    make("h1", {}, "Data check of " + data.root),
    make("div", { class: "dim" }, "vista-data " + data.version),
    make(
      "div",
      { class: "card banner " + data.verdict, id: "verdict" },
      make("div", { class: "sentence" }, data.sentence),
      ...SEVERITIES.map((severity) =>
        make("div", { class: "tally " + severity }, make("b", {}, number(data.counts[severity])), severity + (data.counts[severity] === 1 ? "" : "s")),
      ),
    ),
  );

  // What was checked.
  const parts = make("div", { class: "grid" });
  for (const part of data.parts) {
    parts.append(
      make(
        "div",
        { class: "card part" },
        make("b", {}, part.title),
        make("div", { class: "dim" }, part.root),
        make(
          "table",
          {},
          ...part.coverage.map(({ what, checked, total }) =>
            make("tr", {}, make("td", {}, what), make("td", {}, checked === total ? number(checked) : number(checked) + " of " + number(total))),
          ),
        ),
        ...(part.sampled ?? []).map((text) => make("div", { class: "dim" }, "A sample: " + text)),
      ),
    );
  }
  section("What was checked", parts);

  // Rules.
  let showRule = () => {};
  if (data.rules.length > 0) {
    const body = make("tbody", {});
    for (const rule of data.rules) {
      body.append(
        make(
          "tr",
          { onclick: () => showRule(rule.code) },
          make("td", {}, make("span", { class: "badge " + rule.severity }, rule.severity)),
          make("td", {}, make("code", {}, rule.code), make("div", {}, rule.title)),
          make("td", { class: "number" }, number(rule.findings)),
          make("td", {}, rule.folders.map(({ folder, findings }) => folder + " (" + number(findings) + ")").join(", ") + (rule.places > rule.folders.length ? " and " + number(rule.places - rule.folders.length) + " more" : "")),
          make("td", { class: "dim" }, rule.fix),
        ),
      );
    }
    const head = make("tr", {}, ...["", "Rule", "Findings", "Where", "What to do"].map((text) => make("th", {}, text)));
    section("Findings by rule", make("div", { class: "card scroll" }, make("table", { class: "rules" }, make("thead", {}, head), body)));
  }

  // All findings.
  if (data.findings.length > 0) {
    const severityOf = data.rules.map((rule) => rule.severity);
    const codeOf = data.rules.map((rule) => rule.code);
    const columns = [
      ["Severity", (row) => SEVERITIES.indexOf(severityOf[row[0]])],
      ["Rule", (row) => codeOf[row[0]]],
      ["File", (row) => row[1]],
      ["Record", (row) => row[2]],
      ["What", (row) => row[3]],
      ["Places", (row) => row[4]],
    ];
    const state = { column: -1, up: true, rule: "", text: "", severities: new Set(SEVERITIES) };
    let rows = data.findings;
    // Lower-case once: the filter then looks through 100,000 strings in some milliseconds.
    let haystack;
    const search = make("div", { class: "tools" });
    const field = make("input", { type: "search", placeholder: "Filter by file, record or text", id: "filter" });
    const choice = make("select", { id: "rule" }, make("option", { value: "" }, "All rules"), ...codeOf.map((code) => make("option", { value: code }, code)));
    const shown = make("span", { class: "dim", id: "shown" });
    search.append(field, choice);
    for (const severity of SEVERITIES) {
      if (data.counts[severity] === 0) continue;
      const box = make("input", { type: "checkbox", checked: "", "data-severity": severity });
      box.addEventListener("change", () => {
        if (box.checked) state.severities.add(severity);
        else state.severities.delete(severity);
        refresh();
      });
      search.append(make("label", { class: severity }, box, severity + "s"));
    }
    search.append(shown);

    const space = make("div", {});
    const view = make("div", { class: "window", tabindex: "0", id: "list" }, space);
    const detail = make("div", { class: "detail dim" }, "Click a finding to see all of it.");
    const head = make("div", { class: "row head" });
    const heads = columns.map(([title], index) => {
      const button = make("button", { "data-column": String(index) }, title);
      button.addEventListener("click", () => {
        if (state.column === index) state.up = !state.up;
        else Object.assign(state, { column: index, up: true });
        refresh();
      });
      head.append(make("div", {}, button));
      return button;
    });

    // The end of a path tells files apart, not its start.
    const tail = (path, length) => (path.length > length ? "…" + path.slice(1 - length) : path);
    const draw = () => {
      const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 4);
      const last = Math.min(rows.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + 4);
      const lines = [];
      for (let i = first; i < last; i++) {
        const row = rows[i];
        const severity = severityOf[row[0]];
        const line = make(
          "div",
          { class: "row", style: "top:" + i * ROW + "px", title: row[1] + "\n" + row[3] },
          make("span", { class: "badge " + severity }, severity),
          make("code", {}, codeOf[row[0]]),
          make("code", {}, tail(row[1], 46)),
          make("code", {}, row[2]),
          make("span", {}, row[3]),
          make("span", { class: "dim" }, row[4] > 1 ? number(row[4]) : ""),
        );
        line.addEventListener("click", () => {
          const rule = data.rules[row[0]];
          detail.classList.remove("dim");
          detail.replaceChildren(make("code", {}, row[1] + (row[2] === "" ? "" : " · " + row[2])), make("div", {}, row[3]), make("div", { class: "dim" }, rule.fix));
        });
        lines.push(line);
      }
      space.replaceChildren(...lines);
    };
    const refresh = () => {
      const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
      if (words.length > 0) haystack ??= data.findings.map((row) => (row[1] + " " + row[2] + " " + row[3]).toLowerCase());
      const rule = codeOf.indexOf(state.rule);
      rows = data.findings.filter(
        (row, i) => (rule < 0 || row[0] === rule) && state.severities.has(severityOf[row[0]]) && words.every((word) => haystack[i].includes(word)),
      );
      if (state.column >= 0) {
        const key = columns[state.column][1];
        const sign = state.up ? 1 : -1;
        rows.sort((a, b) => (key(a) < key(b) ? -sign : key(a) > key(b) ? sign : 0));
      }
      heads.forEach((button, index) => {
        button.textContent = columns[index][0] + (state.column === index ? (state.up ? " ↑" : " ↓") : "");
      });
      shown.textContent = number(rows.length) + " of " + number(data.findings.length);
      space.style.height = rows.length * ROW + "px";
      view.style.height = Math.min(540, Math.max(3, data.findings.length) * ROW + 2) + "px";
      view.scrollTop = 0;
      draw();
    };
    view.addEventListener("scroll", () => requestAnimationFrame(draw));
    addEventListener("resize", draw);
    field.addEventListener("input", () => {
      state.text = field.value;
      refresh();
    });
    choice.addEventListener("change", () => {
      state.rule = choice.value;
      refresh();
    });
    showRule = (code) => {
      state.rule = choice.value = code;
      refresh();
      search.scrollIntoView({ behavior: "smooth" });
    };
    const total = data.counts.error + data.counts.warning + data.counts.note;
    const left = total > data.findings.length ? make("div", { class: "dim more" }, number(total - data.findings.length) + " more were counted, but not listed (--max-findings).") : undefined;
    section("All findings", make("div", { class: "card list" }, search, make("div", { class: "scroll" }, make("div", {}, head, view)), detail), ...(left ? [left] : []));
    refresh();
  }

  // Charts.
  const charts = make("div", { class: "grid" });
  const W = 320;
  const H = 130;
  const text = (x, y, content, anchor) => {
    const element = svg("text", { x, y, "text-anchor": anchor ?? "start" });
    element.textContent = content;
    return element;
  };
  const short = (value) => (Math.abs(value) >= 1e6 ? (value / 1e6).toFixed(1) + " M" : Math.abs(value) >= 1e4 ? (value / 1e3).toFixed(0) + " k" : number(Math.round(value * 100) / 100));
  const drawBars = (chart, root, hint) => {
    // Neighbours share a bar where there are more points than the eye tells apart; the bar shows their mean.
    const per = Math.ceil(chart.points.length / MAX_BARS);
    const bars = [];
    for (let i = 0; i < chart.points.length; i += per) {
      const group = chart.points.slice(i, i + per);
      const value = group.reduce((sum, point) => sum + point.value, 0) / group.length;
      bars.push({ value, label: group.length === 1 ? group[0].label : group[0].label + " … " + group.at(-1).label });
    }
    const top = Math.max(...bars.map((bar) => bar.value), 1);
    const step = Math.min(W / bars.length, 48);
    bars.forEach((bar, i) => {
      const height = (bar.value / top) * (H - 16);
      const rect = svg("rect", { class: "bar", x: i * step, y: H - height, width: Math.max(step - (step > 4 ? 1 : 0), 0.5), height });
      rect.addEventListener("mouseenter", () => (hint.textContent = bar.label + ": " + short(bar.value) + " " + chart.unit));
      root.append(rect);
    });
    root.append(text(0, 10, short(top) + " " + chart.unit), text(0, H + 13, bars[0].label), text(Math.min(W, step * bars.length), H + 13, bars.length > 2 ? bars.at(-1).label : "", "end"));
  };
  const drawSpans = (chart, root, hint) => {
    const from = Math.min(...chart.points.map((point) => point.from));
    const to = Math.max(...chart.points.map((point) => point.to));
    const scale = W / Math.max(to - from, 1e-9);
    const step = H / chart.points.length;
    chart.points.forEach((point, i) => {
      const rect = svg("rect", { class: "bar", x: (point.from - from) * scale, y: i * step, width: Math.max((point.to - point.from) * scale, 1), height: Math.max(step - 1, 0.6) });
      rect.addEventListener("mouseenter", () => (hint.textContent = point.label + ": " + short(point.to - point.from) + " " + chart.unit));
      root.append(rect);
    });
    const isTime = from > 1e9;
    const show = (value) => (isTime ? new Date(value * 1000).toISOString().slice(0, 16).replace("T", " ") : short(value));
    root.append(text(0, H + 13, show(from)), text(W, H + 13, show(to), "end"));
  };
  for (const chart of data.parts.flatMap((part) => part.charts ?? [])) {
    if (chart.points.length === 0) continue;
    const root = svg("svg", { viewBox: "0 0 " + W + " " + (H + 18), preserveAspectRatio: "none", role: "img", "aria-label": chart.title });
    root.append(svg("line", { class: "axis", x1: 0, x2: W, y1: H, y2: H }));
    const hint = make("div", { class: "hint" });
    (chart.kind === "bars" ? drawBars : drawSpans)(chart, root, hint);
    root.removeAttribute("preserveAspectRatio");
    charts.append(make("div", { class: "card chart" }, make("h3", {}, chart.title), root, hint));
  }
  if (charts.children.length > 0) section("Charts", charts);

  // Pictures.
  const pictures = (title, list) => {
    if (list.length === 0) return;
    const grid = make("div", { class: "thumbs" });
    for (const { path, rule, message, image } of list) {
      grid.append(
        make(
          "div",
          { class: rule ? "thumb bad" : "thumb" },
          image ? make("img", { src: image, alt: path }) : make("div", { class: "none" }, "does not decode"),
          make("div", { class: "text" }, make("code", {}, path), rule ? make("div", { class: "error" }, rule + ": " + message) : undefined),
        ),
      );
    }
    section(title, grid);
  };
  pictures("Pictures with findings", data.thumbnails.filter((each) => each.rule));
  pictures("Sound pictures", data.thumbnails.filter((each) => !each.rule));
})();
`;
