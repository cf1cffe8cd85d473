// A guided tour of six stops: each puts a problem on the board, goes to a moment of it, and says what to look at.
"use strict";
(function (mna) {
  const { h, button, STORE, CHOOSE, TOOL } = mna;
  const NEEDS_ONE = "(3+4)*(9-1)";
  const full = ({ state }) => state.stage === CHOOSE && state.memory.some(Boolean);
  const STOPS = [
    { title: "The worksheet", part: ".mna-sheet", problem: NEEDS_ONE, when: () => true,
      text: "The problem stands on the agent's own worksheet. The network reads which kinds of tokens stand there, never the numbers: to it, 3 and 9 are the same." },
    { title: "Pointing", part: ".mna-keys", problem: NEEDS_ONE, when: ({ state }) => state.stage === TOOL,
      text: "It has pointed at a number and now takes a tool. What may be named glows as brightly as it is probable. No rule says which operation comes first: that is learned." },
    { title: "A call", part: ".mna-sheet", problem: NEEDS_ONE, when: ({ state }) => state.calls.length === 1,
      text: "The calculator did the sum. Its result stands where the operation stood, and the network reads the shorter worksheet anew. The tree below grew by a node." },
    { title: "The memory gate", part: ".mna-memory", problem: NEEDS_ONE, when: ({ state }) => state.stage === STORE,
      text: "The next call would overwrite the last result. So the agent stores it: at this stage, and at no other, the gate of a slot opens." },
    { title: "Without memory", part: ".mna-said", problem: NEEDS_ONE, when: full, wipe: true,
      text: "We have wiped the slot: it holds 0 now, and the agent is not told. Press Play and see the call fail. What it needs later lives in those slots and nowhere else." },
    { title: "Doubt", part: ".mna-warning", problem: "x+x+x+x+x+x=42", when: () => true,
      text: "Six times the unknown: never practised, and the board says so. It also says where the agent's own critic lost hope. Now type a problem of your own." },
  ];

  class Tour {
    constructor(player) {
      Object.assign(this, { player, at: -1 });
      this.start = button("Take the tour: six stops", () => this.go(0), { class: "mna-start" });
      this.title = h("h3", { class: "mna-title" });
      this.text = h("p", {});
      this.back = button("◀ Stop before", () => this.go(this.at - 1));
      this.next = button("Next stop ▶", () => this.go(this.at + 1));
      this.panel = h("div", { class: "mna-stop", hidden: true }, h("div", { "aria-live": "polite" }, this.title, this.text),
        h("div", { class: "mna-steps" }, this.back, this.next, button("End the tour", () => this.end())));
      this.root = h("div", { class: "mna-tour" }, this.start, this.panel);
    }

    /** Go to a stop; behind the last one the tour ends. */
    go(at) {
      const { player } = this, stop = STOPS[at];
      if (at >= STOPS.length) return this.end();
      if (!stop || !player.agent) return;
      this.at = at;
      this.show(true);
      player.text.value = stop.problem;
      player.put(stop.problem);
      const t = player.find(stop.when);
      player.go(t);
      if (stop.wipe) player.wipe();
      this.title.textContent = `${at + 1} of ${STOPS.length}: ${stop.title}`;
      this.text.textContent = stop.text;
      this.back.setAttribute("aria-disabled", at === 0);
      this.next.textContent = at === STOPS.length - 1 ? "Finish" : "Next stop ▶";
      this.mark(player.root.querySelector(stop.part));
    }

    mark(part) {
      for (const old of this.player.root.querySelectorAll(".is-toured")) old.classList.remove("is-toured");
      part?.classList.add("is-toured");
      part?.scrollIntoView({ block: "nearest" });
    }

    show(on) {
      this.panel.hidden = !on;
      this.start.hidden = on;
      if (on && this.at === 0) this.next.focus();
    }

    end() {
      this.at = -1;
      this.mark(null);
      this.show(false);
      this.player.text.focus();
    }
  }

  mna.Tour = Tour;
})(globalThis.mna);
