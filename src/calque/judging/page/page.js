"use strict";
// Reads the numbers of a plot out, enlarges it, saves it. Everything is on the page; nothing is asked of any other place.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const byId = (id) => document.getElementById(id);

  // --- numbers --------------------------------------------------------------------------------------------

  const known = new WeakMap();
  const dataOf = (figure) => {
    if (!known.has(figure)) known.set(figure, JSON.parse(figure.querySelector("script").textContent));
    return known.get(figure);
  };
  const text = (value, digits = 4) => {
    if (value === null || value === undefined) return "–";
    const short = Number(value.toPrecision(digits));
    const written = short !== 0 && (Math.abs(short) < 1e-4 || Math.abs(short) >= 1e6) ? short.toExponential() : String(short);
    return written.replaceAll("-", "−");
  };
  const count = (data) => data.columns[0][1].length;
  const measured = (value, error) => { // to the second digit of the error
    const places = error > 0 ? 1 - Math.floor(Math.log10(error)) : -1;
    if (value === null || places < 0 || places > 9) return text(value) + (error === null ? "" : ` ± ${text(error, 2)}`);
    return `${value.toFixed(places)} ± ${error.toFixed(places)}`.replace("-", "−");
  };
  const sides = (data, row) => {
    if (data.kind === "points") return data.axes.map(([name, places]) => [name, [places[row]]]);
    const second = data.kind === "cells" ? data.axes[1][1].length - 1 : 1;
    const bins = data.kind === "cells" ? [Math.floor(row / second), row % second] : [row];
    return data.axes.map(([name, edges], place) => [name, [edges[bins[place]], edges[bins[place] + 1]]]);
  };
  const heads = (data) => [
    ...data.axes.flatMap(([name]) => (data.kind === "points" ? [name] : [`${name} from`, `${name} to`])),
    ...data.columns.map(([name]) => name),
  ];
  const cells = (data, row) => [...sides(data, row).flatMap(([, places]) => places), ...data.columns.map(([, column]) => column[row])];
  const quoted = (entry) => {
    const plain = entry === null ? "" : String(entry);
    const guarded = typeof entry === "string" && /^[=+@\t-]/.test(plain) ? `'${plain}` : plain; // no formula in a spreadsheet
    return /[",\n\r]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
  };
  const csv = (data) => {
    const rows = Array.from({ length: count(data) }, (_, row) => cells(data, row));
    return [heads(data), ...rows].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  };
  const sentence = (data, row) => {
    const parts = document.createDocumentFragment();
    const add = (name, value) => {
      if (parts.childNodes.length) parts.append(" · ");
      const strong = document.createElement("b");
      strong.textContent = value;
      parts.append(`${name} `, strong);
    };
    for (const [name, places] of sides(data, row)) add(name, places.map((place) => text(place)).join(" to "));
    const errors = new Map(data.columns.filter(([name]) => name.endsWith("_error")));
    for (const [name, column] of data.columns) {
      if (errors.has(name)) continue;
      const error = errors.get(`${name}_error`);
      add(name.replaceAll("_", " "), error ? measured(column[row], error[row]) : text(column[row]));
    }
    return parts;
  };

  // --- reading a plot -------------------------------------------------------------------------------------

  const scaled = (value, log) => (log ? Math.log10(value) : value);
  const toPicture = (frame, value, side) => { // a number to its place in the picture
    const [low, high] = frame["xy"[side]].map((limit) => scaled(limit, frame.log[side]));
    const share = (scaled(value, frame.log[side]) - low) / (high - low);
    const [left, top, right, bottom] = frame.box;
    return side ? bottom - share * (bottom - top) : left + share * (right - left);
  };
  const toValue = (frame, place, side) => {
    const [low, high] = frame["xy"[side]].map((limit) => scaled(limit, frame.log[side]));
    const [left, top, right, bottom] = frame.box;
    const value = low + (high - low) * (side ? (bottom - place) / (bottom - top) : (place - left) / (right - left));
    return frame.log[side] ? 10 ** value : value;
  };
  const binOf = (edges, value) => {
    const last = edges.length - 2;
    if (!(value >= edges[0]) || value > edges[last + 1]) return -1;
    return Math.min(edges.findLastIndex((edge) => edge <= value), last);
  };
  const rowAt = (data, frame, x, y) => {
    const value = toValue(frame, x, 0);
    const [[, first], second] = data.axes;
    if (data.kind === "bins") return binOf(first, value);
    if (data.kind === "cells") {
      const [column, line] = [binOf(first, value), binOf(second[1], toValue(frame, y, 1))];
      return column < 0 || line < 0 ? -1 : column * (second[1].length - 1) + line;
    }
    const [low, high] = frame.x;
    const inside = first.map((place, row) => [Math.abs(place - value), row]).filter(([, row]) => first[row] >= low && first[row] <= high);
    return inside.length ? inside.reduce((best, next) => (next[0] < best[0] ? next : best))[1] : -1;
  };
  const shape = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const marks = (data, row, frame) => {
    const [left, top, right, bottom] = frame.box;
    const places = sides(data, row).map(([, values], side) => values.map((value) => toPicture(frame, value, side)));
    const [from, to] = places[0].length > 1 ? places[0] : [places[0][0], places[0][0]];
    if (!(to >= left - 1 && from <= right + 1)) return [];
    if (data.kind === "points") return [shape("line", { class: "cursor-line", x1: from, x2: from, y1: top, y2: bottom })];
    const [low, high] = places[1] ?? [bottom, top];
    const start = clamp(from, left, right);
    return [shape("rect", { class: "cursor", x: start, width: clamp(to, left, right) - start, y: high, height: low - high })];
  };
  const current = new WeakMap();
  const show = (figure, drawing, readout, row) => {
    if (current.get(drawing) === row) return;
    const data = dataOf(figure);
    all(".cursor, .cursor-line", drawing).forEach((mark) => mark.remove());
    current.set(drawing, row);
    if (row < 0) {
      readout.textContent = drawing.getAttribute("aria-label"); // what it shows as a whole
      return;
    }
    readout.style.minHeight = `${readout.offsetHeight}px`; // nothing below may jump
    drawing.querySelector("svg").append(...data.frames.flatMap((frame) => marks(data, row, frame)));
    readout.replaceChildren(sentence(data, row));
  };
  const pointed = (figure, drawing, event) => {
    const svg = drawing.querySelector("svg");
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const data = dataOf(figure);
    const frame = data.frames.find(({ box: [left, top, right, bottom] }) => x >= left && x <= right && y >= top && y <= bottom);
    return frame ? rowAt(data, frame, x, y) : -1;
  };
  const stepped = (figure, drawing, key) => {
    const data = dataOf(figure);
    const across = data.kind === "cells" ? data.axes[1][1].length - 1 : 1;
    const step = { ArrowRight: across, ArrowLeft: -across, ArrowUp: 1, ArrowDown: -1 }[key];
    const row = current.get(drawing) ?? -1;
    if (key === "Home" || (row < 0 && step > 0)) return 0;
    if (key === "End" || row < 0) return count(data) - 1;
    return clamp(row + step, 0, count(data) - 1);
  };

  // --- a plot in the whole window -------------------------------------------------------------------------

  const dialog = byId("enlarged");
  const stage = dialog.querySelector(".stage");
  const wide = { figure: null, drawing: null, home: null, x: 0, y: 0, zoom: 1, width: 1, height: 1 };
  const fingers = new Map();
  const place = () => {
    wide.drawing.style.transform = `translate(${wide.x}px, ${wide.y}px)`;
    wide.drawing.style.width = `${wide.width * wide.zoom}px`; // by width: lines and letters stay sharp
  };
  const fit = () => {
    const { width, height } = wide.drawing.querySelector("svg").viewBox.baseVal;
    const [across, down] = [stage.clientWidth, stage.clientHeight];
    wide.width = 0.96 * Math.min(across, (down * width) / height);
    wide.height = (wide.width * height) / width;
    Object.assign(wide, { zoom: 1, x: (across - wide.width) / 2, y: (down - wide.height) / 2 });
    place();
  };
  const zoom = (factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) => {
    const next = clamp(wide.zoom * factor, 0.5, 40);
    wide.x = x - ((x - wide.x) * next) / wide.zoom;
    wide.y = y - ((y - wide.y) * next) / wide.zoom;
    wide.zoom = next;
    place();
  };
  const move = (x, y) => {
    wide.x += x;
    wide.y += y;
    place();
  };
  const enlarge = (figure) => {
    const drawing = figure.querySelector(".drawing");
    Object.assign(wide, { figure, drawing, home: drawing.parentElement });
    wide.home.style.height = `${wide.home.offsetHeight}px`; // the page behind keeps its place
    byId("enlarged-title").textContent = figure.querySelector("h3").textContent;
    stage.replaceChildren(drawing);
    dialog.showModal();
    stage.focus();
    fit();
  };
  const restore = () => {
    if (!wide.drawing) return;
    show(wide.figure, wide.drawing, dialog.querySelector(".readout"), -1);
    wide.drawing.removeAttribute("style");
    wide.home.removeAttribute("style");
    wide.home.append(wide.drawing);
    wide.home.focus({ preventScroll: true });
    wide.drawing = null;
    fingers.clear();
  };
  const keys = {
    "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: fit,
    ArrowLeft: () => move(60, 0), ArrowRight: () => move(-60, 0), ArrowUp: () => move(0, 60), ArrowDown: () => move(0, -60),
  };
  dialog.addEventListener("close", restore);
  dialog.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  dialog.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-zoom]")?.dataset.zoom;
    ({ in: () => zoom(1.3), out: () => zoom(1 / 1.3), fit, close: () => dialog.close() })[asked]?.();
  });
  addEventListener("resize", () => wide.drawing && fit());

  const within = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-0.002 * clamp(event.deltaY, -200, 200)), ...within(event));
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, within(event));
  });
  stage.addEventListener("pointermove", (event) => {
    if (!wide.drawing) return;
    const old = fingers.get(event.pointerId);
    if (!old) return show(wide.figure, wide.drawing, dialog.querySelector(".readout"), pointed(wide.figure, wide.drawing, event));
    const now = within(event);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    fingers.set(event.pointerId, now);
    if (!other) return move(now[0] - old[0], now[1] - old[1]);
    const apart = (point) => Math.max(Math.hypot(point[0] - other[0], point[1] - other[1]), 1);
    zoom(apart(now) / apart(old), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => fingers.delete(event.pointerId));

  // --- saving ---------------------------------------------------------------------------------------------

  const save = (content, type, name) => {
    const url = URL.createObjectURL(new Blob([content], { type }));
    const link = Object.assign(document.createElement("a"), { href: url, download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const savePicture = (figure, scale = 3) => {
    const svg = figure.querySelector("svg").cloneNode(true);
    const { width, height } = figure.querySelector("svg").viewBox.baseVal;
    svg.setAttribute("width", width * scale);
    svg.setAttribute("height", height * scale);
    all(".cursor, .cursor-line", svg).forEach((mark) => mark.remove());
    const onPaper = new XMLSerializer().serializeToString(svg).replace(/var\(--[\w-]+, ?(#\w+)\)/g, "$1");
    const picture = new Image();
    picture.onload = () => {
      const canvas = Object.assign(document.createElement("canvas"), { width: width * scale, height: height * scale });
      const context = canvas.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(picture, 0, 0);
      canvas.toBlob((blob) => save(blob, "image/png", `${dataOf(figure).name}.png`));
    };
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(onPaper)}`;
  };
  const fill = (figure) => {
    const data = dataOf(figure);
    const body = figure.querySelector(".numbers tbody");
    if (data.kind === "cells" || body.rows.length >= count(data)) return;
    const rows = Array.from({ length: count(data) }, (_, row) => {
      const line = document.createElement("tr");
      line.append(...cells(data, row).map((cell) => Object.assign(document.createElement("td"), { textContent: text(cell) })));
      return line;
    });
    body.replaceChildren(...rows);
    figure.querySelector(".numbers > .alt:last-child")?.remove();
  };

  // --- what is done where ---------------------------------------------------------------------------------

  for (const figure of all(".exhibit")) {
    const [plot, drawing, readout] = [".plot", ".drawing", ".readout"].map((name) => figure.querySelector(name));
    const actions = {
      enlarge: () => enlarge(figure),
      png: () => savePicture(figure),
      csv: () => save(csv(dataOf(figure)), "text/csv", `${dataOf(figure).name}.csv`),
    };
    figure.querySelector(".tools").addEventListener("click", (event) => actions[event.target.dataset.do]?.());
    figure.querySelector(".numbers").addEventListener("toggle", () => fill(figure));
    plot.addEventListener("click", () => enlarge(figure));
    plot.addEventListener("pointermove", (event) => show(figure, drawing, readout, pointed(figure, drawing, event)));
    plot.addEventListener("pointerleave", () => show(figure, drawing, readout, -1));
    plot.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "Enter") enlarge(figure);
      else if (/^(Arrow|Home$|End$)/.test(event.key)) show(figure, drawing, readout, stepped(figure, drawing, event.key));
      else return;
      event.preventDefault();
    });
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = byId("theme");
  const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const mark = () => theme.setAttribute("aria-pressed", isDark());
  theme.setAttribute("aria-label", "Dark colours");
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    mark();
  });
  dark.addEventListener("change", mark);
  mark();

  const unfold = byId("unfold");
  unfold?.addEventListener("click", () => {
    const open = unfold.getAttribute("aria-pressed") !== "true";
    all(".group, .rest").forEach((group) => { group.open = open; });
    unfold.setAttribute("aria-pressed", open);
    unfold.textContent = open ? "Fold all" : "Unfold all";
  });
  addEventListener("beforeprint", () => all(".group, .rest").forEach((group) => { group.open = true; }));

  const links = new Map(all("nav li a").map((link) => [byId(link.hash.slice(1)), link]));
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      const link = links.get(target);
      link.setAttribute("aria-current", "location");
      const list = link.closest("ul");
      list.scrollLeft = link.offsetLeft - list.offsetLeft - (list.clientWidth - link.offsetWidth) / 2;
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  links.forEach((_, section) => watch.observe(section));
})();
