// The tree of calls: the problem's numbers below, each result above what it was made of. It grows while the agent works.
"use strict";
(function (mna) {
  const { svg, pretty, callText, TOOLS, STORED, WIPED, valuesOf } = mna;
  const ACROSS = 50, UP = 46, BOX = { width: 42, height: 24 };

  /** How many levels of operations a problem's own tree has. */
  const depth = tree => (typeof tree === "number" ? 0 : 1 + Math.max(...tree.slice(1).map(depth)));

  /** Every number and every result so far: {id: {x, level, text, call}}, x in columns. */
  function nodes({ frames, problem }, calls) {
    const { state } = frames[0], leaves = valuesOf(state.tokens), found = {};
    leaves.forEach((i, x) => { found[state.tokens[i].id] = { x, level: 0, value: problem.values[x] }; });
    for (const call of calls.filter(({ result }) => result !== null)) {
      const below = call.from.map(id => found[id]);
      const x = below.reduce((sum, node) => sum + node.x, 0) / below.length;
      found[call.id] = { x, level: 1 + Math.max(...below.map(node => node.level)), value: call.result, call };
    }
    return found;
  }

  /** What a value's box says of it: used up, waiting on the worksheet, stored, wiped. */
  function looks({ tokens, memory }, id, slots) {
    const here = tokens.find(token => token.id === Number(id));
    if (!here) return "is-used";
    if (here.place < slots && memory[here.place] === WIPED) return "is-wiped";
    return here.kind >= STORED ? "is-kept" : "is-live";
  }

  function box(node, y, look) {
    const x = (node.x + 0.5) * ACROSS, { width, height } = BOX, text = look === "is-wiped" ? "0" : pretty(node.value, 9);
    const sign = node.call ? [svg("text", { x, y: y + 26, class: "is-tool" }, TOOLS[node.call.tool].sign)] : [];
    return svg("g", { class: look }, svg("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: 6 }),
      svg("text", { x, y: y + 5, class: text.length > 5 ? "is-long" : "" }, text), ...sign);
  }

  /** Draw into an element what was called until moment t. */
  mna.drawTree = (place, episode, t) => {
    const { state } = episode.frames[t], found = nodes(episode, state.calls), all = Object.entries(found);
    const levels = Math.max(depth(episode.problem.tree), ...all.map(([, node]) => node.level));
    const at = ({ level }) => (levels - level) * UP + UP / 2, width = (1 + Math.max(...all.map(([, node]) => node.x))) * ACROSS;
    const lines = all.flatMap(([, node]) => (node.call?.from ?? []).map(id => svg("line", {
      x1: (node.x + 0.5) * ACROSS, y1: at(node), x2: (found[id].x + 0.5) * ACROSS, y2: at(found[id]) })));
    const boxes = all.map(([id, node]) => box(node, at(node), looks(state, id, episode.desk.slots)));
    const height = (levels + 1) * UP;
    place.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, ...lines, ...boxes));
    place.setAttribute("aria-label", `Tree of calls: ${state.calls.map(call => callText(call)).join("; ") || "none yet"}`);
    const last = found[state.calls.at(-1)?.id];
    place.scrollTop = last ? at(last) - place.clientHeight / 2 : height;
  };
})(globalThis.mna);
