// The page: which step is shown, what of it may be seen yet, and what keys and clicks do.

const steps = data.steps, last = steps.length - 1, canvas = $("canvas");
const turn = steps.findIndex((step) => step.phase !== "forward"); // where the backward pass starts
const cards = new Map(), edges = new Map(); // cards: all of a node, since a parameter has one beside each of its users
for (const element of canvas.querySelectorAll("[data-id]")) {
  const id = element.dataset.id;
  if (!Object.hasOwn(data.nodes, id)) edges.set(id, element);
  else if (cards.has(id)) cards.get(id).push(element);
  else cards.set(id, [element]);
}
const answers = new Map(); // "step.question" -> number of the option that was chosen, or -1 for "show me"
const state = { step: 0, node: null, predict: false, checking: false, timer: null, linking: null, zoom: 1 };

// When each value and each gradient is first known: the step that computes it.
const valueAt = new Map(), gradientAt = new Map();
steps.forEach((step, i) => {
  if (step.phase === "forward") valueAt.set(step.node, i);
  if (step.phase === "seed") gradientAt.set(step.node, i);
  if (!gradientAt.has(step.node) && step.phase === "backward") gradientAt.set(step.node, i); // of steps left out
  for (const block of step.blocks ?? []) gradientAt.set(block.node, i);
});
for (const [id, node] of Object.entries(data.nodes)) {
  if (node.gradient !== null && !gradientAt.has(id)) gradientAt.set(id, last);
}

// The graph

function* everyCard() {
  for (const [id, all] of cards) for (const card of all) yield [id, card];
}

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
  for (const [id, card] of everyCard()) {
    const fold = data.nodes[id].after; // how many steps come before the ones that are left out
    card.classList.toggle("future", fold === undefined ? !reached.has(id) : state.step < fold);
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
    const card = cards.get(edge.dataset.to)?.[0];
    edge.classList.toggle("future", !!card && card.classList.contains("future"));
  }
  reveal(cards.get(step.node)?.[0]);
}

function reveal(card, behavior = "auto") {
  if (!card) return;
  const box = card.getBoundingClientRect(), frame = canvas.getBoundingClientRect(), margin = 60;
  const outside = box.top < frame.top + margin || box.bottom > frame.bottom - margin ||
    box.left < frame.left + 10 || box.right > frame.right - 10;
  if (!outside) return;
  canvas.scrollTo({ behavior, left: canvas.scrollLeft + box.left + box.width / 2 - frame.left - frame.width / 2,
    top: canvas.scrollTop + box.top + box.height / 2 - frame.top - frame.height / 2 });
}

const drawing = canvas.querySelector("svg"), natural = drawing.viewBox.baseVal;
function zoom(factor) {
  const room = canvas.clientWidth - 24, fit = Math.min(room / natural.width, (canvas.clientHeight - 52) / natural.height);
  state.zoom = factor === null ? Math.min(1.25, fit) : Math.min(4, Math.max(0.05, state.zoom * factor));
  drawing.setAttribute("width", natural.width * state.zoom);
  drawing.setAttribute("height", natural.height * state.zoom);
  reveal(cards.get(steps[state.step].node)?.[0], "instant");
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
  clearTimeout(state.linking); // browsers refuse hundreds of changes in a row
  state.linking = setTimeout(updateLink, 150);
}

function updateLink() {
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

for (const [id, card] of everyCard()) {
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
zoom(Math.min(1, (canvas.clientWidth - 24) / natural.width)); // before the link, which scrolls to a card
followLink();
