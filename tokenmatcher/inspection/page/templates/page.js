"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  // Charts' names are escaped for plotly, which reads tags.
  const plain = (text) => Object.assign(document.createElement("textarea"), { innerHTML: text }).value;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Colours: as the system has them, light, dark.
  const themes = ["auto", "light", "dark"];
  const words = { auto: "as the system has them", light: "light", dark: "dark" };
  const button = document.getElementById("theme");
  function remembered() {
    try { return localStorage.getItem("tokenmatcher-theme"); } catch { return null; }
  }
  function setTheme(theme) {
    root.dataset.theme = theme;
    button.setAttribute("aria-label", `Colours: ${words[theme]}`);
    button.title = `Colours: ${words[theme]}`;
    try { localStorage.setItem("tokenmatcher-theme", theme); } catch { /* a browser that remembers nothing */ }
    all(".chart.js-plotly-plot").forEach((div) => Plotly.relayout(div, themed()));
  }
  function themed() {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = (name) => ({ [`${name}.gridcolor`]: colour("--line"), [`${name}.linecolor`]: colour("--line") });
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", "font.color": colour("--muted"),
      "font.size": 12, "font.family": getComputedStyle(document.body).fontFamily,
      "hoverlabel.bgcolor": colour("--card"), "hoverlabel.font.color": colour("--ink"),
      "hoverlabel.bordercolor": colour("--line"), "modebar.color": colour("--muted"),
      "modebar.activecolor": colour("--accent"), "modebar.bgcolor": "rgba(0,0,0,0)",
      ...axis("xaxis"), ...axis("yaxis"),
    };
  }
  const kept = remembered();
  if (themes.includes(kept)) setTheme(kept);
  button.addEventListener("click", () => setTheme(themes[(themes.indexOf(root.dataset.theme) + 1) % 3]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(root.dataset.theme));

  // Charts are drawn when they come near.
  const drawn = new Map();
  const settings = {
    displaylogo: false, responsive: true, displayModeBar: "hover", scrollZoom: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  };
  function draw(div) {
    const name = div.dataset.chart;
    if (drawn.has(name)) return drawn.get(name);
    const chart = data.charts[name];
    const layout = structuredClone(chart.layout);
    for (const [path, value] of Object.entries(themed())) {
      const parts = path.split(".");
      const last = parts.pop();
      let place = layout;
      for (const part of parts) place = place[part] ??= {};
      place[last] = value;
    }
    const config = { ...settings, toImageButtonOptions: { filename: name, scale: 2 } };
    const done = Plotly.newPlot(div, structuredClone(chart.data), layout, config).then(() => {
      div.on("plotly_hover", (event) => showPicture(event.points[0].customdata, plain(event.points[0].text ?? "")));
      div.dataset.drawn = "yes";
    });
    drawn.set(name, done);
    return done;
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      if (entry.target.dataset.chart) draw(entry.target);
      else entry.target.src = data.pictures[entry.target.dataset.p][0];
    }
  }, { rootMargin: "900px 400px" });
  all(".chart").forEach((div) => near.observe(div));
  all("img[data-p]").forEach((picture) => {
    picture.style.aspectRatio = `auto ${data.pictures[picture.dataset.p][1]}`; // so that nothing moves when it is there
    near.observe(picture);
  });
  window.addEventListener("beforeprint", () => {
    all(".chart").filter((div) => div.offsetParent).forEach(draw);
    all("img[data-p]").forEach((picture) => { picture.src = data.pictures[picture.dataset.p][0]; });
  });

  // Legends show and hide lines.
  all(".legend button").forEach((line) => line.addEventListener("click", () => {
    const div = line.closest("figure").querySelector(".chart");
    const shown = line.getAttribute("aria-pressed") !== "true";
    line.setAttribute("aria-pressed", shown);
    draw(div).then(() => {
      const places = div.data.flatMap((trace, place) => (plain(trace.name) === line.dataset.line ? [place] : []));
      Plotly.restyle(div, { visible: shown }, places);
    });
  }));

  // The numbers of a chart, for those who would rather read them.
  all("details[data-numbers]").forEach((details) => details.addEventListener("toggle", () => {
    const place = details.querySelector(".scroll");
    if (!details.open || place.firstChild) return;
    const name = details.dataset.numbers;
    const [x, y] = data.axes[name];
    const table = place.appendChild(document.createElement("table"));
    const row = (cells, kind) => {
      const line = table.appendChild(document.createElement("tr"));
      for (const cell of cells) line.appendChild(document.createElement(kind)).textContent = cell;
    };
    row(["", x, y], "th");
    for (const trace of data.charts[name].data) {
      trace.x.forEach((value, place) => { if (trace.y[place] !== null) row([plain(trace.name), value, trace.y[place]], "td"); });
    }
  }));

  // Rank lists: filters, and as many of each group at first as make some twenty.
  const SOME = 20;
  const filters = document.getElementById("rank-filters");
  if (filters) {
    const rows = all("#rank-rows > li");
    const selects = all("select", filters);
    const count = document.getElementById("rank-count");
    const more = document.getElementById("rank-more");
    let everything = false;
    const fits = (row) => selects.every((select) => !select.value || row.dataset[select.dataset.filter] === select.value);
    const apply = () => {
      const fitting = rows.filter(fits);
      const group = (row) => `${row.dataset.direction} ${row.dataset.group}`;
      const each = Math.ceil(SOME / Math.max(1, new Set(fitting.map(group)).size));
      const taken = new Map();
      let shown = 0;
      rows.forEach((row) => { row.hidden = true; });
      for (const row of fitting) {
        const before = taken.get(group(row)) ?? 0;
        taken.set(group(row), before + 1);
        row.hidden = !everything && fitting.length > SOME && before >= each;
        shown += !row.hidden;
      }
      more.hidden = shown === fitting.length;
      more.textContent = `Show all ${fitting.length}`;
      const of = more.hidden ? "" : ` of ${fitting.length}`;
      count.textContent = shown ? `${shown}${of} shown` : "none: no query fits all of these";
    };
    more.addEventListener("click", () => {
      everything = true;
      apply();
    });
    selects.forEach((select) => select.addEventListener("change", apply));
    filters.addEventListener("reset", () => setTimeout(apply));
    all("button[data-person]").forEach((person) => person.addEventListener("click", () => {
      filters.reset();
      selects.find((select) => select.dataset.filter === "identity").value = person.dataset.person;
      setTimeout(() => {
        selects.find((select) => select.dataset.filter === "identity").value = person.dataset.person;
        apply();
        filters.scrollIntoView({ block: "start" });
      });
    }));
    apply();
  }

  // The map: which one, and the picture of a point.
  const panel = document.getElementById("map-picture");
  function showPicture(id, text) {
    if (!panel || !id || !data.pictures[id]) return;
    const picture = panel.querySelector("img");
    picture.src = data.pictures[id][0];
    picture.alt = text;
    picture.hidden = false;
    panel.querySelector("p").textContent = text;
  }
  const maps = all(".map-one");
  if (maps.length) {
    const set = document.getElementById("map-set");
    const colouring = document.getElementById("map-colouring");
    const choose = () => {
      const own = maps.filter((map) => map.dataset.set === set.value);
      const wanted = own.find((map) => map.dataset.colouring === colouring.value) ?? own[0];
      maps.forEach((map) => { map.hidden = map !== wanted; });
      draw(wanted.querySelector(".chart")).then(() => Plotly.Plots.resize(wanted.querySelector(".chart")));
    };
    [set, colouring].forEach((select) => select.addEventListener("change", choose));
    for (const map of maps) {
      const div = map.querySelector(".chart");
      const points = data.charts[div.dataset.chart].data.flatMap((trace, curve) =>
        trace.x.map((_, point) => ({ curve, point, id: trace.customdata[point], text: plain(trace.text[point]) })));
      let at = -1;
      map.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!step || event.target !== map) return;
        event.preventDefault();
        at = (at + step + points.length) % points.length;
        const { curve, point, id, text } = points[at];
        showPicture(id, text);
        draw(div).then(() => Plotly.Fx.hover(div, [{ curveNumber: curve, pointNumber: point }]));
      });
    }
  }

  // Where the reader is: the last section whose head has passed the upper third, at the end of the page the last one.
  const links = new Map(all("header nav a").map((link) => [link.hash.slice(1), link]));
  const sections = all("main > section[id]").filter((section) => links.has(section.id));
  function mark() {
    const ended = scrollY > 0 && innerHeight + scrollY >= root.scrollHeight - 2;
    const passed = sections.filter((section) => section.getBoundingClientRect().top < innerHeight / 3);
    const at = ended ? sections.at(-1) : passed.at(-1) ?? sections[0];
    links.forEach((link, id) => {
      if (id === at.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  }
  ["scroll", "resize"].forEach((event) => addEventListener(event, mark, { passive: true }));
  new ResizeObserver(mark).observe(document.body); // whose details open
  mark();
})();
