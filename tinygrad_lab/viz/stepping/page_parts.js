// Parts of the page: elements made from the data. Text is only ever set as text, so no name can become markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg", MATHML = "http://www.w3.org/1998/Math/MathML";
const $ = (id) => document.getElementById(id);

/** An element with properties (class, text, on..., or attributes) and children (elements or texts). */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Formulas come as MathML; only these tags and attributes are taken from it.
const MATH_TAGS = new Set(["math", "mrow", "mi", "mn", "mo", "mtext", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup",
  "mover", "munder", "munderover", "mspace", "mtable", "mtr", "mtd", "mstyle", "mpadded"]);
const MATH_ATTRIBUTES = new Set(["mathvariant", "stretchy", "width", "displaystyle", "accent", "fence", "separator",
  "movablelimits", "lspace", "rspace", "form", "largeop", "columnalign"]);

/** The content of a formula, copied tag by tag. */
function math(text) {
  const parsed = new DOMParser().parseFromString(`<math>${text}</math>`, "application/xml").documentElement;
  return copied(parsed);
}

function copied(node) {
  if (node.nodeType === Node.TEXT_NODE) return document.createTextNode(node.data);
  const element = document.createElementNS(MATHML, MATH_TAGS.has(node.localName) ? node.localName : "mtext");
  for (const { name, value } of node.attributes ?? []) if (MATH_ATTRIBUTES.has(name)) element.setAttribute(name, value);
  for (const child of node.childNodes ?? []) element.append(copied(child));
  return element;
}

// Numbers

/** A number as a reader wants it: three digits, a real minus. */
function shown(x, precision = 3) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  let text;
  if (Number.isInteger(x) && size < 1e5) text = String(x);
  else if (size >= 1e-3 && size < 9999.5) text = size >= 999.5 ? x.toFixed(0) : String(Number(x.toPrecision(precision)));
  else text = x.toExponential(1).replace("e+", "e").replace(".0e", "e");
  return text.replaceAll("-", "−");
}

/** Decimals with which the largest of some numbers has three digits, or fewer if they suffice for all. */
function decimals(numbers) {
  const scale = largest(numbers);
  let places = scale > 0 ? Math.min(9, Math.max(0, 2 - Math.floor(Math.log10(scale)))) : 0;
  const exact = (x) => !Number.isFinite(x) || Math.abs(Number(x.toFixed(places - 1)) - x) < 1e-9 * scale;
  while (places > 0 && numbers.every(exact)) places -= 1;
  return places;
}

/** A number in a grid, with as many decimals as its neighbours. */
function aligned(x, places) {
  if (x === 0 || !Number.isFinite(x) || Math.abs(x) >= 9999.5 || places > 5) return shown(x);
  if (Number.isInteger(x)) return shown(x);
  const text = x.toFixed(places);
  return Number(text) === 0 ? x.toExponential(0).replaceAll("-", "−") : text.replaceAll("-", "−");
}

const parsed = new Map();
function values(text) {
  if (!parsed.has(text)) parsed.set(text, text === "" ? [] : text.split(" ").map(Number));
  return parsed.get(text);
}

function statistics(array) {
  if (array.statistics) return array.statistics.map(Number);
  const finite = (array.values === undefined ? [] : values(array.values)).filter(Number.isFinite);
  if (!finite.length) return null;
  const mean = finite.reduce((sum, x) => sum + x, 0) / finite.length;
  const variance = finite.reduce((sum, x) => sum + (x - mean) ** 2, 0) / finite.length;
  return [Math.min(...finite), mean, Math.max(...finite), Math.sqrt(variance),
    finite.filter((x) => x === 0).length / finite.length];
}

function counts(array) {
  if (array.histogram) return array.histogram;
  const stats = statistics(array), finite = values(array.values).filter(Number.isFinite);
  if (!stats || finite.length < 6 || stats[2] === stats[0]) return null;
  const bins = new Array(12).fill(0);
  for (const x of finite) bins[Math.min(11, Math.floor((x - stats[0]) / (stats[2] - stats[0]) * 12))] += 1;
  return bins;
}

function shape(array) {
  return array.shape.length ? array.shape.join("×") : "scalar";
}

// Colours of heat maps: blue positive, orange negative, on a neutral 0; text black or white by luminance.

const BLUE = [0, 114, 178], ORANGE = [213, 94, 0];

function mixed(x, scale) {
  const part = scale > 0 ? Math.min(1, Math.abs(x) / scale) : 0, end = x >= 0 ? BLUE : ORANGE;
  return end.map((channel) => Math.round(255 + (channel - 255) * part));
}

function luminance(rgb) {
  const [r, g, b] = rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function largest(numbers) {
  return numbers.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
}

/** All numbers of a small array. */
function grid(array, places) {
  const numbers = values(array.values), dims = array.shape, scale = largest(numbers);
  places ??= decimals(numbers);
  const wraps = dims.length < 2;
  const columns = wraps ? Math.min(Math.max(numbers.length, 1), 10) : Math.max(dims[dims.length - 1], 1);
  const rows = wraps ? Infinity : dims[dims.length - 2];
  const cells = make("div", { class: "cells" });
  cells.style.gridTemplateColumns = `repeat(${columns}, auto)`;
  numbers.forEach((x, i) => {
    if (i && i % (columns * rows) === 0) cells.append(make("span", { class: "gap" }));
    const cell = make("span", { text: dims.length ? aligned(x, places) : shown(x), title: String(x) });
    if (Number.isFinite(x)) {
      const rgb = mixed(x, scale);
      cell.style.backgroundColor = `rgb(${rgb})`;
      cell.style.color = luminance(rgb) > 0.179 ? "#000" : "#fff";
    } else cell.className = "notfinite";
    cells.append(cell);
  });
  return make("div", { class: "matrix" }, cells);
}

/** Which slice of large arrays is shown: 0 beginning, 1 middle, 2 end. At first, where most arrays hold something. */
let part = [0, 1, 2].map((k) => data.arrays.filter((array) => {
  const slice = array.slices?.[Math.min(k, array.slices.length - 1)];
  return slice && new Set(slice.values.split(" ")).size > 1;
}).length).reduce((best, count, k, all) => (count > all[best] ? k : best), 0);

/** One slice of a large array as coloured squares; the number under the pointer is in the title. */
function heatmap(array) {
  const slice = array.slices[Math.min(part, array.slices.length - 1)], numbers = values(slice.values);
  const columns = Math.max(slice.columns, 1), rows = Math.ceil(numbers.length / columns), scale = largest(numbers);
  const canvas = make("canvas", { class: "map", width: columns, height: rows });
  const side = Math.max(6, Math.min(11, Math.floor(176 / Math.max(columns, rows))));
  canvas.style.width = `${Math.min(columns * side, 320)}px`;
  canvas.style.height = `${Math.min(rows * side, 320)}px`;
  const context = canvas.getContext("2d");
  numbers.forEach((x, i) => {
    const [column, row] = [i % columns, Math.floor(i / columns)];
    context.fillStyle = Number.isFinite(x) ? `rgb(${mixed(x, scale)})` : (column + row) % 2 ? "#b34700" : "#ffe3d1";
    context.fillRect(column, row, 1, 1);
  });
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.min(columns - 1, Math.floor((event.clientX - box.left) / box.width * columns));
    const row = Math.min(rows - 1, Math.floor((event.clientY - box.top) / box.height * rows));
    const x = numbers[row * columns + column];
    canvas.title = x === undefined ? "" : `row ${row}, column ${column} of the slice: ${shown(x)}`;
  });
  return canvas;
}

/** What is said of an array to those who do not see it. */
function summary(array) {
  const stats = statistics(array);
  if (array.shape.length === 0 && array.values !== undefined) return shown(values(array.values)[0]);
  const range = stats ? `from ${shown(stats[0])} to ${shown(stats[2])}, mean ${shown(stats[1])}` : "no finite numbers";
  return `${shape(array)}, ${range}${array.bad ? `, ${array.bad} not finite` : ""}`;
}

/** An array with its caption: the numbers if they are few, else a slice, as also `beside` a slice. `hidden` covers it. */
function figure(index, label, hidden = false, places = undefined, beside = false) {
  const array = data.arrays[index];
  if (!array) return make("figure", {}, make("figcaption", { text: `${label} (not known)` }));
  const caption = make("figcaption", { text: hidden || !array.shape.length ? label : `${label} ${shape(array)}` });
  if (hidden) return make("figure", {}, make("div", { class: "masked", text: "?", role: "img", "aria-label": "hidden" }), caption);
  if (array.values !== undefined && !(beside && array.slices)) {
    const body = grid(array, places);
    if (array.shape.length && values(array.values).length > 12) body.tabIndex = -1;
    body.setAttribute("role", "img");
    body.setAttribute("aria-label", `${label}: ${summary(array)}`);
    return make("figure", {}, body, caption);
  }
  const slice = array.slices[Math.min(part, array.slices.length - 1)];
  caption.append(make("br"), slice.index);
  const canvas = heatmap(array);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${label}: ${summary(array)}`);
  return make("figure", {}, canvas, caption);
}

function sign(text) {
  return make("span", { class: "sign", text });
}

/** Statistics, histogram and numbers of an array, for the details of a card. */
function portrait(index, label) {
  const array = data.arrays[index], section = make("section", {}, make("h3", { text: label }));
  const stats = statistics(array), bins = array.shape.length ? counts(array) : null;
  if (stats && array.shape.length) {
    const names = ["min", "mean", "max", "std", "zeros"];
    const list = make("dl");
    names.forEach((name, i) => list.append(make("dt", { text: name }),
      make("dd", { text: name === "zeros" ? `${(stats[4] * 100).toFixed(0)}%` : shown(stats[i]) })));
    if (array.bad) list.append(make("dt", { text: "NaN, ∞" }), make("dd", { text: String(array.bad) }));
    section.append(list);
  }
  if (bins) {
    const most = Math.max(...bins), width = 196 / bins.length;
    const chart = document.createElementNS(SVG, "svg");
    chart.setAttribute("class", "bars");
    chart.setAttribute("width", "200");
    chart.setAttribute("height", "56");
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", `Histogram from ${shown(stats[0])} to ${shown(stats[2])}`);
    bins.forEach((count, i) => {
      const bar = document.createElementNS(SVG, "rect"), height = count ? Math.max(1, count / most * 54) : 0;
      for (const [name, value] of [["x", 2 + i * width], ["y", 55 - height], ["width", width - 1], ["height", height]]) {
        bar.setAttribute(name, value);
      }
      bar.setAttribute("fill", "currentColor");
      chart.append(bar);
    });
    section.append(chart);
  }
  section.append(figure(index, label));
  return section;
}
