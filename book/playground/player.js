// One problem, played greedily to its end: every decision with what the agent saw, and what a reader did to it.
// `Workspace` is ScalarEnvironment of mna/environments.py; `play` is `watch` of mna/network.py.
"use strict";
(function (mna) {
  const DECISIONS_PER_NUMBER = 5, FLAKY = 0.5;

  /** The live values of one problem, the calculator that uses them up, and the verifier. */
  class Workspace {
    constructor({ numbers, answer }) {
      Object.assign(this, { live: [...numbers], answer, result: null, unsaved: false, decisions: 0, done: false });
      this.bound = DECISIONS_PER_NUMBER * numbers.length;
    }

    /** Carry out one decision: {value, present, failed, lost, correct}. broken: a flaky calculator fails now. */
    step({ verb, tool, x, y }, broken) {
      const back = { value: null, present: false, failed: false, lost: false, correct: false };
      this.decisions += 1;
      if (verb === "KEEP") this.unsaved = false;
      if (verb === "CALL") Object.assign(back, this.call(tool, [x, y].slice(0, tool.arity), broken));
      if (verb === "SAY") back.correct = this.live.length === 1 && mna.equal(x, this.answer);
      this.done = verb === "SAY" || back.lost || this.decisions >= this.bound;
      return back;
    }

    call(tool, operands, broken) {
      const lost = this.unsaved && !operands.some(value => mna.equal(value, this.result));
      const rest = [...this.live];
      const refused = !operands.every(value => {
        const place = rest.findIndex(other => mna.equal(other, value));
        return place >= 0 && rest.splice(place, 1);
      });
      const value = mna.calculate(tool, ...operands);
      if (lost || broken || refused || value === null) return { failed: true, lost };
      Object.assign(this, { live: [...rest, value], result: value, unsaved: true });
      return { present: true, value };
    }
  }

  /** A small random generator, so that a shared link shows the same failures (mulberry32). */
  function random(seed) {
    return () => {
      seed = (seed + 0x6D2B79F5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** Follows which operation each value comes from: 0 ... N - 1 are the numbers, N + j is the j-th call that worked. */
  class Origins {
    constructor(agent, problem) {
      Object.assign(this, { agent, n: problem.numbers.length, nodes: [], result: null, left: null });
      this.slots = Array(agent.memory.slots).fill(null);
    }

    of(choice) {
      const K = this.slots.length, place = choice - mna.FIRST_SLOT;
      return choice === mna.RESULT ? this.result : place < K ? this.slots[place] : place - K;
    }

    follow({ stage, choice }, { verb, tool }, back) {
      if (stage === mna.Stage.STORE) this.slots[choice - mna.FIRST_SLOT] = this.result;
      if (stage === mna.Stage.LEFT) this.left = this.of(choice);
      if (verb !== "CALL" || !back.present) return;
      const parts = tool.arity === 2 ? [this.left, this.of(choice)] : [this.left];
      this.result = this.n + this.nodes.push({ tool, parts, value: back.value }) - 1;
    }
  }

  /**
   * All frames of an episode. Frame 0 is DRAFT; frame t has decision t and what it left behind.
   * events: [{at, what}], what happens right behind frame `at`: "wipe" the memory, calculator "flaky" or "steady".
   */
  function play(agent, problem, events = [], seed = 0) {
    const world = new Workspace(problem), origins = new Origins(agent, problem), chance = random(seed);
    let state = agent.start(problem), flaky = false;
    const calls = [], frames = [];
    const log = frame => frames.push({
      ...frame, state, flaky, done: world.done, calls: [...calls], nodes: [...origins.nodes], slots: [...origins.slots],
      resultNode: state.available[0] ? origins.result : null, wiped: false,
    });
    log({ stage: mna.Stage.DRAFT });
    while (!world.done) {
      for (const { at, what } of events) {
        if (at !== frames.length - 1) continue;
        if (what === "wipe") {
          state = { ...state, memory: agent.memory.start(agent.width) };
          Object.assign(frames.at(-1), { state, wiped: true });
        } else {
          frames.at(-1).flaky = flaky = what === "flaky";
        }
      }
      const { stage } = state, legal = agent.legal(state);
      const [decided, heads] = agent.decide(state);
      const p = mna.softmax(heads.logits.map((v, i) => (legal[i] ? v : -Infinity)));
      const choice = p.indexOf(Math.max(...p));
      const [acted, move] = agent.act(decided, choice);
      const broken = move.verb === "CALL" && flaky && chance() < FLAKY;
      const back = world.step(move, broken);
      state = agent.observe(acted, back);
      origins.follow({ stage, choice }, move, back);
      if (move.verb === "CALL") calls.push({ ...move, result: back.value, lost: back.lost });
      log({ stage, legal, ...heads, p, choice, ...back, expected: heads.value, move, answer: move.verb === "SAY" ? move.x : null });
    }
    return frames;
  }

  Object.assign(mna, { play });
})(globalThis.mna ??= {});
