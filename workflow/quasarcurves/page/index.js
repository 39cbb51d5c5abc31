"use strict";

/* The loss chart, the tables and the theme of the page. Without it the page still shows answers and figures. */

const MOST_POINTS = 60000;   // drawn at once, of all runs together
const FIRST_ROWS = 100;      // of a table, until all are asked for
let chart = null;
const $ = (id) => document.getElementById(id);

async function unpacked(id) {
  const bytes = Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Theme ---------------------------------------------------------------------------------------------------------------

const system = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
try { chosen = localStorage.getItem("quasarcurves-theme"); } catch { /* pages from a file may have no storage */ }

const isDark = () => document.documentElement.dataset.theme === "dark";

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", `Switch to the ${theme === "dark" ? "light" : "dark"} theme`);
  if (chart) { buildControls(); chart.draw(); }
}

const systemTheme = () => chosen || (system.matches ? "dark" : "light");

// Chart ---------------------------------------------------------------------------------------------------------------

function numbers(text, Type) {
  return new Type(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

function series(packed) {
  const x = numbers(packed.x, Uint32Array);
  return { x, y: numbers(packed.y, Float32Array), step: packed.step ? numbers(packed.step, Uint32Array) : x };
}

function firstAbove(x, value) {
  let low = 0, high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < value) low = middle + 1; else high = middle;
  }
  return low;
}

/* Places of the points of a series between two x: all, or the lowest and highest of each of n/2 bins. */
function thinned(x, y, from, to, n) {
  const begin = Math.max(firstAbove(x, from) - 1, 0), end = Math.min(firstAbove(x, to) + 1, x.length);
  const places = [];
  if (end - begin <= n) {
    for (let i = begin; i < end; i++) places.push(i);
    return places;
  }
  const bins = Math.max(n >> 1, 1);
  for (let bin = 0; bin < bins; bin++) {
    const first = begin + Math.floor((bin * (end - begin)) / bins);
    const last = begin + Math.floor(((bin + 1) * (end - begin)) / bins);
    let low = first, high = first;
    for (let i = first; i < last; i++) {
      if (y[i] < y[low] || Number.isNaN(y[low])) low = i;
      if (y[i] > y[high] || Number.isNaN(y[high])) high = i;
    }
    places.push(Math.min(low, high));
    if (low !== high) places.push(Math.max(low, high));
  }
  return places;
}

function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
}

class LossChart {
  constructor(losses) {
    this.colours = losses.colours;
    this.spikes = losses.spikes;
    this.examples = losses.examples;
    this.runs = losses.runs.map((run, number) => ({
      ...run,
      number,
      name: `${run.optimizer}, ${run.n_train.toLocaleString("en")} ${losses.examples}, replicate ${run.replicate}`,
      epoch: series(run.epoch), step: series(run.step), validation: series(run.validation),
    }));
    const distinct = (key) => [...new Set(this.runs.map((run) => run[key]))];
    this.optimizers = distinct("optimizer");
    this.fractions = distinct("fraction").sort((a, b) => b - a);
    this.replicates = distinct("replicate").sort((a, b) => a - b);
    this.bySize = this.optimizers.length === 1;
    const compared = this.fractions.find((f) => new Set(this.runs.filter((r) => r.fraction === f)
      .map((r) => r.optimizer)).size > 1);
    this.show = {
      axis: "epoch", training: true, validation: true, spikes: true, hidden: new Set(),
      optimizer: new Set(this.optimizers), replicate: new Set(this.replicates),
      fraction: new Set(this.bySize || compared === undefined ? this.fractions : [compared]),
    };
    this.kind = hasWebGL() ? "scattergl" : "scatter";
    this.range = null;
  }

  get visible() {
    return this.runs.filter((run) => !this.show.hidden.has(run.number)
      && ["optimizer", "fraction", "replicate"].every((key) => this.show[key].has(run[key])));
  }

  colourOf(key, value) {
    if (key === "optimizer") {
      const colours = this.colours.optimizers;
      const colour = colours[this.optimizers.indexOf(value) % colours.length];
      return isDark() ? ({ "#0072B2": "#7B93FF", "#000000": "#E8EAED" }[colour] || colour) : colour;
    }
    const colours = this.colours[isDark() ? "dark" : "light"], n = this.fractions.length;
    const place = n > 1 ? this.fractions.indexOf(value) / (n - 1) : 0;
    return colours[Math.round(place * (colours.length - 1))];
  }

  colourKey() { return this.bySize ? "fraction" : "optimizer"; }

  dashOf(run) {
    const dashes = ["solid", "dash", "dot", "dashdot", "longdash"];
    return dashes[Math.floor(this.optimizers.indexOf(run.optimizer) / this.colours.optimizers.length) % dashes.length];
  }

  /* The lines of all runs of a colour are one trace with gaps: hundreds of traces would be slow. */
  traces() {
    const runs = this.visible, groups = new Map(), { axis } = this.show;
    const parts = [["training", axis], ["validation", "validation"]].filter(([part]) => this.show[part]);
    const each = Math.max(Math.floor(MOST_POINTS / Math.max(runs.length * parts.length, 1)), 60);
    const [from, to] = this.range || [-Infinity, Infinity];
    for (const run of runs) {
      for (const [part, name] of parts) {
        const key = `${this.colourOf(this.colourKey(), run[this.colourKey()])} ${this.dashOf(run)} ${part}`;
        const group = groups.get(key) || groups.set(key, { run, part, x: [], y: [], text: [] }).get(key);
        const { x, y, step } = run[name], at = part === "validation" && axis === "step" ? step : x;
        for (const i of thinned(at, y, from, to, each)) {
          group.x.push(at[i]);
          group.y.push(Number.isFinite(y[i]) ? y[i] : null);
          group.text.push(run.name);
        }
        group.x.push(null); group.y.push(null); group.text.push("");
      }
    }
    // the lines of training last, so that they lie on top
    const ordered = [...groups.values()].sort((a, b) => (a.part < b.part ? 1 : -1));
    return [...ordered.map((group) => this.line(group)), ...this.marks(runs)];
  }

  line({ run, part, x, y, text }) {
    const training = part === "training";
    return {
      type: this.kind, mode: training ? "lines" : "lines+markers", x, y, text, name: part, connectgaps: false,
      opacity: training ? 0.85 : 0.6,
      line: { color: this.colourOf(this.colourKey(), run[this.colourKey()]), width: training ? 1.3 : 1,
        dash: training ? this.dashOf(run) : "dot" },
      marker: { size: 4 },
      hovertemplate: `%{text}<br>${part} loss %{y:.4g} at ${this.show.axis} %{x:,}<extra></extra>`,
    };
  }

  marks(runs) {
    if (!this.show.training) return [];
    const ends = this.ends(runs);
    if (!this.show.spikes) return ends;
    const seen = new Set(runs.map((run) => run.number));
    const kinds = { sustained: ["sustained spike", "triangle-up-open", 9], outlier: ["single hard batch", "x-thin-open", 6] };
    const spikes = Object.entries(kinds).map(([kind, [name, symbol, size]]) => {
      const found = this.spikes[this.show.axis].filter((spike) => seen.has(spike[0]) && spike[3] === kind);
      const said = (spike) => `${this.runs[spike[0]].name}<br>${name}, ${spike[4] ?? "?"} times its course`;
      return this.symbols(name, symbol, size, found.map(([, x, y]) => [x, y]), found.map(said));
    });
    return [...spikes, ...ends];
  }

  /* Marks at the last finite losses of runs that diverged. */
  ends(runs) {
    const points = [], names = [];
    for (const run of runs) {
      const { x, y } = run[this.show.axis];
      if (!y.length || Number.isFinite(y.at(-1))) continue;
      const last = y.findLastIndex(Number.isFinite);
      if (last >= 0) { points.push([x[last], y[last]]); names.push(`${run.name}<br>diverged after this`); }
    }
    return points.length ? [this.symbols("diverged", "circle-x-open", 10, points, names)] : [];
  }

  symbols(name, symbol, size, points, text) {
    const ink = isDark() ? "#ffffff" : "#16191d";
    return {
      type: this.kind, mode: "markers", name, x: points.map(([x]) => x), y: points.map(([, y]) => y), text,
      marker: { symbol, size, color: ink, line: { width: 1.4, color: ink } },
      hovertemplate: `%{text}<br>loss %{y:.4g} at ${this.show.axis} %{x:,}<extra></extra>`,
    };
  }

  /* Labels at 1, 2, 5 of every decade; at its beginning alone, or at more, where there are very many or few decades. */
  ticks(traces) {
    let low = Infinity, high = 0;
    for (const trace of traces) for (const y of trace.y) if (y > 0) { low = Math.min(low, y); high = Math.max(high, y); }
    const decades = this.yRange ? this.yRange[1] - this.yRange[0] : Math.log10(high / low);
    return decades > 4 ? { dtick: Math.ceil(decades / 8) } : decades > 0.8 ? { dtick: "D2" } : {};
  }

  layout(traces) {
    const css = getComputedStyle(document.documentElement), of = (name) => css.getPropertyValue(name).trim();
    const axis = { gridcolor: of("--line"), linecolor: of("--line"), zerolinecolor: of("--line"), automargin: true };
    const end = Math.max(1, ...this.visible.map((run) => run[this.show.axis].x.at(-1) || 1));
    return {
      paper_bgcolor: of("--ground"), plot_bgcolor: of("--ground"), showlegend: false, uirevision: this.show.axis,
      font: { family: css.fontFamily, size: 12, color: of("--text") }, margin: { l: 10, r: 10, t: 8, b: 10 },
      hovermode: "closest", dragmode: "zoom", hoverlabel: { align: "left" },
      xaxis: { ...axis, title: { text: this.show.axis === "epoch" ? "epoch" : "optimizer step" }, tickformat: ",",
        ...(this.range ? { range: this.range } : { range: [0, end] }) },
      yaxis: { ...axis, title: { text: "loss" }, type: "log", ...this.ticks(traces), exponentformat: "power",
        ...(this.yRange ? { range: this.yRange } : { autorange: true }) },
    };
  }

  draw() {
    const begun = performance.now();
    const traces = this.traces();
    // first, as the chart takes the room that this leaves
    const shown = this.visible.length;
    const isThinned = this.show.axis === "step" && this.visible.some(({ step }) => step.x.at(-1) >= step.x.length);
    $("chart-note").textContent = `${shown} of ${this.runs.length} runs shown. Drag over a part to see it closer.`
      + (this.show.spikes ? " Triangles: sustained spikes; crosses: single hard batches." : "")
      + (isThinned ? " Away from the highest spikes, lines join the lowest and highest of several steps." : "")
      + (traces.some((trace) => trace.name === "diverged") ? " Circles with a cross: there a run diverged." : "");
    Plotly.react("chart", traces, this.layout(traces), {
      displayModeBar: false, scrollZoom: false, doubleClick: false,
    });
    $("chart").dataset.runs = shown;
    $("chart").dataset.milliseconds = Math.round(performance.now() - begun);
  }

  zoom(range, yRange = this.yRange) {
    this.range = range;
    this.yRange = range ? yRange : null;
    this.draw();
  }

  /* Move by a share of what is seen, and widen it by a factor. */
  move(share, factor) {
    const [low, high] = this.range || $("chart").layout.xaxis.range, half = ((high - low) * factor) / 2;
    const middle = (low + high) / 2 + share * (high - low);
    this.zoom([middle - half, middle + half]);
  }
}

function option(type, name, label, checked, change, colour) {
  const input = element("input", { type, name, checked });
  input.addEventListener("change", () => change(input.checked));
  const swatch = colour ? [element("span", { className: "swatch", style: `border-color: ${colour}` })] : [];
  return element("label", {}, input, ...swatch, label);
}

function fieldset(legend, ...children) {
  return element("fieldset", {}, element("legend", { textContent: legend }), ...children);
}

function choices(legend, key, values, label) {
  const boxes = values.map((value) => option("checkbox", key, label(value), chart.show[key].has(value), (on) => {
    chart.show[key][on ? "add" : "delete"](value);
    chart.draw();
  }, key === chart.colourKey() ? chart.colourOf(key, value) : null));
  return values.length > 1 ? [fieldset(legend, ...boxes)] : [];
}

function buildControls() {
  const { show } = chart, size = (fraction) => chart.runs.find((run) => run.fraction === fraction).n_train.toLocaleString("en");
  const toggle = (name) => option("checkbox", name, name, show[name], (on) => { show[name] = on; chart.draw(); });
  const axis = (name) => option("radio", "axis", name, show.axis === name, () => { show.axis = name; chart.zoom(null); });
  const button = (text, label, act) => {
    const made = element("button", { type: "button", className: "control", textContent: text });
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  };
  const each = element("details", {}, element("summary", { textContent: "Single runs" }), element("div", {},
    ...chart.runs.map((run) => option("checkbox", "run", run.name, !show.hidden.has(run.number), (on) => {
      show.hidden[on ? "delete" : "add"](run.number);
      chart.draw();
    }))));
  const crowded = chart.replicates.length > 8;
  $("controls").replaceChildren(
    fieldset("Loss", toggle("training"), toggle("validation"), toggle("spikes")),
    fieldset("By", axis("epoch"), axis("step")),
    ...choices("Optimizer", "optimizer", chart.optimizers, String),
    ...choices(chart.examples[0].toUpperCase() + chart.examples.slice(1), "fraction", chart.fractions, size),
    ...(crowded ? [] : choices("Replicate", "replicate", chart.replicates, String)),
    element("span", { className: "last" },
      button("+", "Zoom in", () => chart.move(0, 0.5)), button("−", "Zoom out", () => chart.move(0, 2)),
      button("All", "Show all", () => chart.zoom(null))),
    ...(chart.runs.length > 1 ? [each] : []),
  );
}

function listen(plot) {
  let waiting = 0;
  plot.on("plotly_relayout", (change) => {
    if (!("xaxis.range[0]" in change) && !("yaxis.range[0]" in change)) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => chart.zoom(plot.layout.xaxis.range.slice(), plot.layout.yaxis.range.slice()), 30);
  });
  plot.on("plotly_doubleclick", () => { chart.zoom(null); });
  const keys = { ArrowLeft: [-0.25, 1], ArrowRight: [0.25, 1], "+": [0, 0.5], "=": [0, 0.5], "-": [0, 2] };
  plot.addEventListener("keydown", (event) => {
    if (event.key === "0") chart.zoom(null);
    else if (keys[event.key]) chart.move(...keys[event.key]);
    else return;
    event.preventDefault();
  });
}

async function startChart(losses) {
  if (!losses.runs.length) { $("losses").remove(); return; }
  document.head.append(element("script", { textContent: await unpacked("chart-library") }));
  chart = new LossChart(losses);
  buildControls();
  chart.draw();
  listen($("chart"));
  // its box also changes when single runs are listed above it, which no resize of the window tells
  new ResizeObserver(() => Plotly.Plots.resize("chart")).observe($("chart"));
}

// Tables --------------------------------------------------------------------------------------------------------------

function shownValue(value) {
  if (value === null) return "";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en", { useGrouping: Math.abs(value) >= 10000 });
  return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

function compared(a, b) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function csvOf(columns, rows) {
  const cell = (value) => (/[",\n\r]/.test(value ?? "") ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  return [columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

class Table {
  constructor(place, name, { columns, rows, all }, meanings) {
    Object.assign(this, { name, columns, rows, all, meanings });
    this.sorted = null;
    this.wanted = {};
    this.whole = false;
    this.count = element("span", { className: "count" });
    this.count.setAttribute("aria-live", "polite");
    this.tools = element("div", { className: "tools" });
    this.body = element("tbody");
    this.heads = columns.map((column, i) => this.head(column, i));
    const scroll = element("div", { className: "scroll", tabIndex: 0 },
      element("table", {}, element("thead", {}, element("tr", {}, ...this.heads)), this.body));
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `Table ${name}`);
    for (const column of ["optimizer", "fraction"]) if (columns.includes(column)) this.tools.append(this.filter(column));
    this.tools.append(this.action("Export CSV", () => this.save()), this.count);
    this.more = this.action("Show all rows", () => { this.whole = true; this.fill(); });
    this.tools.append(this.more);
    place.append(this.tools, scroll);
    this.fill();
  }

  action(text, act) {
    const made = element("button", { type: "button", className: "control", textContent: text });
    made.addEventListener("click", act);
    return made;
  }

  head(column, i) {
    const button = element("button", { type: "button", textContent: column, title: this.meanings[column] || "" });
    button.addEventListener("click", () => {
      this.sorted = { i, down: this.sorted?.i === i && !this.sorted.down };
      this.fill();
    });
    const made = element("th", {}, button);
    made.scope = "col";
    return made;
  }

  filter(column) {
    const i = this.columns.indexOf(column), values = [...new Set(this.rows.map((row) => row[i]))].sort(compared);
    const choice = element("select", { name: column }, element("option", { value: "", textContent: "all" }),
      ...values.map((value, place) => element("option", { value: String(place), textContent: String(value ?? "") })));
    choice.addEventListener("change", () => {
      if (choice.value === "") delete this.wanted[i]; else this.wanted[i] = values[Number(choice.value)];
      this.fill();
    });
    return element("label", {}, `${column} `, choice);
  }

  get found() {
    const rows = this.rows.filter((row) => Object.entries(this.wanted).every(([i, value]) => row[i] === value));
    if (!this.sorted) return rows;
    const { i, down } = this.sorted;
    return rows.sort((a, b) => (a[i] === null || b[i] === null || !down ? compared(a[i], b[i]) : -compared(a[i], b[i])));
  }

  fill() {
    const found = this.found, shown = this.whole ? found : found.slice(0, FIRST_ROWS);
    this.heads.forEach((head, i) => {
      if (this.sorted?.i === i) head.setAttribute("aria-sort", this.sorted.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.body.replaceChildren(...shown.map((row) => element("tr", {}, ...row.map((value) => element("td", {
      className: typeof value !== "string" ? "" : value.length > 40 ? "text long" : "text", textContent: shownValue(value),
    })))));
    const cut = this.all > this.rows.length ? `, the first of ${this.all.toLocaleString("en")} in the file` : "";
    this.count.textContent = `${shown.length.toLocaleString("en")} of ${found.length.toLocaleString("en")} rows${cut}`;
    this.more.hidden = shown.length === found.length;
  }

  save() {
    const address = URL.createObjectURL(new Blob([csvOf(this.columns, this.found)], { type: "text/csv" }));
    const link = element("a", { href: address, download: `${this.name}.csv` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }
}

function startTables({ tables, meanings }) {
  for (const place of document.querySelectorAll("[data-table]")) {
    const open = () => {
      if (!place.open || place.querySelector("table")) return;
      new Table(place, place.dataset.table, tables[place.dataset.table], meanings);
    };
    place.addEventListener("toggle", open);
    open();
  }
}

// Start ---------------------------------------------------------------------------------------------------------------

function listenToTheme() {
  setTheme(systemTheme());
  $("theme").addEventListener("click", () => {
    chosen = isDark() ? "light" : "dark";
    try { localStorage.setItem("quasarcurves-theme", chosen); } catch { /* none from a file */ }
    setTheme(chosen);
  });
  system.addEventListener("change", () => setTheme(systemTheme()));
  addEventListener("beforeprint", () => setTheme("light"));
  addEventListener("afterprint", () => setTheme(systemTheme()));
}

listenToTheme();
document.addEventListener("DOMContentLoaded", async () => {
  const data = JSON.parse(await unpacked("data"));
  startTables(data);
  await startChart(data.losses);
  document.documentElement.dataset.ready = "yes";
});
