// Which agent plays: a slider through the moments of a training run, and the run replayed: its curves, and what the
// agent of each moment makes of the problem on the board.
"use strict";
(function (mna) {
  const { h, svg, button, percent } = mna, { agents, judged } = mna.data;
  const WIDTH = 430, HEIGHT = 150, PACE = 1400; // milliseconds for each moment of a replay
  /** 2000 -> 2 k, 1000000 -> 1 M. */
  const short = n => (n < 1000 ? `${n}` : n < 1e6 ? `${Math.round(n / 1000)} k` : `${Number((n / 1e6).toFixed(1))} M`);
  const later = time => new Promise(resolve => setTimeout(resolve, time));

  class Training {
    constructor(player) {
      this.player = player;
      this.run = agents.filter(({ key }) => key !== "shipped");
      const { run } = this, shipped = agents.some(({ key }) => key === "shipped");
      this.age = h("input", { type: "range", min: 0, max: Math.max(0, run.length - 1), value: Math.max(0, run.length - 1), "aria-label": "Trained for",
        oninput: () => { this.stop(); player.grow(run[Number(this.age.value)].key); } });
      this.shipped = button("The agent that ships", () => { this.stop(); player.grow("shipped"); });
      this.play = button("▶ Replay the run", () => (this.playing ? this.stop() : this.replay()));
      this.aged = h("output", {});
      this.shares = h("ul", { class: "mna-shares", "aria-label": "Right answers on held-out problems" });
      this.curves = h("div", { class: "mna-curves" });
      this.about = h("p", { class: "mna-note" });
      this.root = h("div", { class: "mna-training" }, h("h3", { class: "mna-title" }, "Which agent"),
        h("div", { class: "mna-controls" }, run.length > 1 && h("label", {}, "This book's run, after"), run.length > 1 && this.age, this.aged,
          run.length > 1 && this.play, shipped && run.length > 0 && this.shipped),
        run.length > 2 && this.curves, this.shares, this.about);
    }

    draw(key) {
      const agent = agents.find(one => one.key === key), ours = this.run.indexOf(agent);
      if (ours >= 0) this.age.value = ours;
      this.aged.textContent = `${agent.decisions.toLocaleString("en")} decisions`;
      this.age.setAttribute("aria-valuetext", this.aged.textContent);
      this.age.classList.toggle("is-other", ours < 0);
      this.shipped.setAttribute("aria-pressed", ours < 0);
      this.drawShares(agent.shares);
      if (this.run.length > 2) this.drawCurves(ours);
      this.about.textContent = `${ours < 0 ? "The agent that ships with the package." : "An agent of the training run that this book shows."} `
        + `Right answers to ${judged} problems of each level, all of structures that training never draws.`;
    }

    drawShares(shares) {
      this.shares.replaceChildren(...Object.entries(shares).map(([name, share]) => {
        const bar = h("i");
        bar.style.width = `${100 * share}%`;
        return h("li", {}, h("span", {}, name), h("span", { class: "mna-bar", "aria-hidden": "true" }, bar), h("span", { class: "mna-p" }, percent(share)));
      }));
    }

    /** A line for each level over the run's moments; what comes after the present one is faint. */
    drawCurves(now) {
      const { run } = this, x = i => 50 + (i / (run.length - 1)) * (WIDTH - 70), y = share => 12 + (1 - share) * (HEIGHT - 40);
      const line = (name, from, to, kind) => svg("polyline", { class: kind,
        points: run.slice(from, to).map(({ shares }, i) => `${x(from + i)},${y(shares[name])}`).join(" ") });
      const levels = Object.keys(run[0].shares).flatMap((name, i) => [
        line(name, 0, run.length, `is-${i} is-faint`), line(name, 0, now < 0 ? run.length : now + 1, `is-${i}`)]);
      const marks = [0, 0.5, 1].map(share => svg("text", { x: 36, y: y(share) + 4, class: "is-right" }, `${100 * share} %`));
      const moments = run.map(({ decisions }, i) => svg("text", { x: x(i), y: HEIGHT - 6 }, short(decisions)));
      const here = now < 0 ? [] : [svg("line", { x1: x(now), x2: x(now), y1: 8, y2: HEIGHT - 24, class: "is-now" })];
      const names = Object.keys(run[0].shares).map((name, i) => h("li", { class: `is-${i}` }, name));
      this.curves.replaceChildren(
        svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Right answers by decisions; ${this.told()}` },
          ...marks, ...moments, ...here, ...levels),
        h("ul", { "aria-label": "Lines" }, ...names, h("li", {}, "decisions →")));
    }

    told() {
      return this.run.map(({ decisions, shares }) => `after ${decisions}: ${Object.entries(shares).map(([name, p]) => `${name} ${percent(p)}`).join(", ")}`)
        .join("; ");
    }

    /** From the first moment to the last: that agent plays the problem, and its end stands on the board. */
    async replay() {
      const turn = this.playing = {}, { player } = this;
      this.play.textContent = "❚❚ Stop";
      for (const { key } of this.run) {
        const begun = performance.now();
        await player.grow(key);
        while (this.playing === turn && player.agent && !player.episode.done) await later(20);
        if (this.playing !== turn || !player.agent) return;
        player.go(Infinity);
        await later(PACE - (performance.now() - begun));
        if (this.playing !== turn) return;
      }
      this.stop();
    }

    stop() {
      this.playing = null;
      this.play.textContent = "▶ Replay the run";
    }
  }

  mna.Training = Training;
})(globalThis.mna);
