// A second agent beside the first, on the same problem and at the same decision: another moment of training, or the same
// agent with its memory wiped or told a wrong stage.
"use strict";
(function (mna) {
  const { h } = mna, { agents } = mna.data;
  const LESIONS = { memory: "the same agent, wiped as soon as it stores", stage: "the same agent, told a wrong stage" };

  class Rival {
    constructor(player) {
      Object.assign(this, { player, who: "", episode: null });
      this.select = h("select", { "aria-label": "Beside it", onchange: () => this.take(this.select.value) },
        h("option", { value: "" }, "no second agent"), ...Object.entries(LESIONS).map(([who, name]) => h("option", { value: who }, name)),
        ...agents.map(({ key }) => h("option", { value: key }, mna.agentName(key))));
      this.choice = h("label", {}, "Beside it ", this.select);
      this.name = h("h3", { class: "mna-title" });
      this.root = h("div", { class: "mna-rival", role: "group", "aria-label": "The second agent" }, this.name);
      const grid = h("div", { class: "mna-grid" });
      this.board = new mna.Board(grid, { root: this.root, small: true });
      this.board.said.setAttribute("aria-live", "off"); // one voice is enough
      this.root.append(grid);
    }

    /** Whether someone of this name can be asked to play. */
    knows(who) { return [...this.select.options].some(option => option.value === who); }

    /** Ask someone to play beside the first agent; "" is nobody. */
    async take(who) {
      this.who = this.select.value = who;
      this.name.textContent = `Beside it: ${LESIONS[who] ?? (who && mna.agentName(who))}`;
      if (who) this.player.grid.after(this.root);
      else this.root.remove();
      this.player.root.classList.toggle("has-rival", Boolean(who));
      this.lesion = who in LESIONS ? who : null;
      const agent = who && !this.lesion ? await mna.load(who) : null;
      if (this.who !== who) return; // another one was asked for meanwhile
      this.agent = agent;
      this.put(this.player.episode?.problem);
      this.player.refit();
    }

    /** Begin a problem, or nothing if nobody plays. */
    put(problem) {
      const { agent, player, lesion } = this;
      this.episode = this.who && problem ? new mna.Episode(agent ?? player.agent, problem, { ...player.settings(), lesion }) : null;
      this.board.clear();
    }

    draw(t, moving) {
      if (!this.episode) return;
      this.episode.at(t);
      this.board.seen = this.player.board.seen;
      this.board.draw(this.episode, Math.min(t, this.episode.frames.length - 1), moving);
    }
  }

  mna.Rival = Rival;
})(globalThis.mna);
