// The agent in plain JavaScript, one problem at a time, without gradients: mna/environments.py, mna/network.py and
// mna/memory.py with the same names. `Near`, `Sweep`, `Encoder`, `StageHead` and `Pointer` hold all of the network's
// arithmetic; `Desk` holds what is written by hand. tests/test_playground.py compares every logit with PyTorch's.
"use strict";
(function (mna) {
  const { NUMBER, X, NEGATIVE, OPEN, CLOSE, BAR, BAR_END, Value, Undefined } = mna;
  const RESULT = 13, STORED = 17, CROSSED = 21, ZERO = 1, ABOVE = 2, HOLDS_X = 3;
  const STAGES = ["CHOOSE", "TOOL", "RIGHT", "STORE", "ANSWER"];
  const [CHOOSE, TOOL, RIGHT, STORE, ANSWER] = STAGES.keys();
  const TOOLS = {
    ADD: { arity: 2, sign: "+", apply: (x, y) => x.add(y) },
    SUB: { arity: 2, sign: "−", apply: (x, y) => x.sub(y) },
    MUL: { arity: 2, sign: "×", apply: (x, y) => x.mul(y) },
    DIV: { arity: 2, sign: "÷", apply: (x, y) => x.div(y) },
    NEG: { arity: 1, sign: "±", apply: x => x.neg() },
    ROOT: { arity: 1, sign: "=0", apply: x => x.root() },
  };

  const WIPED = new Value(0n, 0n); // what a wiped slot holds

  /** What is seen of a value. */
  const kindOf = value => (value.hasUnknown ? HOLDS_X : value.sign + 1);

  // ---- worksheet. A token is {id, kind, place}; it is never changed, only followed by another.

  let ids = 0;
  const token = (kind, place = null) => ({ id: ids++, kind, place });
  const NEVER_BELOW = [NUMBER, RESULT + ZERO, RESULT + ABOVE, STORED + ZERO, STORED + ABOVE];
  const isPair = (before, after) => (before?.kind === OPEN && after?.kind === CLOSE)
    || (before?.kind === BAR && after?.kind === BAR_END);
  const valuesOf = tokens => [...tokens.keys()].filter(i => tokens[i].place !== null);

  /** Takes away what holds one value alone: parentheses, and bars that change nothing. */
  function tidy(tokens) {
    for (let i of valuesOf(tokens).reverse()) {
      while (isPair(tokens[i - 1], tokens[i + 1])) {
        if (tokens[i - 1].kind === BAR && !NEVER_BELOW.includes(tokens[i].kind)) break;
        tokens.splice(i - 1, 3, tokens[i]);
        i -= 1;
      }
    }
    return tokens;
  }

  /** The first and last place of a value with all brackets and bars around it. */
  function reach(tokens, i) {
    let start = i, end = i;
    while (isPair(tokens[start - 1], tokens[end + 1])) [start, end] = [start - 1, end + 1];
    return [start, end];
  }

  /** What goes with the only operand: NEG takes the sign before it along. */
  const own = (tokens, tool, i) => (tool === "NEG" && tokens[i - 1]?.kind === NEGATIVE ? [i - 1, i] : [i, i]);

  /** The worksheet with a result where its operands stood: at place i, and at j if there are two. */
  function write(before, tool, i, j, result) {
    const tokens = [...before];
    if (j === null) {
      const [start, end] = own(tokens, tool, i);
      tokens.splice(start, end - start + 1, result);
      return tidy(tokens);
    }
    const [[start, left], [right, end]] = [reach(tokens, i), reach(tokens, j)].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    if (right === left + 2) tokens.splice(start, end - start + 1, result); // neighbours: one operator between them
    else [tokens[i], tokens[j]] = [result, token(CROSSED)];
    return tidy(tokens);
  }

  // ---- desk

  /** What is written by hand: worksheet, table of stages, action mask; and the calculator behind it. Nothing learns.
   *
   *  What can be named, in this order: T tools, STORE, ANSWER, K slots, then the worksheet's values from left to right.
   *  A state is never changed: `act` and `wipe` return the one that follows. */
  class Desk {
    constructor({ tools, slots, memory }) {
      const T = tools.length;
      Object.assign(this, { tools, slots, gated: memory === "GatedMemory", arity: tools.map(name => TOOLS[name].arity) });
      Object.assign(this, { store: T, answer: T + 1, slot: T + 2, first: T + 2 + slots, size: T + 8 + slots });
    }

    start({ kinds, values }) {
      let place = this.slots + 1;
      const tokens = kinds.map(kind => token(kind, kind === NUMBER || kind === X ? place++ : null));
      return {
        tokens: tidy(tokens), memory: Array(this.slots).fill(null), numbers: values, result: null, stage: CHOOSE,
        left: -1, tool: -1, failed: false, live: values, calls: [], given: null, lost: false };
    }

    free({ memory }) { return this.gated ? [...memory.keys()].filter(k => memory[k] === null) : []; }

    /** The value that a place holds; a slot's comes from the buffer. */
    value({ memory, result, numbers }, place) {
      const K = this.slots;
      return place < K ? memory[place] : place === K ? result : numbers[place - K - 1];
    }

    /** The v-th value of the worksheet. */
    operand(state, v) { return this.value(state, state.tokens[valuesOf(state.tokens)[v]].place); }

    /** The action mask. It follows from the agent's own record. */
    legal(state) {
      const V = valuesOf(state.tokens).length, { stage } = state, free = this.free(state);
      const mask = Array(this.first + V).fill(false), least = Math.min(...this.arity);
      if (stage === CHOOSE) {
        mask[this.store] = state.result !== null && free.length > 0;
        mask[this.answer] = V === 1;
      }
      if (stage === TOOL) this.arity.forEach((arity, i) => { mask[i] = arity <= V; });
      if (stage === STORE) for (const k of free) mask[this.slot + k] = true;
      if (stage === RIGHT || (stage === CHOOSE && least <= V)) {
        for (let v = 0; v < V; v++) mask[this.first + v] = v !== state.left;
      }
      return mask;
    }

    /** What the network sees of a state beside the worksheet: ones among zeros. */
    situation(state) {
      const T = this.store, seen = new Float64Array(this.size);
      seen[state.tool >= 0 ? state.tool : T] = 1;
      seen[T + 1 + (state.result === null ? 0 : 1 + kindOf(state.result))] = 1;
      seen[T + 6 + this.free(state).length] = 1;
      seen[this.size - 1] = Number(state.failed);
      return seen;
    }

    /** Carry out what was named, then on to the next stage. */
    act(state, choice) {
      const { stage } = state, v = choice - this.first;
      if (stage === STORE) return this.keep(state, choice - this.slot);
      if (stage === RIGHT) return this.call(state, v);
      if (stage === TOOL) {
        const chosen = { ...state, tool: choice };
        return this.arity[choice] === 1 ? this.call(chosen, null) : { ...chosen, stage: RIGHT };
      }
      if (choice === this.store) return { ...state, stage: STORE };
      if (choice === this.answer) return { ...state, stage: ANSWER, given: this.operand(state, 0) };
      return { ...state, stage: TOOL, left: v };
    }

    /** Store the last result: the gate opens at one slot. */
    keep(state, slot) {
      const moved = t => (t.place === this.slots ? { id: t.id, kind: t.kind + STORED - RESULT, place: slot } : t);
      return { ...state, stage: CHOOSE, tokens: state.tokens.map(moved), result: null, failed: false,
        memory: state.memory.map((kept, k) => (k === slot ? state.result : kept)) };
    }

    /** Send a tool call out, and write what comes back on the worksheet. */
    call(state, right) {
      const K = this.slots, places = valuesOf(state.tokens), vs = right === null ? [state.left] : [state.left, right];
      const sources = vs.map(v => state.tokens[places[v]].place), operands = vs.map(v => this.operand(state, v));
      const after = { ...state, stage: CHOOSE, left: -1, tool: -1 };
      if (state.result !== null && !sources.includes(K)) return { ...after, lost: true };
      const name = this.tools[state.tool], [result, live] = calculate(name, operands, state.live);
      const made = result && token(RESULT + kindOf(result), K), from = vs.map(v => state.tokens[places[v]].id);
      after.calls = [...state.calls, { tool: name, operands, result, from, id: made?.id }];
      after.failed = result === null;
      if (after.failed) return after;
      return { ...after, live, result, memory: state.memory.map((kept, k) => (sources.includes(k) ? null : kept)),
        tokens: write(state.tokens, name, places[vs[0]], right === null ? null : places[right], made) };
    }

    /** Every slot that holds a value holds 0 from now on; the agent is not told. */
    wipe(state) { return { ...state, memory: state.memory.map(kept => kept && WIPED) }; }
  }

  /** [result or null, the values left]: the calculator takes only values that are left, each once. */
  function calculate(name, operands, live) {
    const rest = [...live];
    for (const operand of operands) {
      const at = rest.findIndex(value => value.equals(operand));
      if (at < 0) return [null, live];
      rest.splice(at, 1);
    }
    try {
      const result = TOOLS[name].apply(...operands);
      return [result, [...rest, result]];
    } catch (reason) {
      if (!(reason instanceof Undefined)) throw reason;
      return [null, live];
    }
  }

  // ---- network. x holds L rows of D numbers, one after another, as a Float64Array.

  const sigmoid = x => 1 / (1 + Math.exp(-x));

  /** nn.Linear, on as many rows as there are. */
  class Linear {
    constructor(weights, name) {
      this.weight = weights[`${name}.weight`].data;
      this.bias = weights[`${name}.bias`].data;
    }

    /** Four rows at a time: their sums do not wait for one another. */
    forward(x) {
      const { weight, bias } = this, n = bias.length, m = weight.length / n, rows = x.length / m;
      const out = new Float64Array(rows * n);
      for (let t = 0; t < rows; t += 4) {
        const last = rows - 1, a = t * m, b = Math.min(t + 1, last) * m, c = Math.min(t + 2, last) * m, d = Math.min(t + 3, last) * m;
        for (let i = 0, at = 0; i < n; i++) {
          let p = bias[i], q = p, r = p, s = p;
          for (let j = 0; j < m; j++, at++) {
            const w = weight[at];
            p += w * x[a + j];
            q += w * x[b + j];
            r += w * x[c + j];
            s += w * x[d + j];
          }
          out[t * n + i] = p;
          if (t + 1 < rows) out[(t + 1) * n + i] = q;
          if (t + 2 < rows) out[(t + 2) * n + i] = r;
          if (t + 3 < rows) out[(t + 3) * n + i] = s;
        }
      }
      return out;
    }
  }

  /** What stands beside each token: a convolution over it and its two neighbours. */
  class Near {
    constructor(weights, name) { this.mix = new Linear(weights, `${name}.mix`); }

    forward(x, D) {
      const L = x.length / D, wide = new Float64Array(3 * L * D);
      for (let t = 0; t < L; t++) {
        for (let k = Math.max(0, 1 - t); k < Math.min(3, L - t + 1); k++) {
          wide.set(x.subarray((t + k - 1) * D, (t + k) * D), (3 * t + k) * D);
        }
      }
      return this.mix.forward(wide).map(v => Math.max(0, v));
    }
  }

  /** What stands before and behind each token: a small GRU from either end, whose state can count. */
  class Sweep {
    constructor(weights, name) {
      this.gates = new Linear(weights, `${name}.gates`);
      this.out = new Linear(weights, `${name}.out`);
    }

    forward(x, D) {
      const L = x.length / D, gates = this.gates.forward(x), h = new Float64Array(L * D);
      for (let i = 0; i < D; i++) {
        for (let k = 0, state = 0; k < L; k++) {
          const t = i < D / 2 ? k : L - 1 - k, z = sigmoid(gates[2 * t * D + i]);
          h[t * D + i] = state = (1 - z) * state + Math.tanh(gates[(2 * t + 1) * D + i]);
        }
      }
      return this.out.forward(h.map(Math.tanh));
    }
  }

  class Encoder {
    constructor(weights, { width, layers }) {
      this.width = width;
      this.token = weights["encoder.token.weight"].data;
      this.layers = layers.map((near, i) => new (near ? Near : Sweep)(weights, `encoder.layers.${i}`));
    }

    /** Token kinds (L) -> L * D numbers. */
    forward(kinds) {
      const D = this.width, x = new Float64Array(kinds.length * D);
      kinds.forEach((kind, t) => x.set(this.token.subarray(kind * D, (kind + 1) * D), t * D));
      return this.layers.reduce((sum, layer) => {
        const more = layer.forward(sum, D);
        return sum.map((v, i) => v + more[i]);
      }, x);
    }
  }

  /** Actor and critic of one stage, with only the parts that its stage needs. */
  class StageHead {
    constructor(weights, name, { width, offsets, tools, slots }) {
      Object.assign(this, { width, offsets, fixedCount: tools.length + 2 + slots });
      for (const part of ["hidden", "query", "fixed", "offset", "critic"]) {
        this[part] = `${name}.${part}.weight` in weights ? new Linear(weights, `${name}.${part}`) : null;
      }
    }

    /** [logits, value]. keys: V * D; about: D; left: -1 for none. */
    forward(keys, about, left, situation) {
      const D = this.width, R = this.offsets, z = this.hidden.forward(Float64Array.of(...about, ...situation)).map(Math.tanh);
      const fixed = this.fixed?.forward(z) ?? new Float64Array(this.fixedCount);
      const query = this.query?.forward(z), offset = this.offset?.forward(z), scores = [];
      for (let v = 0; v < keys.length / D; v++) {
        let score = 0;
        for (let i = 0; query && i < D; i++) score += keys[v * D + i] * query[i];
        score *= 2 / Math.sqrt(D);
        scores.push(score + (offset ? offset[Math.max(-R, Math.min(R, v - left)) + R] : 0));
      }
      return [[...fixed, ...scores], this.critic.forward(z)[0]];
    }
  }

  /** One head for each stage that decides. */
  class Pointer {
    constructor(weights, config) {
      this.width = config.width;
      this.key = new Linear(weights, "pointer.key");
      this.text = new Linear(weights, "pointer.text");
      this.heads = STAGES.slice(0, ANSWER).map((_, i) => new StageHead(weights, `pointer.heads.${i}`, config));
    }

    /** The text as a whole (D) and the keys (V * D) of an encoded worksheet. */
    read(x, places) {
      const D = this.width, L = x.length / D, mean = new Float64Array(D), there = new Float64Array(places.length * D);
      for (let i = 0; i < x.length; i++) mean[i % D] += x[i] / L;
      places.forEach((t, v) => there.set(x.subarray(t * D, (t + 1) * D), v * D));
      return { text: this.text.forward(mean).map(Math.tanh), keys: this.key.forward(there) };
    }

    forward({ text, keys }, stage, left, situation) {
      const D = this.width, at = left < 0 ? keys.length - D : left * D; // -1, where a wrong stage is told: the last one
      const about = stage === CHOOSE || stage === STORE ? text : keys.subarray(at, at + D);
      return this.heads[stage].forward(keys, about, left, situation);
    }
  }

  class Agent {
    constructor(weights, config) {
      this.desk = new Desk(config);
      this.encoder = new Encoder(weights, config);
      this.pointer = new Pointer(weights, config);
      this.seen = new Map(); // worksheets that were read last: reading is most of the work
    }

    read(tokens) {
      const text = tokens.map(({ kind }) => String.fromCharCode(kind + 32)).join("");
      if (!this.seen.has(text)) {
        if (this.seen.size > 200) this.seen.clear();
        this.seen.set(text, this.pointer.read(this.encoder.forward(tokens.map(({ kind }) => kind)), valuesOf(tokens)));
      }
      return this.seen.get(text);
    }

    /** [logits (A), the critic's value] of a state; stage: which one the network is told. */
    forward(state, stage = state.stage) {
      return this.pointer.forward(this.read(state.tokens), stage, state.left, this.desk.situation(state));
    }
  }

  /** Probabilities of the legal choices, 0 for the others. */
  function policy(logits, legal, temperature = 1) {
    const top = Math.max(...logits.filter((_, i) => legal[i]));
    const e = logits.map((v, i) => (legal[i] ? Math.exp((v - top) / temperature) : 0)), sum = e.reduce((a, b) => a + b, 0);
    return e.map(v => v / sum);
  }

  /** A number from 0 to 1 that follows from a seed and a moment alone, so that a link brings the same play back. */
  function dice(seed, t) {
    let n = Math.imul(seed ^ Math.imul(t + 1, 0x9e3779b1), 0x85ebca6b);
    n = Math.imul(n ^ (n >>> 13), 0xc2b2ae35);
    n = Math.imul(n ^ (n >>> 16), 0x27d4eb2f);
    return ((n ^ (n >>> 15)) >>> 0) / 2 ** 32;
  }

  const best = p => p.indexOf(Math.max(...p));

  /** The choice at which the sum of probabilities passes a number from 0 to 1. */
  function drawn(p, number) {
    let sum = 0;
    const found = p.findIndex(share => (sum += share) > number);
    return found < 0 ? best(p) : found; // a sum of floats may end below 1
  }

  /** Weights from their text: tensors of [name, shape], rows first, each row's scale before it.
   *
   *  A scale is 6 characters (36 bits: a float32 in 32 of them), two weights are 7: 21 bits each, as shares of the scale. */
  function unpack(shapes, text) {
    const digit = new Uint8Array(128), weights = {};
    Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", (c, i) => { digit[c.charCodeAt(0)] = i; });
    let at = 0;
    const next = characters => {
      let n = 0;
      for (let i = 0; i < characters; i++) n = n * 64 + digit[text.charCodeAt(at++)];
      return n;
    };
    const float = new DataView(new ArrayBuffer(4)), HALF = 2 ** 20;
    for (const [name, shape] of shapes) {
      const size = shape.reduce((a, b) => a * b, 1), width = shape.at(-1), data = new Float64Array(size);
      for (let start = 0; start < size; start += width) {
        float.setUint32(0, next(6));
        const scale = float.getFloat32(0) / (HALF - 1);
        for (let i = 0; i < width; i += 2) {
          const both = next(7), low = both % (2 * HALF);
          data[start + i] = ((both - low) / (2 * HALF) - HALF) * scale;
          if (i + 1 < width) data[start + i + 1] = (low - HALF) * scale;
        }
      }
      weights[name] = { shape, data };
    }
    return weights;
  }

  // ---- an episode

  /** One problem, played as far as it was asked for. frames[t] is the moment before decision t: what the agent sees, how
   *  probable it finds each legal choice, what it takes; the last one is the end.
   *
   *  temperature: 0 takes the most probable choice, else one is drawn, by seed. lesion: "memory", what it stores is wiped
   *  at once; "stage", the network is told the stage behind the one it is in, as chapter 7 does with `seeing`. */
  class Episode {
    constructor(agent, problem, { temperature = 0, seed = 0, lesion = null } = {}) {
      Object.assign(this, { agent, problem, temperature, seed, lesion, desk: agent.desk, frames: [] });
      this.bound = 6 * (problem.tasks.length + 1);
      this.add(this.desk.start(problem));
    }

    get done() { return this.frames.at(-1).done; }

    add(state, more = {}) {
      const t = this.frames.length, stopped = state.stage === ANSWER || state.lost || t >= this.bound;
      const frame = { state, done: stopped, choice: -1, events: [], ...more };
      if (stopped) {
        frame.correct = state.given !== null && state.live.length === 1 && state.live[0].equals(state.given)
          && state.given.equals(this.problem.answer);
      } else {
        const told = this.lesion === "stage" ? (state.stage + 1) % ANSWER : state.stage;
        [frame.logits, frame.value] = this.agent.forward(state, told);
        frame.legal = this.desk.legal(state);
        frame.p = policy(frame.logits, frame.legal, this.temperature || 1);
        frame.choice = this.temperature ? drawn(frame.p, dice(this.seed, t)) : best(frame.p);
      }
      this.frames.push(frame);
    }

    /** Carry out the last frame's choice. */
    advance() {
      const frame = this.frames.at(-1);
      if (frame.done) return;
      const after = this.desk.act(frame.state, frame.choice);
      this.add(this.lesion === "memory" ? this.desk.wipe(after) : after);
    }

    /** The frame at t, or the last one if the episode ends before. */
    at(t) {
      while (!this.done && this.frames.length <= t) this.advance();
      return this.frames[Math.min(t, this.frames.length - 1)];
    }

    finish() { return this.at(Infinity); }

    /** From moment t on, all slots hold 0. */
    wipe(t) { this.change(t, frame => { frame.state = this.desk.wipe(frame.state); frame.wiped = true; }, "w"); }

    /** At moment t another choice is taken. */
    choose(t, choice) { this.change(t, frame => { frame.choice = choice; frame.forced = true; }, `c${choice}`); }

    change(t, how, event) {
      if (this.at(t).done || (event[0] === "c" && !this.at(t).legal[Number(event.slice(1))])) return;
      this.frames.length = t + 1;
      const frame = this.frames[t] = { ...this.frames[t] };
      frame.events = [...frame.events.filter(e => e[0] !== event[0]), event];
      how(frame);
    }
  }

  // ---- what the agent knows of itself, as in mna/evaluation.py

  const PRACTISED = 10, UNSURE = 0.5;

  /** The critic's least value on the way: what it expects to be paid, at its gloomiest. */
  const confidence = frames => Math.min(...frames.filter(frame => !frame.done).map(frame => frame.value));

  /** In which ways a problem is longer or of another kind than any that was practised. */
  function unlikePractice({ kinds, values, tasks }) {
    const found = [], unknowns = kinds.filter(kind => kind === X).length;
    if (values.length > PRACTISED) found.push(`${values.length} numbers, practised were up to ${PRACTISED}`);
    if (unknowns > 4) found.push(`the unknown ${unknowns} times, practised were up to 4`);
    if (tasks.some(value => value.r)) found.push("an unknown in a denominator, which was never practised");
    return found;
  }

  /** All that makes an answer doubtful. */
  function warnings(problem, frames) {
    const found = unlikePractice(problem), sure = confidence(frames);
    if (sure < UNSURE) found.push(`unsure: its critic fell to ${sure.toFixed(2)} on the way`);
    return found;
  }

  Object.assign(mna, {
    WIPED, RESULT, STORED, CROSSED, STAGES, CHOOSE, TOOL, RIGHT, STORE, ANSWER, TOOLS, Desk, Agent, Episode, policy, dice, drawn, unpack, valuesOf,
    kindOf, confidence, unlikePractice, warnings, PRACTISED, UNSURE });
})(globalThis.mna);
