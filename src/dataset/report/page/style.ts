/** Style of the HTML report; light and dark by the reader's own setting. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --bg: #f6f7f9; --card: #ffffff; --text: #1c2430; --dim: #667085; --line: #e3e7ee;
  --error: #c8323c; --warning: #b26a00; --note: #2563a8; --good: #1b7f4d; --bar: #4b7bd1; --hover: #eef3fb;
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #12161c; --card: #1a2029; --text: #e4e8ee; --dim: #94a0b3; --line: #2b3442;
    --error: #ff7b81; --warning: #f0b050; --note: #7fb3f5; --good: #58c98f; --bar: #6f9cf0; --hover: #222b38;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--text); }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 20px; margin: 0 0 2px; }
h2 { font-size: 15px; margin: 32px 0 10px; }
.dim { color: var(--dim); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; }
.banner { display: flex; gap: 20px; align-items: center; flex-wrap: wrap; border-left: 6px solid var(--good); margin-top: 16px; }
.banner.errors { border-left-color: var(--error); }
.banner.interrupted { border-left-color: var(--warning); }
.banner .sentence { flex: 1; min-width: 240px; font-size: 16px; }
.tally { text-align: center; min-width: 74px; }
.tally b { display: block; font-size: 24px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); }
.grid { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); }
.part table { border-collapse: collapse; width: 100%; margin-top: 8px; }
.part td { padding: 2px 0; } .part td + td { text-align: right; font-variant-numeric: tabular-nums; }
.rules { width: 100%; border-collapse: collapse; }
.rules th, .rules td { text-align: left; padding: 7px 10px; border-bottom: 1px solid var(--line); vertical-align: top; }
.rules tr:last-child td { border-bottom: 0; }
.rules .number { text-align: right; font-variant-numeric: tabular-nums; }
.rules tbody tr { cursor: pointer; } .rules tbody tr:hover { background: var(--hover); }
.badge { font-weight: 600; font-size: 12px; }
code { font: 12px/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.tools { display: flex; gap: 10px; flex-wrap: wrap; align-items: center; padding: 12px 14px; border-bottom: 1px solid var(--line); }
.tools input[type=search], .tools select {
  background: var(--bg); color: inherit; border: 1px solid var(--line); border-radius: 7px; padding: 6px 9px; font: inherit;
}
.tools input[type=search] { flex: 1; min-width: 180px; }
.tools label { display: inline-flex; gap: 5px; align-items: center; }
.list { padding: 0; overflow: hidden; }
.row { display: grid; grid-template-columns: 70px 200px minmax(320px, 1fr) minmax(130px, .5fr) minmax(260px, 1.3fr) 56px; gap: 10px; padding: 0 14px; align-items: center; height: 30px; }
.row > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.head { border-bottom: 1px solid var(--line); font-weight: 600; height: 34px; }
.head button { all: unset; cursor: pointer; } .head button:focus-visible { outline: 2px solid var(--bar); }
.window { overflow: auto; position: relative; }
.window .row { position: absolute; left: 0; right: 0; border-bottom: 1px solid var(--line); }
.window .row:hover { background: var(--hover); }
.scroll { overflow-x: auto; } .scroll > div { min-width: 980px; }
.detail { padding: 10px 14px; border-top: 1px solid var(--line); min-height: 46px; overflow-wrap: anywhere; }
.chart svg { display: block; width: 100%; height: 150px; } .chart h3 { font-size: 13px; margin: 0 0 8px; font-weight: 600; }
.chart .bar { fill: var(--bar); } .chart .bar:hover { opacity: .7; }
.chart .axis { stroke: var(--line); } .chart text { fill: var(--dim); font-size: 10px; }
.chart .hint { height: 18px; font-size: 12px; color: var(--dim); overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
.thumbs { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
.thumb { background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; font-size: 12px; }
.thumb img, .thumb .none { width: 100%; aspect-ratio: 16 / 9; display: block; object-fit: cover; background: var(--line); }
.thumb .none { display: grid; place-items: center; color: var(--dim); }
.thumb div.text { padding: 7px 9px; overflow-wrap: anywhere; }
.thumb.bad { border-color: var(--error); }
.more { margin-top: 8px; }
@media print { .window { height: auto; } }
`;
