// What a board shows of one moment: the worksheet, on which tokens collapse into results, the calculator's keys, the
// memory, what is legal with its probability, the tree of calls, and all of it in words. Nothing here decides anything;
// playground.js says what to draw.
"use strict";
(function (mna) {
  const { NUMBER, X, SYMBOLS, RESULT, STORED, CROSSED, STAGES, CHOOSE, TOOL, RIGHT, STORE, ANSWER, TOOLS, valuesOf } = mna;
  const SIGNS = { "-": "−", "*": "×", "/": "÷" };
  const SEEN = ["< 0", "= 0", "> 0", "with x"]; // of a result, by its kind
  const MOVE = 320; // milliseconds

  /** An element with attributes, properties on*, and children. */
  function h(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter(child => child !== null && child !== undefined && child !== false));
    return made;
  }

  /** An element of a drawing. */
  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /** A button that does something. */
  const button = (text, act, more = {}) => h("button", { type: "button", onclick: act, ...more }, text);

  /** A value as it is read: 7, −3/4, 2x − 1. */
  const pretty = (value, most = 30) => mna.brief(value, most).replaceAll("-", "−").replaceAll("*x", "x");
  const percent = p => (p > 0 && p < 0.001 ? "< 0.1 %" : p > 0.9995 && p < 1 ? "> 99.9 %" : `${Number((100 * p).toFixed(1))} %`);
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const ordinal = n => `${n}${["th", "st", "nd", "rd"][n % 100 > 10 && n % 100 < 14 ? 0 : n % 10] ?? "th"}`;

  /** What each legal choice is called: [{choice, name, p}], the most probable one first. */
  function options(desk, { state, legal, p }) {
    if (!legal) return [];
    const texts = valuesOf(state.tokens).map((_, v) => pretty(desk.operand(state, v), 16));
    const name = choice => {
      if (choice < desk.store) return desk.tools[choice];
      if (choice === desk.store) return "store the result";
      if (choice === desk.answer) return "answer";
      if (choice < desk.first) return `slot ${choice - desk.slot + 1}`;
      const v = choice - desk.first, same = [...texts.keys()].filter(i => texts[i] === texts[v]);
      return texts[v] + (same.length > 1 ? `, the ${ordinal(same.indexOf(v) + 1)}` : "");
    };
    return [...legal.keys()].filter(i => legal[i]).map(choice => ({ choice, name: name(choice), p: p[choice] }))
      .sort((a, b) => b.p - a.p || a.choice - b.choice);
  }

  const callText = ({ tool, operands, result }) =>
    `${tool}(${operands.map(x => pretty(x)).join(", ")}) ${result === null ? "failed" : `= ${pretty(result)}`}`;

  /** Each call so far: {call, p}; p is how probable its decisions were together. */
  function callsOf(frames, t) {
    const found = [];
    let p = 1;
    for (let i = 0; i < t; i++) {
      const { calls, stage } = frames[i].state, after = frames[i + 1].state.calls;
      p *= stage === STORE ? 1 : frames[i].p[frames[i].choice];
      if (after.length > calls.length) found.push({ call: after.at(-1), p });
      if (after.length > calls.length || frames[i + 1].state.stage === CHOOSE) p = 1;
    }
    return found;
  }

  /** What came of the decision before, and what is decided now, in words. */
  function told(episode, t) {
    const { frames, desk, problem } = episode, frame = frames[t], before = frames[t - 1], { state } = frame, words = [];
    if (!before) words.push("The problem stands on the worksheet.");
    else if (state.calls.length > before.state.calls.length) {
      const call = state.calls.at(-1);
      const why = call.operands.includes(mna.WIPED) ? ": 0 from a wiped slot is none of the values left" : ": nothing changes";
      words.push(`${callText(call)}${call.result === null ? why : ", written in its place"}.`);
    }
    if (frame.wiped) words.push("The memory was wiped: every full slot now holds 0, and nobody tells the agent.");
    if (state.lost) words.push("That call would have lost a result neither used nor stored: the episode ends without an answer.");
    else if (state.given) words.push(`Answer ${pretty(state.given)}: ${verdict(frame, problem)}`);
    else if (frame.done) words.push(`No answer after ${episode.bound} decisions, the most that this problem gets.`);
    else words.push(decided(desk, frame));
    return words.join(" ");
  }

  function verdict({ correct, state }, { answer }) {
    if (correct) return "right.";
    return state.given.equals(answer) ? "the right number, but values were left over, so it does not count." : `wrong, it is ${pretty(answer)}.`;
  }

  function decided(desk, frame) {
    const { choice, forced, state } = frame, found = options(desk, frame), { name, p } = found.find(o => o.choice === choice);
    const how = forced ? `you choose (it gave this ${percent(p)})` : percent(p);
    if (state.stage === STORE) {
      return `STORE: the gate of ${name} opens for ${pretty(state.result)}${found.length > 1 ? `; ${found.length} empty slots are alike` : ""}.`;
    }
    const does = { [CHOOSE]: choice >= desk.first ? `points at ${name}` : `wants to ${name}`, [TOOL]: `takes ${name}`,
      [RIGHT]: `points at ${name} as second operand` };
    return `${STAGES[state.stage]}: it ${does[state.stage]}, ${how}.`;
  }

  class Board {
    /** place: where to draw; root: what carries the stage's colour. small: without the list of what it considers, the tree
     *  and the calls. choose(choice), when an alternative is taken; wipe(), when the memory is to be wiped. */
    constructor(place, { root, small, choose, wipe }) {
      Object.assign(this, { root, small, choose, tokens: new Map(), seen: false, desk: null, last: null });
      this.stages = h("ol", { class: "mna-stages", "aria-hidden": "true" }, ...STAGES.map(name => h("li", { "data-name": name }, name)));
      this.sheet = h("div", { class: "mna-sheet", role: "img" });
      this.keys = h("div", { class: "mna-keys", "aria-hidden": "true" });
      this.slots = h("ul", { class: "mna-slots", "aria-label": "Memory slots" });
      this.need = h("p", { class: "mna-note" });
      this.said = h("p", { class: "mna-said", "aria-live": "polite" });
      this.list = h("ul", { class: "mna-options", "aria-label": "Legal choices and their probabilities" });
      this.more = h("p", { class: "mna-note" });
      this.calls = h("ol", { class: "mna-calls", tabindex: "0", "aria-label": "Calls so far" });
      this.tree = h("div", { class: "mna-tree", tabindex: "0", role: "img" });
      this.words = h("ol", {});
      this.value = h("p", { class: "mna-note" });
      this.answer = h("div", { class: "mna-answer" });
      this.wipe = button("Wipe its memory", wipe, { class: "mna-wipe" });
      this.told = h("details", { class: "mna-words", ontoggle: () => this.drawWords() }, h("summary", {}, "Each step in words"), this.words);
      const title = text => h("h3", { class: "mna-title" }, text);
      place.append(
        h("div", { class: "mna-main" }, this.stages, this.sheet, this.keys, this.said),
        h("div", { class: "mna-memory" }, title("Memory"), this.slots, this.need, wipe && this.wipe, small && wipe && this.told));
      if (small) return;
      place.append(
        h("div", { class: "mna-considered" }, title("What it may do, and how likely"), this.list, this.more),
        h("div", { class: "mna-done" },
          h("div", {}, title("The tree of calls"), this.tree),
          h("div", { class: "mna-called" }, title("Calls so far, and how sure it was"), this.calls),
          h("div", {}, title("Answer"), this.answer, this.value), this.told));
    }

    /** Draw moment t of an episode. moving: with the way from what stood there before. */
    draw(episode, t, moving) {
      const frame = episode.frames[t], { state } = frame, before = this.last;
      Object.assign(this, { desk: episode.desk, episode, t });
      const stage = state.given ? ANSWER : state.stage;
      this.root.dataset.stage = STAGES[stage];
      for (const pill of this.stages.children) pill.classList.toggle("is-on", pill.dataset.name === STAGES[stage]);
      const places = this.places();
      this.drawKeys(frame);
      this.drawSlots(frame);
      this.drawSheet(frame);
      this.said.textContent = told(episode, t);
      this.said.dataset.end = frame.done ? (frame.correct ? "right" : "wrong") : "";
      if (moving && before && !calm()) this.move(places, before.state, state);
      if (!this.small) {
        this.drawOptions(frame);
        this.drawCalls(episode, t);
        mna.drawTree(this.tree, episode, t);
      }
      this.drawWords();
      this.last = frame;
    }

    /** Forget what stood there: the next drawing moves nothing. */
    clear() {
      this.last = null;
      this.sheet.style.minHeight = "";
    }

    look(element, p, legal, chosen) {
      element.classList.toggle("is-legal", Boolean(legal));
      element.classList.toggle("is-chosen", Boolean(chosen));
      element.style.setProperty("--p", legal ? p.toFixed(4) : 0);
    }

    tokenText(state, { kind, place }) {
      if (kind === CROSSED) return "·";
      if (place === null) return SIGNS[SYMBOLS[kind]] ?? SYMBOLS[kind];
      if (!this.seen) return pretty(this.desk.value(state, place), 22);
      return kind === NUMBER ? "n" : kind === X ? "x" : kind >= STORED ? `m ${SEEN[kind - STORED]}` : `r ${SEEN[kind - RESULT]}`;
    }

    drawSheet({ state, legal, p, choice }) {
      const { first } = this.desk, kept = new Map(), row = [];
      let v = 0;
      for (const one of state.tokens) {
        const { id, kind, place } = one, valued = place !== null;
        const made = this.tokens.get(id) ?? h("span", { class: "mna-token" }, h("b"), h("i"));
        const text = this.tokenText(state, one), named = first + v, fine = valued && legal?.[named];
        made.className = `mna-token ${!valued ? "is-sign" : kind >= STORED ? "is-stored" : kind >= RESULT ? "is-result" : "is-number"}`;
        if (kind === CROSSED) made.className = "mna-token is-sign";
        if (valued && v === state.left) made.classList.add("is-left");
        if (valued) {
          this.look(made, p?.[named] ?? 0, fine, choice === named);
          made.title = this.seen ? "" : mna.brief(this.desk.value(state, place), 400);
          v += 1;
        }
        made.children[0].textContent = text;
        made.children[1].textContent = fine && p[named] >= 0.005 ? `${Math.round(100 * p[named])}%` : kind >= STORED && kind < CROSSED ? `slot ${place + 1}` : "";
        kept.set(id, made);
        row.push(made);
      }
      this.tokens = kept;
      this.sheet.replaceChildren(...row);
      const written = row.reduce((sum, made) => sum + made.children[0].textContent.length, 0);
      this.sheet.dataset.size = written > 56 ? "small" : written > 22 ? "middle" : "large";
      this.sheet.setAttribute("aria-label", `Worksheet: ${state.tokens.map(one => this.tokenText(state, one)).join(" ")}`);
      if (!this.last) this.sheet.style.minHeight = `${this.sheet.offsetHeight}px`; // it is longest at the start: nothing jumps
    }

    drawKeys({ state, legal, p, choice }) {
      const { tools, store } = this.desk;
      const label = i => (i < store ? TOOLS[tools[i]].sign : i === store ? "⤓" : "✓");
      const name = i => (i < store ? tools[i] : i === store ? "STORE" : "ANSWER");
      if (this.keys.children.length !== store + 2) {
        this.keys.replaceChildren(...Array.from({ length: store + 2 }, (_, i) => h("span", { class: "mna-key" },
          h("b", {}, label(i)), h("small", {}, name(i)), h("i"))));
      }
      [...this.keys.children].forEach((key, i) => {
        this.look(key, p?.[i] ?? 0, legal?.[i], choice === i || state.tool === i);
        key.lastChild.textContent = legal?.[i] && p[i] >= 0.005 ? `${Math.round(100 * p[i])}%` : "";
      });
    }

    drawSlots(frame) {
      const { state, legal, p, choice } = frame, desk = this.desk, places = valuesOf(state.tokens);
      const pointed = places.map(i => state.tokens[i].place), row = [];
      for (let k = 0; k < desk.slots; k++) {
        const value = state.memory[k], open = state.stage === STORE && !frame.done && choice === desk.slot + k;
        const v = value === null ? -1 : pointed.indexOf(k), named = v >= 0 ? desk.first + v : desk.slot + k;
        const note = open ? "open" : value === null ? "empty" : choice === named || v === state.left && v >= 0 ? "recalled"
          : value === mna.WIPED ? "wiped" : "shut";
        const text = open ? pretty(state.result, 14) : value === null ? "–" : pretty(value, 14);
        const slot = h("li", { class: `mna-slot${value === null ? "" : " is-full"}${open ? " is-open" : ""}` },
          h("small", {}, `slot ${k + 1}`), h("b", { class: text.length > 5 ? "is-long" : "", title: value === null ? "" : mna.brief(value, 400) }, text),
          h("small", {}, note));
        this.look(slot, p?.[named] ?? 0, legal?.[named], choice === named || note === "recalled");
        row.push(slot);
      }
      this.slots.replaceChildren(...row);
      this.wipe.setAttribute("aria-disabled", frame.done);
    }

    drawOptions(frame) {
      const found = options(this.desk, frame), shown = found.slice(0, 7), rest = found.slice(7);
      const focused = this.list.contains(document.activeElement);
      this.list.replaceChildren(...shown.map(({ choice, name, p }) => {
        const bar = h("i");
        bar.style.width = `${100 * p}%`;
        return h("li", {}, h("button", { type: "button", class: choice === frame.choice ? "is-chosen" : "",
          "aria-pressed": choice === frame.choice ? "true" : "false", title: "Take this one, and go on from there",
          onclick: () => this.choose(choice) },
        h("b", {}, name), h("span", { class: "mna-bar", "aria-hidden": "true" }, bar), h("span", { class: "mna-p" }, percent(p))));
      }));
      const left = rest.reduce((sum, { p }) => sum + p, 0);
      this.more.textContent = rest.length ? `and ${rest.length} more, ${percent(left)} together` : frame.done ? "The episode is over." : "";
      if (focused) (this.list.querySelector(".is-chosen") ?? this.calls).focus();
    }

    drawCalls(episode, t) {
      const { frames, problem } = episode, frame = frames[t], { state } = frame;
      this.calls.replaceChildren(...callsOf(frames, t).map(({ call, p }) => h("li", { class: call.result === null ? "is-failed" : "" },
        callText(call), h("small", {}, percent(p)))));
      this.calls.scrollTop = 1e6;
      const given = state.given ? pretty(state.given) : frame.done ? "none" : "…";
      this.answer.replaceChildren(
        h("p", { class: frame.done ? (frame.correct ? "is-right" : "is-wrong") : "" }, "the agent's ", h("b", {}, given),
          frame.done ? (frame.correct ? " ✓ right" : " ✗ wrong") : ""),
        h("p", {}, "exact ", h("b", {}, `${problem.unknown ? `${problem.unknown} = ` : ""}${pretty(problem.answer)}`)));
      const least = mna.confidence(frames.slice(0, t + 1));
      this.value.textContent = frame.done ? `Its critic's lowest expectation on the way: ${least.toFixed(2)}.`
        : `Its critic expects to be paid ${frame.value.toFixed(2)} from here on; lowest so far: ${least.toFixed(2)}.`;
    }

    /** All that happened so far, a sentence or two for each decision. */
    drawWords() {
      if (!this.told.open || !this.episode) return;
      const { episode, t } = this;
      this.words.replaceChildren(...Array.from({ length: t + 1 }, (_, i) => h("li", {}, told(episode, i))));
    }

    // ---- movement

    /** Where everything stands, by name. */
    places() {
      const at = element => element.getBoundingClientRect(), found = new Map();
      for (const [id, element] of this.tokens) found.set(id, [at(element), element]);
      [...this.slots.children].forEach((slot, k) => found.set(`slot ${k}`, [at(slot), slot]));
      return found;
    }

    /** Tokens slide to where they stand now; what a call used flies into its result, what is stored into its slot. */
    move(from, before, after) {
      const to = this.places(), timing = { duration: MOVE, easing: "ease-out" };
      const made = after.tokens.find(({ id }) => !from.has(id));
      for (const [id, [now, element]] of to) {
        const [old] = from.get(id) ?? [];
        if (!old || typeof id === "string") continue;
        const [x, y] = [old.x - now.x, old.y - now.y];
        if (Math.abs(x) + Math.abs(y) > 1) element.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], timing);
      }
      if (made) {
        for (const { id, place } of before.tokens) {
          if (!to.has(id)) this.fly(from.get(id), to.get(made.id)[0]);
          if (!to.has(id) && place !== null && place < this.desk.slots) this.fly(from.get(`slot ${place}`), to.get(made.id)[0]);
        }
        to.get(made.id)[1].animate([{ transform: "scale(0.4)", opacity: 0 }, { transform: "scale(1.15)", opacity: 1, offset: 0.7 }, { transform: "none" }],
          { duration: 1.4 * MOVE });
      }
      after.memory.forEach((value, k) => {
        const stored = value !== null && before.memory[k] === null && after.tokens.find(({ place }) => place === k);
        if (stored) this.fly([to.get(stored.id)[0], to.get(stored.id)[1]], to.get(`slot ${k}`)[0]);
      });
    }

    /** A copy of an element goes from where it stood to a place, and fades. */
    fly([old, element], now) {
      const around = this.root.getBoundingClientRect(), copy = element.cloneNode(true);
      copy.classList.add("mna-flying");
      copy.setAttribute("aria-hidden", "true");
      copy.style.setProperty("--size", getComputedStyle(element).getPropertyValue("--size")); // that of the worksheet
      Object.assign(copy.style, { left: `${old.x - around.x}px`, top: `${old.y - around.y}px`, width: `${old.width}px`, height: `${old.height}px` });
      this.root.append(copy);
      const [x, y] = [now.x + now.width / 2 - old.x - old.width / 2, now.y + now.height / 2 - old.y - old.height / 2];
      copy.animate([{ transform: "none", opacity: 1 }, { transform: `translate(${x}px, ${y}px) scale(0.5)`, opacity: 0 }],
        { duration: MOVE, easing: "ease-in" }).finished.finally(() => copy.remove());
    }
  }

  Object.assign(mna, { Board, h, svg, button, pretty, percent, told, callText, calm });
})(globalThis.mna);
