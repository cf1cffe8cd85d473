// The view: draws one frame of an episode, and carries out what the reader asks for.
"use strict";
(function (mna) {
  const { Stage, STAGES, show } = mna;
  const folder = new URL(".", document.currentScript.src).href;
  const $ = id => document.getElementById(`pg-${id}`), section = document.getElementById("pg");
  const part = name => section.querySelector(`.pg-${name}`);
  const SIGNS = { "-": "−", "*": "×", "/": "÷" };
  const pretty = value => show(value).replace("-", "−");
  const percent = p => (p > 0 && p < 0.001 ? "<0.1 %" : p > 0.999 && p < 1 ? ">99.9 %" : `${(100 * p).toFixed(1)} %`);
  const count = n => n.toLocaleString("en");

  // What is shown: the episode follows from problem, agent, events and seed; t is the frame.
  const now = { problem: null, age: 0, events: [], seed: 0, t: 0, frames: [] };
  const agents = [], waiting = {};
  let timer = null;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }
  function svg(tag, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /** The names of the candidates. */
  function names(problem, slots) {
    return [...mna.TOOLS.map(tool => tool.name), "STORE", "ANSWER", "result",
      ...Array.from({ length: slots }, (_, k) => `slot ${k}`), ...problem.numbers.map(pretty)];
  }

  // ---- agents

  /** Called by the scripts of weights. */
  mna.arrived = (decisions, text) => {
    const age = mna.data.agents.findIndex(agent => agent.decisions === decisions);
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
    agents[age] = new mna.Agent(mna.tensors(bytes), mna.data.agents[age].network);
    waiting[age].resolve(agents[age]);
  };

  function load(age) {
    if (waiting[age]) return waiting[age].promise;
    const wait = waiting[age] = {};
    wait.promise = new Promise((resolve, reject) => Object.assign(wait, { resolve, reject }));
    const script = element("script", { src: `${folder}agent-${mna.data.agents[age].decisions}.js` });
    script.addEventListener("error", () => {
      delete waiting[age];
      wait.reject(new mna.MNAError(`${script.src} can't be loaded; this page needs the files beside it: build the book again`));
    });
    document.head.append(script);
    return wait.promise;
  }

  // ---- the episode

  function replay(t) {
    now.frames = mna.play(agents[now.age], now.problem, now.events, now.seed);
    $("time").max = now.frames.length - 1;
    go(t);
  }

  function go(t) {
    now.t = Math.max(0, Math.min(t, now.frames.length - 1));
    if (now.t === now.frames.length - 1) pause();
    draw(now.frames[now.t]);
  }

  function pause() {
    clearInterval(timer);
    timer = null;
    $("play").textContent = "▶ Play";
  }

  function toggle() {
    if (timer) return pause();
    if (now.t === now.frames.length - 1) go(0);
    timer = setInterval(() => go(now.t + 1), Number($("speed").value));
    $("play").textContent = "❚❚ Pause";
  }

  function disturb(what) {
    pause();
    now.events = [...now.events.filter(event => event.at <= now.t), { at: now.t, what }];
    if (what === "flaky") now.seed = Math.floor(Math.random() * 2 ** 31);
    replay(now.t);
  }

  function say(text) { $("error").textContent = text; }

  /** Solve a text; what cannot be read leaves the problem before. */
  function solve(text, events = [], seed = 0, t = 0) {
    pause();
    try {
      now.problem = mna.parse(text);
    } catch (error) {
      if (!(error instanceof mna.MNAError)) throw error;
      $("text").setAttribute("aria-invalid", "true");
      return say(error.message);
    }
    $("text").removeAttribute("aria-invalid");
    say("");
    Object.assign(now, { events, seed });
    replay(t);
  }

  async function grow(age) {
    const wanted = now.age = age, t = now.t;
    $("age").value = age;
    drawAge();
    try {
      await load(age);
    } catch (error) {
      return say(error.message);
    }
    if (wanted === now.age && now.problem) replay(t);
  }

  // ---- share by link

  function link() {
    const events = now.events.map(({ at, what }) => `${at}${what[0]}`).join(".");
    const values = { p: now.problem.text, a: mna.data.agents[now.age].decisions, t: now.t };
    if (events) Object.assign(values, { e: events, s: now.seed });
    return `#${new URLSearchParams(values)}`;
  }

  async function share() {
    history.replaceState(null, "", link());
    try {
      await navigator.clipboard.writeText(location.href);
      $("share").textContent = "Link copied";
    } catch {
      $("share").textContent = "Link is in the address bar";
    }
    setTimeout(() => { $("share").textContent = "Copy link"; }, 3000);
  }

  async function restore() {
    const values = new URLSearchParams(location.hash.slice(1));
    const found = mna.data.agents.findIndex(({ decisions }) => `${decisions}` === values.get("a"));
    const what = { w: "wipe", f: "flaky", s: "steady" };
    const events = (values.get("e") ?? "").split(".").filter(e => /^[0-9]+[wfs]$/.test(e))
      .map(e => ({ at: parseInt(e, 10), what: what[e.at(-1)] }));
    await grow(found < 0 ? mna.data.agents.length - 1 : found);
    if (!agents[now.age]) return;
    const text = values.get("p") ?? $("text").value;
    $("text").value = text;
    solve(text, events, Number(values.get("s")) | 0, Number(values.get("t")) | 0);
    if (values.get("p") && !now.problem) solve("(4*2+7)-(6*3)");
    if (values.get("a") && found < 0) {
      say(`${values.get("a")} decisions: this copy of the book keeps no such agent; the trained one is shown, choose another by the slider`);
    }
    section.dataset.ready = Math.round(performance.now());
  }

  // ---- drawing

  function call({ tool, x, y, result }) {
    const operands = tool.arity === 2 ? [x, y] : [x];
    return `${tool.name}(${operands.map(pretty).join(", ")}) ${result ? `= ${pretty(result)}` : "failed"}`;
  }

  /** What happened, in one or two sentences. */
  function told(frame) {
    if (frame.stage === Stage.DRAFT) return `DRAFT: the agent has read ${now.problem.text}. Nothing is decided yet.`;
    const name = names(now.problem, frame.slots.length)[frame.choice], p = percent(frame.p[frame.choice]);
    const did = { [Stage.CHOOSE]: "picks", [Stage.LEFT]: "points at", [Stage.RIGHT]: "points at", [Stage.STORE]: "opens the gate of" };
    const words = [`${STAGES[frame.stage]}: ${did[frame.stage]} ${name} (${p}).`];
    if (frame.move.verb === "CALL") words.push(`${call(frame.calls.at(-1))}.`);
    if (frame.stage === Stage.STORE && !frame.wiped) words.push(`The slot now holds ${pretty(frame.state.memory[frame.choice - mna.FIRST_SLOT].value)}.`);
    if (frame.answer) {
      const right = `wrong: it is ${pretty(now.problem.answer)}`;
      words.push(`The answer ${pretty(frame.answer)} is ${frame.correct ? "right" : mna.equal(frame.answer, now.problem.answer) ? "no answer yet, values were left over" : right}.`);
    } else if (frame.lost) words.push("That call would lose a result that is neither used nor stored: the episode ends.");
    else if (frame.done) words.push("No decision is left: no answer.");
    return words.join(" ");
  }

  function draw(frame) {
    const last = now.t === now.frames.length - 1, { wiped, flaky } = frame;
    section.dataset.stage = STAGES[frame.stage];
    part("stages").replaceChildren(...STAGES.map(name => element("span", {
      className: `pg-${name.toLowerCase()}${name === STAGES[frame.answer ? Stage.ANSWER : frame.stage] ? " pg-on" : ""}`, textContent: name })));
    $("said").textContent = `${now.t} of ${now.frames.length - 1}. ${told(frame)}${wiped ? " The memory has been wiped." : ""}`;
    $("said").className = !frame.done ? "" : frame.correct ? "pg-good" : "pg-bad";
    $("time").value = now.t;
    $("time").setAttribute("aria-valuetext", `${now.t} of ${now.frames.length - 1}, ${STAGES[frame.stage]}`);
    $("first").disabled = $("back").disabled = now.t === 0;
    $("step").disabled = $("wipe").disabled = $("flaky").disabled = last;
    $("flaky").setAttribute("aria-pressed", flaky);
    $("undo").disabled = !now.events.length;
    drawCandidates(frame);
    drawMemory(frame);
    drawTree(frame);
    const calls = frame.calls.map(made => element("li", { textContent: call(made), className: made.result ? "" : "pg-failed" }));
    part("calls").replaceChildren(...calls);
    part("calls").scrollTop = 1e6;
    $("value").textContent = frame.expected === undefined ? "The critic has not been asked yet." : `The critic expects ${frame.expected.toFixed(2)} reward from here on.`;
  }

  function drawCandidates(frame) {
    const rows = names(now.problem, frame.slots.length).map((name, i) => {
      const fine = frame.legal?.[i], p = fine ? frame.p[i] : 0;
      const bar = element("i");
      bar.style.width = `${100 * p}%`;
      return element("li", { className: `${fine ? "" : "pg-out"} ${i === frame.choice ? "pg-chosen" : ""}` },
        element("b", { textContent: name }), element("span", { className: "pg-bar", ariaHidden: "true" }, bar),
        element("span", { className: "pg-p", textContent: fine ? percent(p) : frame.legal ? "not legal" : "–" }));
    });
    part("candidates").replaceChildren(...rows);
  }

  function drawMemory(frame) {
    const { memory, available } = frame.state;
    part("slots").replaceChildren(...memory.map((slot, k) => {
      const kept = slot.filled && available[1 + k], open = frame.stage === Stage.STORE && frame.choice === mna.FIRST_SLOT + k;
      const note = open ? "gate open" : kept ? "kept" : available[1 + k] ? "wiped" : slot.filled ? "used" : "empty";
      return element("li", { className: `${kept ? "pg-kept" : ""} ${open ? "pg-open" : ""}` }, element("small", { textContent: `slot ${k}` }),
        element("b", { textContent: kept ? pretty(slot.value) : "–" }), element("small", { textContent: note }),
        element("i", { style: `width: ${100 * (frame.slotAttention?.[k] ?? 0)}%` })); // how much it is looked at
    }));
    $("result").textContent = `Last result: ${available[0] ? pretty(frame.state.result) : "none waits"}.`;
  }

  /** Tokens in a row with pointer weights above and attention below; under them the calls that worked. */
  function drawTree(frame) {
    const { kinds, numbers } = now.problem, { available, memory } = frame.state, first = 1 + memory.length;
    const box = part("tree").querySelector("svg"), leaves = [], drawn = [svg("title", { id: "pg-tree-name" })];
    let x = 4, n = 0;
    for (const kind of kinds) {
      const isNumber = mna.KINDS[kind] === "number", i = n;
      const text = isNumber ? pretty(numbers[n++]) : SIGNS[mna.KINDS[kind]] ?? mna.KINDS[kind];
      const width = isNumber ? 26 + 10 * text.length : 20, middle = x + width / 2;
      if (isNumber) {
        const at = mna.FIRST_SLOT + memory.length + i, p = frame.legal?.[at] ? frame.p[at] : 0;
        const style = `pg-leaf${available[first + i] ? "" : " pg-used"}${frame.choice === at ? " pg-chosen" : ""}`;
        drawn.push(svg("rect", { class: "pg-weight", x: x + 3, width: width - 6, y: 56 - 36 * p, height: 36 * p, rx: 2 }));
        if (p >= 0.005) drawn.push(svg("text", { class: "pg-small", x: middle, y: 51 - 36 * p }, `${Math.round(100 * p)}%`));
        drawn.push(svg("rect", { class: style, x: x + 1, y: 58, width: width - 2, height: 34, rx: 6 }));
        const look = frame.attention?.[i] ?? 0;
        drawn.push(svg("rect", { class: "pg-look", x: middle - (width / 2 - 3) * look, width: (width - 6) * look, y: 95, height: 4, rx: 2 }));
        leaves.push({ x: middle, y: 101, depth: 0, used: !available[first + i] });
      }
      drawn.push(svg("text", { class: isNumber ? "pg-number" : "pg-sign", x: middle, y: 81 }, text));
      x += width;
    }
    const places = [...leaves];
    for (const node of frame.nodes) places.push(drawNode(node, places, frame, leaves.length, drawn));
    const width = Math.max(x + 4, ...places.map(place => (place.right ?? 0) + 4)), height = 108 + 52 * Math.max(1, numbers.length - 1);
    for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) box.setAttribute(name, value);
    drawn[0].textContent = `${now.problem.text}. Calls that worked: ${frame.nodes.map((node, j) => `${node.tool.name} = ${pretty(node.value)}`).join("; ") || "none yet"}.`;
    box.replaceChildren(...drawn);
  }

  function drawNode(node, places, frame, n, drawn) {
    const from = node.parts.map(i => places[i]), text = pretty(node.value);
    const width = Math.max(48, 18 + 10 * text.length);
    const x = Math.max(width / 2 + 2, from.reduce((sum, place) => sum + place.x, 0) / from.length);
    let depth = 1 + Math.max(...from.map(place => place.depth));
    while (places.some(place => place.depth === depth && Math.abs(place.x - x) < (width + place.width) / 2 + 4)) depth += 1;
    const y = 116 + 52 * (depth - 1), me = places.length, slot = frame.slots.indexOf(me);
    const waits = slot >= 0 && frame.state.available[1 + slot], style = waits ? " pg-waits" : frame.resultNode === me ? " pg-fresh" : "";
    for (const place of from) drawn.push(svg("path", { class: "pg-edge", d: `M${place.x} ${place.y}C${place.x} ${y - 12} ${x} ${place.y + 12} ${x} ${y}` }));
    drawn.push(svg("rect", { class: `pg-node${style}`, x: x - width / 2, y, width, height: 38, rx: 8 }));
    drawn.push(svg("text", { class: "pg-tool", x, y: y + 14 }, waits ? `slot ${slot}` : node.tool.name));
    drawn.push(svg("text", { class: "pg-number", x, y: y + 32 }, text));
    return { x, y: y + 38, depth, width, right: x + width / 2 };
  }

  function drawAge() {
    const { decisions, accuracy, practised } = mna.data.agents[now.age], { agents: listed, ladder, judged } = mna.data;
    $("decisions").textContent = `${count(decisions)} decisions`;
    $("age").setAttribute("aria-valuetext", $("decisions").textContent);
    const all = practised.length === ladder.length;
    $("agents").textContent = `Bars: ${judged} held-out problems of each level. ` + (listed.length < 2
      ? "This copy of the book was built without a training run: there is one agent only, and no slider."
      : `This agent has practised ${all ? "all levels" : `${practised[0]} to ${practised.at(-1)}`}.`);
    part("levels").replaceChildren(...ladder.map((name, i) => {
      const bar = element("i");
      bar.style.width = `${100 * accuracy[i]}%`;
      return element("li", {}, element("span", { textContent: name }), element("span", { className: "pg-bar", ariaHidden: "true" }, bar),
        element("span", { className: "pg-p", textContent: `${Number((100 * accuracy[i]).toFixed(1))} %` }));
    }));
  }

  // ---- start

  function listen() {
    const clicks = {
      first: () => { pause(); go(0); }, back: () => { pause(); go(now.t - 1); }, step: () => { pause(); go(now.t + 1); },
      play: toggle, wipe: () => disturb("wipe"), flaky: () => disturb(now.frames[now.t].flaky ? "steady" : "flaky"), share,
      undo: () => { pause(); now.events = []; replay(now.t); },
      draw: () => {
        const problems = mna.data.problems[$("level").value];
        $("text").value = problems[Math.floor(Math.random() * problems.length)];
        solve($("text").value);
      },
    };
    for (const [name, act] of Object.entries(clicks)) $(name).addEventListener("click", act);
    part("problem").addEventListener("submit", event => { event.preventDefault(); solve($("text").value); });
    $("time").addEventListener("input", () => { pause(); go(Number($("time").value)); });
    $("age").addEventListener("input", () => { pause(); grow(Number($("age").value)); });
    $("speed").addEventListener("change", () => { if (timer) { toggle(); toggle(); } });
    addEventListener("hashchange", restore);
    section.addEventListener("keydown", event => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move || event.target.closest("input, select, .pg-tree, .pg-calls")) return;
      pause();
      go(now.t + move);
    });
  }

  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);
  if (!same(mna.data.tools, mna.TOOLS.map(tool => tool.name)) || !same(mna.data.kinds, mna.KINDS)) {
    say(`The package has the tools ${mna.data.tools.join(", ")}, this page knows others: bring book/playground/problems.js up to date`);
    return;
  }
  const { agents: listed, ladder } = mna.data;
  $("level").replaceChildren(...ladder.map(name => element("option", { textContent: name })));
  $("level").value = ladder.includes("two_products") ? "two_products" : ladder[0];
  $("age").max = listed.length - 1;
  $("age").hidden = listed.length < 2;
  listen();
  restore();
})(globalThis.mna);
