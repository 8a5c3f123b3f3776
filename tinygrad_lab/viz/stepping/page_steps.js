// What the right side shows: the questions and blocks of a step, and the details of a card. The state is in page.js.

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

/** Signs and arrays. Where a large one is among them, all show the same slice, and what that leaves out of sums is said. */
function equation(parts, hidden, places) {
  const large = parts.some((each) => isLarge(each.array));
  return make("div", { class: "equation" }, ...parts.flatMap((each) => typeof each === "string" ? [sign(each)]
    : [figure(each.array, each.label, hidden && each.result, places, large),
      ...(large && each.more ? [sign(`+ … ${each.more} more`)] : [])]));
}

function isLarge(index) {
  return data.arrays[index] !== undefined && data.arrays[index].values === undefined;
}

/** Decimals that suit all of some arrays, so that a sum of them can be followed. */
function shared(indices) {
  const arrays = indices.map((index) => data.arrays[index]).filter((array) => array?.values !== undefined);
  return arrays.length ? Math.min(4, Math.max(...arrays.map((array) => decimals(values(array.values))))) : undefined;
}

/** input, input → output, with the op between or before them. */
function forwardParts(step) {
  const result = { array: step.value, label: name(step.node), result: true };
  if (step.parts.length > 1) return [...step.parts, "=", result];
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
    equation(["Σ", { array: block.raw, label: "one gradient for each copy", more: block.more }, "=",
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

function verdict(check) {
  if (check.agrees) return "✓ agree";
  return check.slope === "NaN" ? "the loss is not finite, so it has no slope" : "✗ differ: a kink, or too few digits";
}

function checkTable(block) {
  if (!block.checks) return make("p", { class: "shapes", text: "Not checked: too much to compute, or an op that cannot be run again." });
  const rows = block.checks.map((check) => make("tr", {}, make("td", { text: name(block.node) + check.at }),
    make("td", { text: check.rule }), make("td", { text: check.slope }),
    make("td", { class: check.agrees ? "yes" : "no", text: verdict(check) })));
  return make("table", { class: "check" }, make("thead", {}, make("tr", {}, ...["element", "this rule", "finite difference", ""]
    .map((text) => make("th", { text })))), make("tbody", {}, ...rows));
}

function backwardBlock(step, block, b, i) {
  const hidden = open(i, b), label = `∂L/∂${name(block.node)}`;
  const raw = block.raw === undefined ? block.value : block.raw;
  const incoming = { array: step.cotangent, label: `∂L/∂${name(step.node)}` };
  const parts = block.parts?.length ? [...block.parts, "="] : [incoming, "→"];
  const result = block.before === undefined && block.raw === undefined ? label : "contribution";
  const box = make("div", { class: "block" }, ...asked(i, b), ruleLine(block.math));
  const onlyCopied = block.raw !== undefined && parts.length === 2 && parts[0].array === raw; // the sum says it all
  if (!onlyCopied) {
    box.append(equation([...parts, { array: raw, label: result, result: true }], hidden));
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
  return used.some((index) => isLarge(index) && data.arrays[index].slices.length > 1);
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
  const blocks = step.blocks ?? [], first = blocks.findIndex((_, b) => open(i, b)); // what follows would give it away
  blocks.slice(0, first < 0 ? blocks.length : first + 1).forEach((block, b) => body.push(backwardBlock(step, block, b, i)));
  const more = first < 0 ? 0 : blocks.length - first - 1;
  if (more) body.push(make("p", { class: "why", text: `${more} more input${more > 1 ? "s" : ""} after that.` }));
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
  if (!state.node && before && cards.has(before)) cards.get(before)[0].focus({ preventScroll: true });
}

