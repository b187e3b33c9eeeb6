// The behaviour of the page: charts, menus, the calculator, sortable tables, copying.
const data = JSON.parse(document.getElementById("data").textContent);
const views = {};
const grey = "#8a93a3";
const config = {
  background: null,
  font: "system-ui, sans-serif",
  view: { stroke: null },
  axis: { domainColor: grey, tickColor: grey, gridColor: "#8a93a340", labelFontSize: 12, titleFontSize: 12 },
  legend: { labelFontSize: 12, titleFontSize: 12 },
  area: { color: "#2f6fde" }, line: { color: "#2f6fde" },
};

function setSignal(name, value) {
  for (const view of Object.values(views)) {
    try { view.signal(name, value).run(); } catch { /* this chart has no such signal */ }
  }
}

// Learning curves: only the runs of the selected cells are handed to the chart.
function curvesOf(setting, batch, lr) {
  const shown = data.curves.runs.filter((run) => run.setting === setting &&
    (batch === undefined ? run.best : run.batch === batch && run.lr === lr));
  const records = shown.flatMap((run) => ["train", "validation"].flatMap((of) =>
    run[of] ? run[of][1].map((loss, i) => ({ run: run.run, batch: run.batch, of, step: data.curves.steps[run[of][0]][i], loss })) : []));
  const what = batch === undefined ? "the best lr of each batch size" : `batch ${batch}, lr ${lr}`;
  document.getElementById("curves-what").textContent = `Shown: ${what}, ${shown.length} run${shown.length === 1 ? "" : "s"}.`;
  return records;
}

function showCurves(setting, batch, lr) {
  if (views.curves) views.curves.data("curves", curvesOf(setting, batch, lr)).run();
}

function currentSetting() {
  const menu = document.getElementById("setting");
  return menu ? menu.value : data.setting;
}

if (data.charts.curves) data.charts.curves.datasets = { curves: curvesOf(currentSetting()) };
for (const place of document.querySelectorAll(".chart")) {
  const name = place.dataset.chart;
  const options = { renderer: "svg", actions: false, config };
  vegaEmbed(place, data.charts[name], options).then(({ view }) => {
    views[name] = view;
    if (name === "loss") view.addEventListener("click", (event, item) => {
      const cell = item && item.datum;
      if (cell && cell.lr !== undefined && cell.batch !== undefined) showCurves(cell.setting, cell.batch, cell.lr);
    });
    place.dataset.drawn = "true";
  }).catch((error) => { place.textContent = `This chart cannot be drawn: ${error}`; });
}

for (const id of ["setting", "measure"]) {
  document.getElementById(id)?.addEventListener("change", (event) => {
    setSignal(id, event.target.value);
    if (id === "setting") { showCurves(event.target.value); predict(); }
  });
}
document.getElementById("baselines")?.addEventListener("change", (event) => setSignal("baselines", event.target.checked));
document.getElementById("shade")?.addEventListener("change", (event) => {
  for (const map of document.querySelectorAll("[data-shade]")) map.hidden = map.dataset.shade !== event.target.value;
  window.dispatchEvent(new Event("resize"));
});

// The calculator: the law's prediction for a batch size, interpolated between logarithms.
function predict() {
  const field = document.getElementById("batch"), out = document.getElementById("predicted");
  if (!field) return;
  const law = data.predictions[currentSetting()], batch = Number(field.value);
  if (!law) { out.textContent = "no law in this setting"; return; }
  const b = law.batch, last = b.length - 1;
  if (!(batch >= b[0] && batch <= b[last])) {
    out.textContent = `give a batch size from ${Math.ceil(b[0])} to ${Math.floor(b[last])}`;
    return;
  }
  let i = 0;
  while (i < last - 1 && b[i + 1] < batch) i++;
  const share = Math.log(batch / b[i]) / Math.log(b[i + 1] / b[i]);
  const at = (key) => Number((law[key][i] * (law[key][i + 1] / law[key][i]) ** share).toPrecision(2));
  const beyond = batch < law.fitted[0] || batch > law.fitted[1];
  out.textContent = `lr ${at("lr")}, 95 %: ${at("low")} to ${at("high")}${beyond ? " (outside the batch sizes of the sweep)" : ""}`;
}
document.getElementById("batch")?.addEventListener("input", predict);
predict();

for (const head of document.querySelectorAll("table.sortable th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const table = head.closest("table"), column = head.cellIndex;
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)], [m, n] = [Number(x), Number(y)];
      if (x === "" || y === "") return (x === "") - (y === "");
      return direction * (Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  });
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const area = document.createElement("textarea");
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch { // pages opened from a file may have no clipboard
      area.value = button.dataset.copy;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const text = button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = text; }, 1500);
  });
}
