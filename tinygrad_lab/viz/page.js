// The page: which step is shown, what of it may be seen yet, and what keys and clicks do.

const steps = data.steps, last = steps.length - 1, canvas = $("canvas");
const turn = steps.findIndex((step) => step.phase !== "forward"); // where the backward pass starts
const cards = new Map(), edges = new Map();
for (const element of canvas.querySelectorAll("[data-id]")) {
  (Object.hasOwn(data.nodes, element.dataset.id) ? cards : edges).set(element.dataset.id, element);
}
const answers = new Map(); // "step.question" -> number of the option that was chosen, or -1 for "show me"
const state = { step: 0, node: null, predict: false, checking: false, timer: null, zoom: 1 };

// When each value and each gradient is first known: the step that computes it.
const valueAt = new Map(), gradientAt = new Map();
steps.forEach((step, i) => {
  if (step.phase === "forward") valueAt.set(step.node, i);
  if (step.phase === "seed") gradientAt.set(step.node, i);
  for (const block of step.blocks ?? []) gradientAt.set(block.node, i);
});

// Predict mode

/** The questions of a step, in order: [key, question, number of the block it belongs to]. */
function questions(i) {
  const step = steps[i], own = (step.questions ?? []).map((question, k) => [`${i}.${k}`, question, 0]);
  const inBlocks = (step.blocks ?? []).flatMap((block, b) =>
    block.questions.map((question, k) => [`${i}.${b}.${k}`, question, b]));
  return [...own, ...inBlocks];
}

function open(i, block) {
  return state.predict && questions(i).some(([key, , b]) => (block === undefined || b === block) && !answers.has(key));
}

function choose(key, question, option) {
  if (answers.has(key)) return;
  answers.set(key, option);
  const right = option >= 0 && question.options[option].right;
  show();
  const chosen = question.options[option], answer = question.options.find((each) => each.right);
  say(option < 0 ? `The answer is ${answer.text}.` : right ? "Right." : `No: ${chosen.why}. It is ${answer.text}.`);
  focusQuestion();
}

function focusQuestion() {
  const button = $("step").querySelector(".question button:not(:disabled)");
  if (button) button.focus();
  else $("panel").focus();
}

function questionBox([key, question]) {
  const chosen = answers.get(key), done = chosen !== undefined;
  const options = question.options.map((option, k) => make("button", {
    class: done && option.right ? "right" : done && k === chosen ? "wrong" : null,
    disabled: done, onclick: () => choose(key, question, k),
  }, make("kbd", { text: String(k + 1) }), option.text));
  const box = make("div", { class: "question" }, make("p", { text: question.ask }), make("div", { class: "options" }, ...options));
  if (done) {
    const answer = question.options.find((option) => option.right);
    const right = chosen >= 0 && question.options[chosen].right;
    const start = right ? "✓ Right" : chosen < 0 ? `It is ${answer.text}` : `✗ You chose ${question.options[chosen].text}`;
    const why = right || chosen < 0 ? answer.why : question.options[chosen].why;
    box.append(make("p", { class: "feedback", text: why ? `${start}: ${why}.` : `${start}.` }));
  }
  return box;
}

function asked(i, block) {
  if (!state.predict) return [];
  return questions(i).filter(([, , b]) => b === block).map(questionBox);
}

// The step

function name(id) {
  return data.nodes[id].name;
}

function equation(parts, hidden, places) {
  return make("div", { class: "equation" }, ...parts.map((each) =>
    typeof each === "string" ? sign(each) : figure(each.array, each.label, hidden && each.result, places)));
}

/** Decimals that suit all of some arrays, so that a sum of them can be followed. */
function shared(indices) {
  const arrays = indices.map((index) => data.arrays[index]).filter((array) => array?.values !== undefined);
  return arrays.length ? Math.min(4, Math.max(...arrays.map((array) => decimals(largest(values(array.values)))))) : undefined;
}

/** input, input → output, with the op between or before them. */
function forwardParts(step) {
  const result = { array: step.value, label: name(step.node), result: true };
  if (step.parts?.length > 1) return [...step.parts, "=", result];
  const infix = /^[^\w\s|]+$/.test(step.symbol) && step.operands.length === 2;
  const parts = infix ? [] : [step.symbol, "("];
  step.operands.forEach((operand, k) => {
    if (k) parts.push(infix ? step.symbol : ",");
    parts.push({ array: data.nodes[operand.node].value, label: name(operand.node) });
  });
  if (!infix) parts.push(")");
  return [...parts, "=", result];
}

function ruleLine(formula) {
  return formula ? make("div", { class: "rule" }, math(formula)) : null;
}

function forwardBlock(step, i) {
  const hidden = open(i, 0);
  return make("div", { class: "block" }, ...asked(i, 0), ruleLine(step.math),
    equation(forwardParts(step), hidden));
}

function seedBlock(step, i) {
  return make("div", { class: "block" }, ...asked(i, 0),
    equation([`∂${name(step.node)} / ∂${name(step.node)}`, "=",
      { array: step.cotangent, label: `gradient of ${name(step.node)}`, result: true }], open(i, 0)));
}

function copies(block, hidden) {
  return make("div", { class: "note" },
    make("h3", { text: `${name(block.node)} was copied ${block.copies} times going forward, so its gradients are summed` }),
    equation(["Σ", { array: block.raw, label: "one gradient for each copy" }, "=",
      { array: block.value, label: "summed over the copies", result: true }], hidden));
}

function accumulation(block, hidden) {
  const places = shared([block.before, block.value, block.after]);
  return make("div", { class: "note" },
    make("h3", { text: `${name(block.node)} is used more than once, so its gradients add up` }),
    equation([{ array: block.before, label: "before" }, "+",
      { array: block.value, label: "contribution", result: true }, "=",
      { array: block.after, label: block.last ? ".grad now" : ".grad so far", result: true }], hidden, places));
}

function leafNote(block) {
  const text = block.last
    ? "Leaf: this is the gradient that the optimizer will use."
    : "Leaf, but not finished: it is used in more places, whose contributions will be added.";
  return make("p", { class: "note", text });
}

function checkTable(block) {
  if (!block.checks) return make("p", { class: "shapes", text: "Too large to check here." });
  const rows = block.checks.map((check) => make("tr", {}, make("td", { text: name(block.node) + check.at }),
    make("td", { text: check.rule }), make("td", { text: check.slope }),
    make("td", { class: check.agrees ? "yes" : "no", text: check.agrees ? "✓ agree" : "✗ differ: a kink, or too few digits" })));
  return make("table", { class: "check" }, make("thead", {}, make("tr", {}, ...["element", "this rule", "finite difference", ""]
    .map((text) => make("th", { text })))), make("tbody", {}, ...rows));
}

function backwardBlock(step, block, b, i) {
  const hidden = open(i, b), label = `∂L/∂${name(block.node)}`;
  const raw = block.raw === undefined ? block.value : block.raw;
  const parts = block.parts?.length ? block.parts : [{ array: step.cotangent, label: `∂L/∂${name(step.node)}` }, "→"];
  const result = block.before === undefined && block.raw === undefined ? label : "contribution";
  const box = make("div", { class: "block" }, ...asked(i, b), ruleLine(block.math));
  const onlyCopied = block.raw !== undefined && parts.length === 1 && parts[0].array === raw; // the sum says it all
  if (!onlyCopied) {
    box.append(equation([...parts, block.parts?.length ? "=" : "", { array: raw, label: result, result: true }], hidden));
  }
  if (block.raw !== undefined) box.append(copies(block, hidden));
  if (block.before !== undefined) box.append(accumulation(block, hidden));
  if (block.leaf) box.append(leafNote(block));
  if (state.checking && !hidden) box.append(checkTable(block));
  return box;
}

/** Whether some array of this step is shown in slices. */
function hasSlices(step) {
  const used = [step.value, step.cotangent, ...(step.operands ?? []).map((operand) => data.nodes[operand.node].value),
    ...(step.blocks ?? []).map((block) => block.value)];
  return used.some((index) => data.arrays[index]?.slices?.length > 1);
}

function tools(step) {
  const row = make("div", { class: "tools" });
  if (hasSlices(step)) {
    row.append("Slices of large arrays:", ...["beginning", "middle", "end"].map((text, k) => make("button", {
      text, "aria-pressed": String(part === k), onclick: () => { part = k; show(); },
    })));
  }
  if (step.phase === "backward") {
    row.append(make("button", { id: "check", "aria-pressed": String(state.checking), title: "Finite differences (c)",
      text: "Check with finite differences", onclick: check }));
  }
  return row.childNodes.length ? row : null;
}

function check() {
  state.checking = !state.checking;
  show();
  $("check")?.focus();
}

function stepBody(i) {
  const step = steps[i], node = data.nodes[step.node], body = [];
  body.push(make("h2", { text: step.title }), make("p", { class: "why", text: step.why }));
  if (node.code) body.push(make("p", { class: "code" }, make("b", { text: node.line }), node.code));
  body.push(tools(step));
  if (step.phase === "forward") body.push(forwardBlock(step, i));
  if (step.phase === "seed") body.push(seedBlock(step, i));
  (step.blocks ?? []).forEach((block, b) => body.push(backwardBlock(step, block, b, i)));
  if (step.skipped?.length && !open(i, 0)) {
    body.push(make("ul", { class: "skipped" }, ...step.skipped.map((each) =>
      make("li", { text: `${each.name} gets no gradient: ${each.why}.` }))));
  }
  if (step.mistake && !open(i)) body.push(make("p", { class: "why", text: `Often got wrong: ${step.mistake}.` }));
  return body.filter((element) => element !== null);
}

// Details of a card

function links(ids) {
  return ids.map((id) => make("button", { text: name(id), onclick: () => select(id, true) }));
}

function details() {
  const box = $("details"), node = data.nodes[state.node];
  box.hidden = !node;
  if (!node) return;
  const list = make("dl"), kinds = { op: "op", loss: "loss", parameter: "parameter", input: "data", target: "labels",
    constant: "constant", fold: "several ops" };
  const row = (term, ...content) => content.length && list.append(make("dt", { text: term }), make("dd", {}, ...content));
  row("kind", node.frozen ? "frozen parameter" : kinds[node.kind] ?? node.kind, node.op ? ` ${node.op}` : "");
  if (node.shape) row("shape", `${node.shape} ${node.type}`);
  if (node.where) row("in", node.where);
  if (node.note) row("note", node.note);
  if (node.code) row("line", `${node.line}  ${node.code}`);
  row("made by", ...links(node.from));
  row("used by", ...links([...new Set(node.to)]));
  if (node.saved?.length) row("saved for backward", node.saved.join(", "));
  const arrays = make("div", { class: "arrays" });
  if (node.value !== null && knows(valueAt, state.node)) arrays.append(portrait(node.value, "value"));
  if (node.gradient !== null && knows(gradientAt, state.node)) arrays.append(portrait(node.gradient, "gradient"));
  else if (node.gradient !== null) arrays.append(make("p", { class: "shapes", text: "The gradient is not complete yet." }));
  else arrays.append(make("p", { class: "shapes", text: "No gradient: none is needed." }));
  box.replaceChildren(make("div", { class: "head" }, make("h2", { text: node.name }),
    make("button", { text: "Close", title: "Escape", onclick: () => select(null) })), list, arrays);
}

/** Whether what `when` lists for a node has been computed by now, and may be seen. */
function knows(when, id) {
  const at = when.get(id);
  return at === undefined || at < state.step || (at === state.step && !open(state.step));
}

function select(id, focus = false) {
  const before = state.node;
  state.node = Object.hasOwn(data.nodes, id ?? "") ? id : null;
  show();
  if (state.node && focus) $("details").scrollIntoView({ block: "nearest" });
  if (!state.node && before && cards.has(before)) cards.get(before).focus({ preventScroll: true });
}

// The graph

function drawGraph() {
  const step = steps[state.step], backward = step.phase !== "forward";
  canvas.classList.toggle("forwardstep", !backward);
  canvas.classList.toggle("backwardstep", backward);
  const reached = new Set();
  steps.slice(0, state.step + 1).forEach((each) => {
    reached.add(each.node);
    for (const id of each.inputs ?? []) reached.add(id);
  });
  const touched = new Set((step.blocks ?? []).map((block) => block.node));
  for (const [id, card] of cards) {
    const fold = data.nodes[id].kind === "fold";
    card.classList.toggle("future", !reached.has(id) && !(fold && backward));
    card.classList.toggle("active", id === step.node || touched.has(id));
    card.classList.toggle("working", id === step.node);
    card.classList.toggle("chosen", id === state.node);
    for (const part of card.querySelectorAll("[data-part=value]")) part.classList.toggle("unseen", !knows(valueAt, id));
    for (const part of card.querySelectorAll("[data-part=gradient]")) {
      part.classList.toggle("unseen", gradientAt.has(id) ? !knows(gradientAt, id) : false);
    }
  }
  for (const [id, edge] of edges) {
    const now = step.edges.includes(id);
    edge.classList.toggle("fore", now && !backward);
    edge.classList.toggle("aft", now && backward);
    const card = cards.get(edge.dataset.to);
    edge.classList.toggle("future", !!card && card.classList.contains("future"));
  }
  reveal(cards.get(step.node));
}

function reveal(card) {
  if (!card) return;
  const box = card.getBoundingClientRect(), frame = canvas.getBoundingClientRect(), margin = 60;
  const outside = box.top < frame.top + margin || box.bottom > frame.bottom - margin ||
    box.left < frame.left + 10 || box.right > frame.right - 10;
  if (!outside) return;
  canvas.scrollTo(canvas.scrollLeft + box.left + box.width / 2 - frame.left - frame.width / 2,
    canvas.scrollTop + box.top + box.height / 2 - frame.top - frame.height / 2);
}

const drawing = canvas.querySelector("svg"), natural = drawing.viewBox.baseVal;
function zoom(factor) {
  const room = canvas.clientWidth - 24, fit = Math.min(room / natural.width, (canvas.clientHeight - 52) / natural.height);
  state.zoom = factor === null ? Math.min(1.25, fit) : Math.min(4, Math.max(0.05, state.zoom * factor));
  drawing.setAttribute("width", natural.width * state.zoom);
  drawing.setAttribute("height", natural.height * state.zoom);
  reveal(cards.get(steps[state.step].node));
}

// Everything

function say(text) {
  $("narration").textContent = text;
}

function show() {
  const step = steps[state.step], backward = step.phase !== "forward", panel = $("panel");
  panel.className = backward ? "backward" : "forward";
  $("phase").textContent = backward ? "← Backward" : "Forward →";
  $("phase").classList.toggle("backward", backward);
  $("slider").value = state.step + 1;
  $("slider").setAttribute("aria-valuetext", `Step ${state.step + 1} of ${steps.length}: ${step.title}`);
  $("count").textContent = `${state.step + 1} / ${steps.length}`;
  $("back").disabled = state.step === 0;
  $("next").disabled = state.step === last;
  $("predict").setAttribute("aria-pressed", String(state.predict));
  const given = [...answers].filter(([, option]) => option >= 0);
  const right = given.filter(([key, option]) =>
    questions(Number(key.split(".")[0])).find(([each]) => each === key)[1].options[option].right);
  $("score").textContent = given.length ? `${right.length} of ${given.length} right` : "";
  $("step").replaceChildren(...stepBody(state.step));
  details();
  drawGraph();
  const link = `#s=${state.step + 1}${state.node ? `&n=${state.node}` : ""}${state.predict ? "&q" : ""}`;
  try { if (location.hash !== link) history.replaceState(null, "", link); } catch { /* in a notebook's frame */ }
}

function go(i, narrate = true) {
  const to = Math.min(last, Math.max(0, i));
  if (to !== state.step) $("panel").scrollTop = 0;
  state.step = to;
  show();
  const step = steps[to];
  if (open(to)) focusQuestion();
  if (narrate) say(`Step ${to + 1} of ${steps.length}. ${step.title}. ${open(to) ? "Predict first." : step.why}`);
}

function play(on) {
  clearInterval(state.timer);
  state.timer = on ? setInterval(() => (state.step < last && !open(state.step) ? go(state.step + 1) : play(false)), 2400) : null;
  $("play").setAttribute("aria-pressed", String(on));
  $("play").textContent = on ? "Stop" : "Play";
}

function togglePlay() {
  if (!state.timer && state.step === last) go(0);
  play(!state.timer);
}

function togglePredict() {
  state.predict = !state.predict;
  show();
  say(state.predict ? "Predict mode: answer before you see." : "Predict mode is off.");
  if (state.predict && open(state.step)) focusQuestion();
}

function toggleTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  show();
}

/** 1 to 4 answer the first open question, s shows all answers of the step. */
function answer(key) {
  const first = state.predict && questions(state.step).find(([each]) => !answers.has(each));
  if (!first) return;
  if (key !== "s") {
    if (Number(key) <= first[1].options.length) choose(first[0], first[1], Number(key) - 1);
    return;
  }
  for (const [each] of questions(state.step)) if (!answers.has(each)) answers.set(each, -1);
  show();
  $("panel").focus();
}

const KEYS = {
  ArrowRight: () => go(state.step + 1), ArrowLeft: () => go(state.step - 1), Home: () => go(0), End: () => go(last),
  f: () => go(0), b: () => go(turn), q: togglePredict, t: toggleTheme, c: () => steps[state.step].blocks && check(),
  " ": togglePlay, "?": () => $("keys").showModal(), Escape: () => state.node && select(null),
  "+": () => zoom(1.25), "-": () => zoom(0.8), "0": () => zoom(null),
  1: () => answer("1"), 2: () => answer("2"), 3: () => answer("3"), 4: () => answer("4"), s: () => answer("s"),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  const target = event.target, onControl = target.closest("button, a, [data-card]");
  if (event.key === " " && onControl) return; // a button's own key
  if (target === canvas && event.key.startsWith("Arrow")) return; // scrolls the graph
  if (target.id === "slider" && (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End")) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  if (event.key !== " ") play(false);
  action();
});

$("back").onclick = () => go(state.step - 1);
$("next").onclick = () => go(state.step + 1);
$("forward").onclick = KEYS.f;
$("backward").onclick = KEYS.b;
$("play").onclick = togglePlay;
$("predict").onclick = togglePredict;
$("theme").onclick = toggleTheme;
$("help").onclick = KEYS["?"];
$("close").onclick = () => $("keys").close();
$("in").onclick = KEYS["+"];
$("out").onclick = KEYS["-"];
$("fit").onclick = KEYS["0"];
$("slider").oninput = () => { play(false); go(Number($("slider").value) - 1); };

// The arrowheads of backward edges: at the other end, pointing the other way.
const marker = document.createElementNS(SVG, "defs");
marker.append(document.createElementNS(SVG, "marker"));
for (const [name, value] of Object.entries({ id: "backward-head", viewBox: "0 0 10 10", refX: "9", refY: "5", markerWidth: "13",
  markerHeight: "13", markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" })) marker.firstChild.setAttribute(name, value);
marker.firstChild.append(document.createElementNS(SVG, "path"));
marker.firstChild.firstChild.setAttribute("d", "M0 0L10 5L0 10z");
drawing.prepend(marker);
for (const edge of edges.values()) {
  const [line, head] = edge.querySelectorAll("path");
  line?.classList.add("line-of");
  head?.classList.add("head");
}

for (const [id, card] of cards) {
  const node = data.nodes[id];
  card.setAttribute("data-card", "");
  card.setAttribute("tabindex", "0");
  card.setAttribute("role", "button");
  card.setAttribute("aria-label", `${node.op ? `${node.op}, ` : ""}${node.name}${node.shape ? `, ${node.shape}` : ""}: details`);
  card.addEventListener("click", () => !canvas.classList.contains("held") && select(id, true));
  card.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    select(state.node === id ? null : id, true);
  });
}

// Dragging moves the graph; the wheel with Ctrl zooms.
let grip = null;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button === 0 && event.pointerType === "mouse") grip = { x: event.clientX, y: event.clientY, moved: false };
});
window.addEventListener("pointermove", (event) => {
  if (!grip) return;
  const [dx, dy] = [event.clientX - grip.x, event.clientY - grip.y];
  if (!grip.moved && Math.abs(dx) + Math.abs(dy) < 5) return;
  canvas.classList.add("held");
  canvas.scrollBy({ left: -dx, top: -dy, behavior: "instant" });
  grip = { x: event.clientX, y: event.clientY, moved: true };
});
window.addEventListener("pointerup", () => {
  grip = null;
  setTimeout(() => canvas.classList.remove("held"));
});
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey) return;
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1);
}, { passive: false });

function followLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  state.predict = link.has("q");
  state.node = Object.hasOwn(data.nodes, link.get("n") ?? "") ? link.get("n") : null;
  go(Number(link.get("s") ?? 1) - 1 || 0, false);
}
window.addEventListener("hashchange", followLink);

if (window.matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.dataset.theme = "dark";
$("title").textContent = $("title").title = data.title;
$("slider").max = steps.length;
$("slider").style.setProperty("--turn", `${turn / last * 100}%`);
for (const warning of data.warnings) {
  const box = make("div", { class: "banner", role: "note" }, `⚠ ${warning.text}`);
  if (warning.step !== null) box.append(make("button", { text: "Jump there", onclick: () => go(warning.step) }));
  $("warnings").append(box);
}
for (const remark of data.remarks) $("remarks").append(make("p", { text: remark }));
followLink();
zoom(Math.min(1, (canvas.clientWidth - 24) / natural.width));
