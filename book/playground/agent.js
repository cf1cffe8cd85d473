// The network for one problem at a time, without gradients. It mirrors mna/network.py and mna/memory.py class by
// class, with the same names, and reads the weights by their names in agent.safetensors.
//
// When a layer changes there, change it here: `Near`, `Sweep`, `MinGRU`, `Encoder`, `GatedMemory` and the methods `encode`, `inputs`
// and `heads` of `Agent` hold all of the arithmetic; `start`, `legal`, `act` and `observe` hold the agent's record.
// tests/test_playground.py compares every logit with PyTorch's.
"use strict";
(function (mna) {
  const Stage = { DRAFT: 0, CHOOSE: 1, LEFT: 2, RIGHT: 3, STORE: 4, ANSWER: 5 };
  const STAGES = Object.keys(Stage);
  // What the pointer can name, in this order: the tools, STORE, ANSWER, the last result, K slots, N numbers.
  const N_TOOLS = mna.TOOLS.length;
  const STORE = N_TOOLS, ANSWER = N_TOOLS + 1, RESULT = N_TOOLS + 2, FIRST_SLOT = N_TOOLS + 3;
  const SITUATION = [STAGES.length, FIRST_SLOT + 2, 5];

  // Vectors are Float64Arrays; a weight is {shape, data} with float32 data, rows first.
  const zeros = size => new Float64Array(size);
  const row = ({ shape, data }, i) => data.subarray(i * shape[1], (i + 1) * shape[1]);
  const add = (x, y) => x.map((v, i) => v + y[i]);
  const sigmoid = x => 1 / (1 + Math.exp(-x));
  function concat(...parts) {
    const out = zeros(parts.reduce((size, part) => size + part.length, 0));
    parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
    return out;
  }
  function dot(x, y) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += x[i] * y[i];
    return sum;
  }
  function softmax(x) {
    const top = Math.max(...x), e = x.map(v => Math.exp(v - top)), sum = e.reduce((a, b) => a + b, 0);
    return e.map(v => v / sum);
  }
  function mix(weights, keys, width) {
    const out = zeros(width);
    keys.forEach((key, k) => { for (let i = 0; i < width; i++) out[i] += weights[k] * key[i]; });
    return out;
  }

  /** nn.Linear */
  class Linear {
    constructor(weights, name) {
      this.weight = weights[`${name}.weight`];
      this.bias = weights[`${name}.bias`].data;
    }

    forward(x) {
      const out = Float64Array.from(this.bias), { data } = this.weight, size = x.length;
      for (let i = 0, at = 0; i < out.length; i++) {
        let sum = 0;
        for (let j = 0; j < size; j++, at++) sum += data[at] * x[j];
        out[i] += sum;
      }
      return out;
    }
  }

  /** What stands beside each token, from `reach` places to its left and right. */
  class Near extends Linear {
    constructor(weights, name, reach) {
      super(weights, name);
      this.reach = reach;
    }

    /** L vectors (D) -> as many. */
    layer(x) {
      const nothing = zeros(x[0].length), { reach } = this;
      return x.map((here, t) => this.forward(concat(x[t - reach] ?? nothing, here, x[t + reach] ?? nothing))
        .map(v => Math.max(0, v)));
    }
  }

  class MinGRU {
    constructor(weights, name) { this.gates = new Linear(weights, `${name}.gates`); }

    /** h_t = a * h_{t-1} + b: [a, b] for an input (D). */
    steps(x) {
      const out = this.gates.forward(x), z = out.subarray(0, x.length).map(sigmoid);
      return [z.map(v => 1 - v), z.map((v, i) => v * Math.tanh(out[x.length + i]))];
    }

    forward(x, h) {
      const [a, b] = this.steps(x);
      return h.map((before, i) => a[i] * before + b[i]);
    }
  }

  /** What stands before and after each token: a minimal GRU, half of its state from each end. */
  class Sweep {
    constructor(weights, name) {
      this.unit = new MinGRU(weights, `${name}.unit`);
      this.out = new Linear(weights, `${name}.out`);
    }

    /** L vectors (D) -> as many. */
    layer(x) {
      const D = x[0].length, steps = x.map(v => this.unit.steps(v)), h = x.map(() => zeros(D));
      for (let i = 0; i < D; i++) {
        let state = 0;
        for (let k = 0; k < x.length; k++) {
          const t = i < D / 2 ? k : x.length - 1 - k;
          h[t][i] = state = steps[t][0][i] * state + steps[t][1][i];
        }
      }
      return h.map(v => this.out.forward(v));
    }
  }

  class Encoder {
    constructor(weights, layers) {
      this.token = weights["encoder.token.weight"];
      this.layers = layers.map((reach, i) => {
        const name = `encoder.layers.${i}`;
        return reach ? new Near(weights, name, reach) : new Sweep(weights, name);
      });
    }

    /** Token kinds (L) -> L vectors (D). */
    forward(kinds) {
      const tokens = kinds.map(kind => Float64Array.from(row(this.token, kind)));
      return this.layers.reduce((x, layer) => layer.layer(x).map((v, t) => add(x[t], v)), tokens);
    }
  }

  /** K slots {key, value, filled}. */
  class GatedMemory {
    constructor(weights, slots) {
      this.slots = slots;
      this.content = new Linear(weights, "memory.content");
    }

    start(width) {
      return Array.from({ length: this.slots }, () => ({ key: zeros(width), value: mna.fraction(0n), filled: false }));
    }

    key(h) {
      const out = this.content.forward(h);
      return h.map((_, i) => sigmoid(out[i]) * Math.tanh(out[h.length + i]));
    }

    write(memory, k, h, value) { return memory.with(k, { key: this.key(h), value, filled: true }); }
  }

  class Agent {
    constructor(weights, config) {
      this.width = config.width;
      this.encoder = new Encoder(weights, config.encoder);
      for (const name of ["number", "draft", "look", "hidden", "query", "value"]) this[name] = new Linear(weights, name);
      this.core = new MinGRU(weights, "core");
      this.memory = new GatedMemory(weights, config.slots);
      this.told = weights.told;
      this.fixed = weights.fixed;
    }

    /** Number keys (N, D) and the first working state (D). */
    encode(kinds) {
      const x = this.encoder.forward(kinds);
      const keys = x.filter((_, t) => kinds[t] === mna.KINDS.indexOf("number")).map(v => this.number.forward(v));
      const mean = x.reduce(add).map(v => v / kinds.length);
      return [keys, this.draft.forward(mean).map(Math.tanh)];
    }

    /** The core's input (D). number: the key of the number chosen last, or null. */
    inputs(situation, number) {
      const told = situation.map(i => row(this.told, i)).reduce((x, y) => add(x, y), number ?? zeros(this.width));
      return Float64Array.from(told);
    }

    /** {logits (A), value, attention (N), slotAttention (K)}: what the actor points at, what the critic expects, and
     *  what is looked at. waiting (K + N): which slots and numbers wait to be used. operands (K + N): their keys. */
    heads(h, situation, waiting, operands) {
      const scale = Math.sqrt(this.width);
      const look = this.look.forward(h);
      const scores = operands.map((key, i) => (waiting[i] ? dot(key, look) / scale : -1e9));
      const weights = softmax(scores).map((p, i) => p * waiting[i]);
      const told = zeros(SITUATION.reduce((a, b) => a + b));
      for (const i of situation) told[i] = 1;
      const z = this.hidden.forward(concat(h, mix(weights, operands, this.width), told)).map(Math.tanh);
      const query = this.query.forward(z).map(v => (2 * v) / scale);
      const fixed = Array.from({ length: FIRST_SLOT + 1 }, (_, i) => dot(row(this.fixed, i), query));
      const K = this.memory.slots, pointed = operands.map((key, i) => dot(key, query) + (i < K ? fixed[FIRST_SLOT] : 0));
      const logits = [...fixed.slice(0, FIRST_SLOT), ...pointed];
      return { logits, value: this.value.forward(z)[0], attention: weights.slice(K), slotAttention: weights.slice(0, K) };
    }

    /** The state after DRAFT; see State in mna/network.py. A state is never changed, only followed by another. */
    start({ kinds, numbers }) {
      const [keys, h] = this.encode(kinds), K = this.memory.slots;
      return {
        h, keys, numbers, memory: this.memory.start(this.width), stage: Stage.CHOOSE, intent: 0, previous: ANSWER,
        left: -1, available: [...Array(1 + K).fill(false), ...numbers.map(() => true)], result: mna.fraction(0n), seen: 0,
      };
    }

    holds({ available, memory }) {
      return available.map((there, i) => there && (i < 1 || i > memory.length || memory[i - 1].filled));
    }

    valueOf({ result, memory, numbers }, candidate) {
      return [result, ...memory.map(slot => slot.value), ...numbers][Math.max(0, candidate - RESULT)];
    }

    /** Which candidates may be named, (A). */
    legal(state) {
      const { stage, left, available } = state, K = this.memory.slots;
      const holds = this.holds(state), n = holds.filter(Boolean).length;
      const free = available.slice(1, 1 + K).map(used => !used);
      const choosing = stage === Stage.CHOOSE, pointing = stage === Stage.LEFT || stage === Stage.RIGHT;
      const choose = [...mna.TOOLS.map(tool => n >= tool.arity), holds[0] && free.some(Boolean), n <= 1];
      const operand = holds.map((there, i) => (pointing && there && i + RESULT !== left)
        || (stage === Stage.STORE && i >= 1 && i <= K && free[i - 1]));
      const out = [...choose.map(fine => fine && choosing), ...operand];
      if (!out.some(Boolean)) out[RESULT] = true; // a finished episode keeps one dummy choice
      return out;
    }

    /** One step of the core, then the heads: [the state with its new h, what the heads say]. */
    decide(state) {
      const { stage, previous, seen, keys, memory } = state, K = this.memory.slots;
      const kind = Math.min(previous, FIRST_SLOT) + (previous >= FIRST_SLOT + K);
      const situation = [stage, SITUATION[0] + kind, SITUATION[0] + SITUATION[1] + seen];
      const h = this.core.forward(this.inputs(situation, keys[previous - FIRST_SLOT - K]), state.h);
      const waiting = this.holds(state).slice(1).map(Number); // a slot whose value is used is as good as empty
      const slots = memory.map((slot, k) => (waiting[k] ? slot.key : zeros(this.width)));
      return [{ ...state, h }, this.heads(h, situation, waiting, [...slots, ...keys])];
    }

    /** Carry out a choice: [state, {verb, tool, x, y}]. */
    act(state, choice) {
      const { stage } = state, choosing = stage === Stage.CHOOSE, K = this.memory.slots;
      const intent = choosing ? choice : state.intent, tool = mna.TOOLS[Math.min(intent, N_TOOLS - 1)];
      const next = this.nextStage(stage, intent), saying = choosing && choice === ANSWER;
      const calling = stage === Stage.RIGHT || (stage === Stage.LEFT && next === Stage.CHOOSE);
      const left = stage === Stage.LEFT ? choice : choosing ? -1 : state.left;
      const storing = stage === Stage.STORE, slot = choice - FIRST_SLOT;
      let { memory, available } = state;
      if (storing) {
        memory = this.memory.write(memory, slot, state.h, state.result);
        available = available.with(1 + slot, true).with(0, false);
      }
      const after = { ...state, stage: next, intent, left, previous: choice, memory, available };
      const last = this.holds(after).indexOf(true); // when ANSWER is legal: the only value left
      const x = this.valueOf(after, saying ? RESULT + Math.max(0, last) : left), y = this.valueOf(after, choice);
      return [after, { verb: calling ? "CALL" : saying ? "SAY" : storing ? "KEEP" : "THINK", tool, x, y }];
    }

    nextStage(stage, intent) {
      if (stage === Stage.ANSWER) return Stage.ANSWER;
      if (stage === Stage.CHOOSE) return intent === STORE ? Stage.STORE : intent === ANSWER ? Stage.ANSWER : Stage.LEFT;
      return stage === Stage.LEFT && mna.TOOLS[intent].arity === 2 ? Stage.RIGHT : Stage.CHOOSE;
    }

    /** Take in what came back: a result uses up its operands; a failed call uses up nothing. */
    observe(state, { value, present, failed }) {
      if (!present) return { ...state, seen: Number(failed) };
      const used = [state.left - RESULT, state.previous - RESULT];
      const available = state.available.map((there, i) => i === 0 || (there && !used.includes(i)));
      return { ...state, available, result: value, seen: mna.sign(value) + 3 };
    }
  }

  /** The tensors of a safetensors file, by name. */
  function tensors(bytes) {
    const size = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
    delete header.__metadata__;
    return Object.fromEntries(Object.entries(header).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      if (dtype !== "F32") throw new mna.MNAError(`weight ${name} is ${dtype}, the page reads F32: save the agent as float32`);
      return [name, { shape, data: new Float32Array(bytes.slice(8 + size + from, 8 + size + to).buffer) }];
    }));
  }

  Object.assign(mna, { Agent, Stage, STAGES, N_TOOLS, STORE, ANSWER, RESULT, FIRST_SLOT, softmax, tensors });
})(globalThis.mna ??= {});
