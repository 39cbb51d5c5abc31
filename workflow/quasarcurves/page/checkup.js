"use strict";

/* The chart and the theme of the page on loss curves. Without it the page still shows all answers. */

const $ = (id) => document.getElementById(id);
let curves = null;

async function unpacked(id) {
  const bytes = Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => document.documentElement.dataset.theme === "dark";

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").textContent = dark ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", `Switch to the ${dark ? "light" : "dark"} theme`);
  if (curves) draw();
}

/* The traces of a curve: its losses, those of the validation set, its spikes. */
function traces({ label, colour, losses, validation, tall, small }) {
  const ink = isDark() ? { "#0072B2": "#7B93FF", "#000000": "#E8EAED" }[colour] || colour : colour;
  const marks = (points, name, symbol) => ({
    ...points, type: "scatter", mode: "markers", name: `${label}: ${name}`, showlegend: false, text: points.text,
    marker: { symbol, size: 9, color: ink, line: { width: 1.4, color: ink } }, hovertemplate: "%{text}<extra></extra>",
  });
  return [
    { ...validation, type: "scatter", mode: "lines", name: `${label}, validation`, opacity: 0.75, showlegend: false,
      line: { color: ink, width: 1.2, dash: "dot" } },
    { ...losses, type: "scatter", mode: "lines", name: label, opacity: 0.9, line: { color: ink, width: 1.3 } },
    marks(tall, "tall", "triangle-up-open"), marks(small, "small", "x-thin-open"),
  ].filter((trace) => trace.x.length);
}

function draw() {
  const css = getComputedStyle(document.documentElement), of = (name) => css.getPropertyValue(name).trim();
  const axis = { gridcolor: of("--line"), linecolor: of("--line"), zerolinecolor: of("--line"), automargin: true };
  Plotly.react("chart", curves.curves.flatMap(traces), {
    paper_bgcolor: of("--ground"), plot_bgcolor: of("--ground"), showlegend: curves.curves.length > 1,
    font: { family: css.fontFamily, size: 12, color: of("--text") }, margin: { l: 10, r: 10, t: 8, b: 10 },
    hovermode: "closest", xaxis: { ...axis, title: { text: curves.unit }, tickformat: "," },
    yaxis: { ...axis, title: { text: "loss" }, type: curves.log ? "log" : "linear", exponentformat: "power" },
    legend: { orientation: "h", y: 1.08 },
  }, { responsive: true, displayModeBar: false });
}

setTheme(system.matches);
$("theme").addEventListener("click", () => setTheme(!isDark()));
system.addEventListener("change", () => setTheme(system.matches));
document.addEventListener("DOMContentLoaded", async () => {
  const found = JSON.parse(await unpacked("packed-curves"));
  document.head.append(Object.assign(document.createElement("script"), { textContent: await unpacked("chart-library") }));
  curves = found;
  draw();
  document.documentElement.dataset.ready = "yes";
});
