// Every element with the attribute data-problem becomes a live board. data-full: the whole playground; data-autoplay: it
// begins by itself when it is seen, unless the reader prefers reduced motion, and has one button.
"use strict";
(function (mna) {
  const { h, button, calm } = mna, { agents } = mna.data;
  const EXAMPLES = ["4+9", "(3+4)*(9-1)", "|3-|4-9||*2", "7-2x=1", "3(x+2)-4(x-1)=2x+7", "15%*80+1/4"];
  const HARD = ["-(-(3-5))*-2", "12/x=3", "((2+3)*(4+5))*((6-1)*(7-2))", "999999999999*999999999999-1", "|1-|2-|3-|4-|5-6|||||",
    "x+x+x+x+x+x=42", "((1+2)*(3+4)-(5+6)*(7+8))*((9-1)*(8-2)-(7+3)*(6-4))", "1-2+3-4+5-6+7-8+9-10+11-12+13-14+15-16+17-18+19-20"];
  const SPEEDS = { slow: 1200, normal: 450, fast: 150 }; // milliseconds for each decision
  const WARMEST = 3;

  class Player {
    constructor(root) {
      const given = root.dataset.problem;
      Object.assign(this, { root, full: "full" in root.dataset, alone: "autoplay" in root.dataset, given, t: 0, timer: null, episode: null,
        key: agents.at(-1)?.key, temperature: 0, seed: 1, fit: 0 });
      root.classList.add("mna-board");
      root.classList.toggle("mna-full", this.full);
      root.setAttribute("role", "group");
      root.setAttribute("aria-label", this.full ? "Playground" : "Live board");
      this.board = new mna.Board(this.grid = h("div", { class: "mna-grid" }), {
        root, small: !this.full, choose: choice => this.choose(choice), wipe: () => this.wipe() });
      root.replaceChildren(...(this.full ? this.everything() : [...this.problem(), this.controls(), this.warning, this.grid]));
      root.addEventListener("keydown", event => this.pressed(event));
      root.addEventListener("pointerdown", () => { this.touched = true; });
      new ResizeObserver(() => this.resized()).observe(root);
      this.restore();
    }

    // ---- what stands around the board

    /** The field for a problem, and what may be wrong with what stands in it. */
    problem() {
      const id = `mna-text-${Player.made = (Player.made ?? 0) + 1}`;
      this.text = h("input", { id, value: this.given, autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: 20000,
        enterkeyhint: "go", "aria-describedby": `${id}-error`, oninput: () => this.typed() });
      this.playButton = h("button", { type: "submit", class: "mna-play" }, "▶ Play");
      this.error = h("p", { id: `${id}-error`, class: "mna-error", role: "alert" });
      const form = h("form", { class: "mna-problem", onsubmit: event => { event.preventDefault(); this.toggle(); } },
        h("label", { for: id }, this.full ? "Problem" : "Type a problem"), this.text, this.playButton);
      return [form, this.error];
    }

    controls() {
      this.warning = h("p", { class: "mna-warning" });
      this.backButton = button("◀ Back", () => this.step(-1));
      this.stepButton = button("Step ▶", () => this.step(1));
      this.resetButton = button("Reset", () => this.reset());
      this.time = h("input", { type: "range", min: 0, value: 0, "aria-label": "Decision", oninput: () => { this.pause(); this.go(Number(this.time.value)); } });
      this.where = h("span", { class: "mna-at", "aria-hidden": "true" });
      this.speed = h("select", { "aria-label": "Speed", onchange: () => this.timer && this.start() },
        ...Object.entries(SPEEDS).map(([name, ms]) => h("option", { value: ms, selected: name === "normal" }, name)));
      if (this.alone) return "";
      return h("div", { class: "mna-controls", role: "group", "aria-label": "Playback" }, this.backButton, this.stepButton, this.resetButton,
        this.full && this.time, this.full && this.where, this.full && h("label", { class: "mna-speed" }, h("span", {}, "Speed "), this.speed));
    }

    /** The whole playground, from above. */
    everything() {
      this.tour = new mna.Tour(this);
      this.rival = new mna.Rival(this);
      this.training = new mna.Training(this);
      this.grid.lastChild.before(this.training.root);
      return [this.tour.root, ...this.problem(), this.chips("Examples", EXAMPLES), this.chips("Try to break it", HARD), this.controls(), this.warning,
        h("div", { class: "mna-duel" }, this.grid), this.settingsRow(), this.footer()];
    }

    chips(title, texts) {
      const short = text => (text.length > 24 ? `${text.slice(0, 21)}…` : text);
      return h("div", { class: "mna-chips", role: "group", "aria-label": title }, h("span", {}, title),
        h("div", {}, ...texts.map(text => button(short(text), () => this.take(text), { title: text }))));
    }

    settingsRow() {
      this.warmth = h("input", { type: "range", min: 0, max: WARMEST, step: 0.1, value: 0, "aria-label": "Temperature",
        oninput: () => this.warm(Number(this.warmth.value)) });
      this.warmed = h("output", {});
      this.again = button("Draw again", () => this.warm(this.temperature, this.seed % 999999 + 1));
      this.seen = h("input", { type: "checkbox", onchange: () => { this.board.seen = this.seen.checked; this.board.clear(); this.redraw(); } });
      return h("div", { class: "mna-settings" }, h("label", { class: "mna-check" }, this.seen, " Show what the network sees of the worksheet"), this.rival.choice,
        h("div", { class: "mna-controls" }, h("label", {}, "Temperature"), this.warmth, this.warmed, this.again));
    }

    footer() {
      this.share = button("Copy link", () => this.copyLink());
      this.report = h("textarea", { readonly: true, rows: 8, "aria-label": "The report" });
      this.copied = button("Copy the report", () => this.copyReport());
      this.reporting = h("details", { class: "mna-words", ontoggle: () => this.drawReport() }, h("summary", {}, "Report a problem"),
        h("p", {}, "This text says what the board shows. Copy it, add what you expected, and give it to whoever gave you this book, "
          + "or open an issue with it where the book's source lies."), this.report, this.copied);
      return h("div", { class: "mna-footer" }, this.share, this.reporting);
    }

    // ---- the problem

    say(text) {
      this.error.textContent = text;
      if (text) this.text.setAttribute("aria-invalid", "true");
      else this.text.removeAttribute("aria-invalid");
    }

    /** Put a text on the board; false, with the reason said, if it can't be read. */
    put(text) {
      let problem;
      try {
        problem = mna.parse(text);
      } catch (error) {
        if (!(error instanceof mna.MNAError)) throw error;
        this.say(error.message);
        return false;
      }
      this.say("");
      this.pause();
      this.shown = text;
      this.episode = new mna.Episode(this.agent, problem, this.settings());
      this.rival?.put(problem);
      const needs = mna.slotsNeeded(problem), unseen = mna.heldOut(problem.kinds) ? " Its structure is held out: training never draws it." : "";
      this.board.need.textContent = `This problem needs ${needs} slot${needs === 1 ? "" : "s"} in the best order.${unseen}`;
      this.board.clear();
      this.t = 0;
      this.redraw();
      this.compute();
      return true;
    }

    /** How it plays: the most probable choice, or one that is drawn. */
    settings() { return { temperature: this.temperature, seed: this.seed }; }

    /** Play at another temperature, or with other draws. */
    warm(temperature, seed = this.seed) {
      Object.assign(this, { temperature, seed });
      this.warmth.value = temperature;
      this.warmed.textContent = temperature ? `${temperature.toFixed(1)}, draws no. ${seed}` : "0: always the most probable";
      this.warmth.setAttribute("aria-valuetext", this.warmed.textContent);
      this.again.setAttribute("aria-disabled", !temperature);
      if (this.episode) this.put(this.shown);
    }

    /** The text in the field, if it is not the one on the board. */
    current() { return (this.episode && this.text.value === this.shown) || this.put(this.text.value); }

    /** While somebody types, the board follows as soon as there is something to read; errors wait for Play. */
    typed() {
      clearTimeout(this.typing);
      this.touched = true;
      this.playButton.textContent = "▶ Play";
      this.pause();
      this.typing = setTimeout(() => {
        if (!this.agent || this.text.value === this.shown) return;
        try { mna.parse(this.text.value); } catch { return; }
        this.put(this.text.value);
      }, 300);
    }

    take(text) {
      this.text.value = text;
      this.touched = true;
      if (this.agent && this.put(text)) this.start();
    }

    // ---- time

    /** Work out the rest of the episodes, a few milliseconds at a time. */
    compute() {
      clearTimeout(this.working);
      const until = performance.now() + 8, open = () => this.episodes().find(episode => !episode.done);
      while (open() && performance.now() < until) open().advance();
      if (open()) this.working = setTimeout(() => this.compute(), 0);
      this.drawTime();
    }

    episodes() { return [this.episode, this.rival?.episode].filter(Boolean); }

    /** The last moment that was worked out, and whether all ends there. */
    last() { return Math.max(...this.episodes().map(({ frames }) => frames.length)) - 1; }
    ended(t) { return this.episodes().every(episode => episode.done) && t >= this.last(); }

    go(t, moving = false) {
      for (const episode of this.episodes()) episode.at(t);
      this.t = Math.max(0, Math.min(t, this.last()));
      if (this.ended(this.t)) this.pause();
      this.redraw(moving);
    }

    /** The first moment of the episode for which something holds, or its last one. */
    find(holds) {
      for (let t = 0; ; t++) if (this.episode.at(t).done || holds(this.episode.at(t), t)) return t;
    }

    redraw(moving = false) {
      if (!this.episode) return;
      const { problem, frames } = this.episode, t = Math.min(this.t, frames.length - 1);
      this.board.draw(this.episode, t, moving);
      this.rival?.draw(this.t, moving);
      this.drawTime();
      if (this.reporting?.open) this.drawReport();
      const doubts = frames[t].done ? mna.warnings(problem, frames) : mna.unlikePractice(problem);
      this.warning.textContent = doubts.length ? `Take care: ${doubts.join("; ")}.` : "";
    }

    resized() {
      if (!this.episode || this.fit === this.root.clientWidth) return;
      this.fit = this.root.clientWidth;
      this.refit();
    }

    /** The worksheet is longest at the start: it keeps that height, so that nothing jumps. */
    refit() {
      if (!this.episode) return;
      const { t } = this;
      for (const board of [this.board, this.rival?.board]) board?.clear();
      for (this.t of [0, t]) this.redraw();
      this.compute();
    }

    drawTime() {
      const { t } = this, last = this.last();
      this.time.max = last;
      this.time.value = t;
      this.where.textContent = `${t} of ${last}`;
      this.time.setAttribute("aria-valuetext", `decision ${t} of ${last}`);
      this.backButton.setAttribute("aria-disabled", t === 0);
      this.resetButton.setAttribute("aria-disabled", t === 0 && !this.changed());
      this.stepButton.setAttribute("aria-disabled", this.ended(t));
    }

    changed() { return this.episode.frames.some(frame => frame.events.length); }

    pause() {
      clearInterval(this.timer);
      this.timer = null;
      this.playButton.textContent = "▶ Play";
    }

    start() {
      clearInterval(this.timer);
      if (this.ended(this.t)) this.go(0);
      this.timer = setInterval(() => this.go(this.t + 1, true), Number(this.speed.value));
      this.playButton.textContent = "❚❚ Pause";
    }

    /** Play plays what is typed. */
    toggle() {
      this.touched = true;
      if (!this.agent) return this.say(this.missing ?? "The agent is still being loaded; try again in a moment.");
      if (this.timer && this.text.value === this.shown) return this.pause();
      if (this.alone && this.episode?.done && this.changed()) this.put(this.text.value);
      if (this.current()) this.start();
    }

    step(by) {
      this.touched = true;
      if (!this.agent || !this.current()) return;
      this.pause();
      if (this.t + by >= 0 && !(by > 0 && this.ended(this.t))) this.go(this.t + by, by > 0);
    }

    reset() {
      if (this.agent && this.current()) this.put(this.shown);
    }

    /** Wipe what is stored; if nothing is yet, go to where something is. */
    wipe() {
      this.touched = true;
      if (!this.episode || this.board.wipe.getAttribute("aria-disabled") === "true") return;
      const t = this.find((frame, at) => at >= this.t && frame.state.memory.some(Boolean));
      if (this.episode.at(t).done) {
        this.board.need.textContent = "From here on it stores nothing: there is nothing to wipe.";
        return;
      }
      this.episode.wipe(t);
      this.go(t);
      this.compute();
      if (this.alone) this.start();
    }

    choose(choice) {
      this.pause();
      const t = Math.min(this.t, this.episode.frames.length - 1);
      this.episode.choose(t, choice);
      this.board.last = this.episode.frames[t];
      this.go(t + 1, true);
      this.compute();
    }

    pressed(event) {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by || event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea")) return;
      event.preventDefault();
      this.step(by);
    }

    // ---- agents

    async grow(key) {
      this.key = key;
      this.training?.draw(key);
      let agent;
      try {
        agent = await mna.load(key);
      } catch (error) {
        return this.say(error.message);
      }
      if (this.key !== key) return; // another one was asked for meanwhile
      this.agent = agent;
      const { t } = this;
      if (this.episode && this.put(this.shown)) this.go(t);
    }

    // ---- links

    link() {
      const values = { p: this.shown, t: this.t, a: this.key, ...(this.temperature && { w: this.temperature, s: this.seed }), ...(this.rival.who && { v: this.rival.who }) };
      const events = this.episode.frames.flatMap((frame, t) => frame.events.map(event => `${t}${event}`)).join(".");
      if (events) values.e = events;
      return `#${new URLSearchParams(values)}`;
    }

    async copyLink() {
      if (!this.episode) return;
      try {
        history.replaceState(null, "", this.link());
        await navigator.clipboard.writeText(location.href);
        this.share.textContent = "Link copied";
      } catch {
        this.share.textContent = "It is in the address bar";
      }
      setTimeout(() => { this.share.textContent = "Copy link"; }, 3000);
    }

    /** What somebody who can't see this page needs to know. */
    drawReport() {
      if (!this.reporting.open || !this.episode) return;
      const { frames } = this.episode, steps = frames.slice(0, this.t + 1).map((_, t) => `${t}. ${mna.told(this.episode, Math.min(t, frames.length - 1))}`);
      this.report.value = [`Problem: ${this.shown}`, `Agent: ${mna.agentName(this.key)}`, `Link: playground.html${this.link()}`,
        `Browser: ${navigator.userAgent}`, "What it did:", ...steps, "What I expected:"].join("\n");
    }

    async copyReport() {
      this.report.select();
      try {
        await navigator.clipboard.writeText(this.report.value);
        this.copied.textContent = "Copied";
      } catch {
        this.copied.textContent = "Selected: copy it with your keyboard";
      }
      setTimeout(() => { this.copied.textContent = "Copy the report"; }, 3000);
    }

    /** Start with what the address asks for, or with the board's own problem. */
    async restore() {
      const values = new URLSearchParams(this.full ? location.hash.slice(1) : ""), text = values.get("p");
      if (!agents.length) {
        this.missing = "This copy of the book was built without an agent: train one with make book, and open the page again.";
        return this.say(this.missing);
      }
      const known = agents.some(({ key }) => key === values.get("a"));
      if (this.full) this.asked(values);
      await this.grow(known ? values.get("a") : this.key);
      if (!this.agent) return;
      if (text !== null) this.text.value = text;
      if (text === null || !this.put(text)) {
        const why = this.error.textContent;
        this.put(this.given);
        if (text !== null) this.say(`${why} (the address asks for it; the board shows ${this.given})`);
      }
      this.replay(values, text);
      if (values.has("a") && !known) this.say("This copy of the book has no agent of the name in the address; it shows the one below.");
      this.root.dataset.ready = Math.round(performance.now());
      if ("autoplay" in this.root.dataset && !calm()) this.whenSeen();
    }

    /** Temperature and second agent, from an address. */
    asked(values) {
      const number = (name, form, otherwise) => (form.test(values.get(name) ?? "") ? Number(values.get(name)) : otherwise);
      this.warm(Math.min(number("w", /^\d(\.\d)?$/, 0), WARMEST), number("s", /^[1-9]\d{0,5}$/, 1));
      this.rival.take(this.rival.knows(values.get("v")) ? values.get("v") : "").catch(error => this.say(error.message));
    }

    /** What was done to an episode, and how far it went, from an address. */
    replay(values, text) {
      if (text === null || this.shown !== text) return;
      const events = (values.get("e") ?? "").split(".").slice(0, 100).map(e => /^(\d{1,4})(w|c(\d{1,3}))$/.exec(e)).filter(Boolean);
      for (const [, t, what, choice] of events) {
        if (this.episode.at(Number(t)) !== this.episode.frames[Number(t)]) continue;
        if (what === "w") this.episode.wipe(Number(t));
        else this.episode.choose(Number(t), Number(choice));
      }
      const t = /^\d{1,4}$/.test(values.get("t") ?? "") ? Number(values.get("t")) : 0;
      this.go(t);
      this.compute();
    }

    /** Plays over and over while it is seen, until somebody touches it. */
    whenSeen() {
      this.board.said.setAttribute("aria-live", "off");
      let seen = false;
      new IntersectionObserver(([entry]) => { seen = entry.isIntersecting; }).observe(this.root);
      const timer = setInterval(() => {
        if (this.touched) {
          this.board.said.setAttribute("aria-live", "polite");
          clearInterval(timer);
        } else if (seen && !this.timer) this.start();
      }, 2500);
    }
  }

  document.documentElement.classList.add("mna-live");
  for (const root of document.querySelectorAll("[data-problem]")) root.player = new Player(root);
  addEventListener("hashchange", () => {
    if (!new URLSearchParams(location.hash.slice(1)).has("p")) return;
    for (const root of document.querySelectorAll("[data-problem][data-full]")) root.player.restore();
  });
  mna.Player = Player;
  mna.chips = [...EXAMPLES, ...HARD];
})(globalThis.mna);
