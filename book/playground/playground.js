// Every element with the attribute data-problem becomes a live board. data-full: the whole playground; data-autoplay: it
// begins by itself when it is seen, unless the reader prefers reduced motion.
"use strict";
(function (mna) {
  const { h, calm } = mna, { agents, judged } = mna.data;
  const folder = new URL(".", document.currentScript.src).href;
  const count = n => n.toLocaleString("en");
  const EXAMPLES = ["4+9", "(3+4)*(9-1)", "|3-|4-9||*2", "7-2x=1", "3(x+2)-4(x-1)=2x+7", "15%*80+1/4"];
  const HARD = ["-(-(3-5))*-2", "12/x=3", "((2+3)*(4+5))*((6-1)*(7-2))", "999999999999*999999999999-1", "|1-|2-|3-|4-|5-6|||||",
    "x+x+x+x+x+x=42", "((1+2)*(3+4)-(5+6)*(7+8))*((9-1)*(8-2)-(7+3)*(6-4))", "1-2+3-4+5-6+7-8+9-10+11-12+13-14+15-16+17-18+19-20"];

  // ---- agents, loaded when they are first asked for

  const loaded = {}, waiting = {};

  /** Called by the scripts of weights. */
  mna.arrived = (key, shapes, text) => {
    loaded[key] = new mna.Agent(mna.unpack(shapes, text), agents.find(agent => agent.key === key).config);
    waiting[key]?.resolve(loaded[key]);
  };

  function load(key) {
    if (waiting[key]) return waiting[key].promise;
    const wait = waiting[key] = {};
    wait.promise = new Promise((resolve, reject) => Object.assign(wait, { resolve, reject }));
    const script = h("script", { src: `${folder}${key}.js`, onerror: () => {
      delete waiting[key];
      wait.reject(new mna.MNAError(`The agent's weights, ${key}.js, can't be loaded. This page needs the files beside it: open it where it was built.`));
    } });
    document.head.append(script);
    return wait.promise;
  }

  class Player {
    constructor(root) {
      const given = root.dataset.problem;
      Object.assign(this, { root, full: "full" in root.dataset, given, t: 0, timer: null, episode: null, key: agents.at(-1)?.key });
      root.classList.add("mna-board");
      root.classList.toggle("mna-full", this.full);
      root.setAttribute("role", "group");
      root.setAttribute("aria-label", this.full ? "Playground" : "Live board");
      this.board = new mna.Board(this.grid = h("div", { class: "mna-grid" }), {
        small: !this.full, choose: choice => this.choose(choice), wipe: () => this.wipe() });
      this.board.root = root;
      root.replaceChildren(...this.parts(given), this.grid, ...(this.full ? this.extras() : []));
      root.addEventListener("keydown", event => this.pressed(event));
      root.addEventListener("pointerdown", () => { this.touched = true; });
      this.fit = 0;
      new ResizeObserver(() => this.resized()).observe(root);
      this.restore();
    }

    // ---- what stands around the board

    parts(given) {
      const id = `mna-text-${Player.made = (Player.made ?? 0) + 1}`, button = (text, act, more = {}) => h("button", { type: "button", onclick: act, ...more }, text);
      this.text = h("input", { id, value: given, autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: 20000,
        enterkeyhint: "go", "aria-describedby": `${id}-error`, oninput: () => this.typed() });
      this.playButton = h("button", { type: "submit", class: "mna-play" }, "▶ Play");
      this.error = h("p", { id: `${id}-error`, class: "mna-error", role: "alert" });
      this.warning = h("p", { class: "mna-warning" });
      this.backButton = button("◀ Back", () => this.step(-1));
      this.stepButton = button("Step ▶", () => this.step(1));
      this.resetButton = button("Reset", () => this.reset());
      this.time = h("input", { type: "range", min: 0, value: 0, "aria-label": "Decision", oninput: () => { this.pause(); this.go(Number(this.time.value)); } });
      this.where = h("span", { class: "mna-at", "aria-hidden": "true" });
      this.speed = h("select", { "aria-label": "Speed", onchange: () => this.timer && this.start() },
        ...[["slow", 1300], ["normal", 600], ["fast", 150]].map(([name, ms]) => h("option", { value: ms, selected: name === "normal" }, name)));
      this.share = button("Copy link", () => this.copyLink());
      const form = h("form", { class: "mna-problem", onsubmit: event => { event.preventDefault(); this.toggle(); } },
        h("label", { for: id }, this.full ? "Problem" : "Type a problem"), this.text, this.playButton);
      const controls = h("div", { class: "mna-controls", role: "group", "aria-label": "Playback" }, this.backButton, this.stepButton, this.resetButton,
        this.full && this.share, this.full && this.time, this.full && this.where, this.full && h("label", { class: "mna-speed" }, h("span", {}, "Speed "), this.speed));
      if (!this.full) return [form, this.error, controls, this.warning];
      const chips = (title, texts) => h("div", { class: "mna-chips", role: "group", "aria-label": title }, h("span", {}, title),
        h("div", {}, ...texts.map(text => button(text.length > 24 ? `${text.slice(0, 21)}…` : text, () => this.take(text), { title: text }))));
      return [form, this.error, chips("Examples", EXAMPLES), chips("Try to break it", HARD), controls, this.warning];
    }

    extras() {
      const run = agents.filter(({ key }) => key !== "shipped"), shipped = agents.find(({ key }) => key === "shipped");
      this.seen = h("input", { type: "checkbox", onchange: () => { this.board.seen = this.seen.checked; this.board.clear(); this.redraw(); } });
      const seen = h("label", { class: "mna-check" }, this.seen, " Show what the network sees of the worksheet");
      this.age = h("input", { type: "range", min: 0, max: Math.max(0, run.length - 1), value: Math.max(0, run.length - 1), "aria-label": "Trained for",
        oninput: () => this.grow(run[Number(this.age.value)].key) });
      this.shipped = h("button", { type: "button", onclick: () => this.grow("shipped") }, "The agent that ships");
      this.aged = h("output", {});
      this.shares = h("ul", { class: "mna-shares", "aria-label": "Right answers on held-out problems" });
      this.run = run;
      return [seen, h("div", { class: "mna-training" }, h("h3", { class: "mna-title" }, "Which agent"),
        h("div", { class: "mna-controls" }, run.length > 1 && h("label", {}, "This book's run, after"), run.length > 1 && this.age, this.aged,
          shipped && run.length > 0 && this.shipped), this.shares, this.about = h("p", { class: "mna-note" }))];
    }

    drawAgent() {
      const agent = agents.find(({ key }) => key === this.key);
      if (!this.full || !agent) return;
      const ours = this.run.indexOf(agent);
      if (ours >= 0) this.age.value = ours;
      this.aged.textContent = `${count(agent.decisions)} decisions`;
      this.age.setAttribute("aria-valuetext", this.aged.textContent);
      this.age.classList.toggle("is-other", ours < 0);
      this.shipped.setAttribute("aria-pressed", ours < 0);
      this.shares.replaceChildren(...Object.entries(agent.shares).map(([name, share]) => {
        const bar = h("i");
        bar.style.width = `${100 * share}%`;
        return h("li", {}, h("span", {}, name), h("span", { class: "mna-bar", "aria-hidden": "true" }, bar), h("span", { class: "mna-p" }, mna.percent(share)));
      }));
      this.about.textContent = `${ours < 0 ? "The agent that ships with the package." : "An agent of the training run that this book shows."} `
        + `Bars: right answers to ${judged} problems of each level, all of structures that training never draws.`;
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
      this.episode = new mna.Episode(this.agent, problem);
      const needs = mna.slotsNeeded(problem), unseen = mna.heldOut(problem.kinds) ? " Its structure is held out: training never draws it." : "";
      this.board.need.textContent = `This problem needs ${needs} slot${needs === 1 ? "" : "s"} in the best order.${unseen}`;
      this.board.clear();
      this.t = 0;
      this.redraw();
      this.compute();
      return true;
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

    /** Work out the rest of the episode, a few milliseconds at a time. */
    compute() {
      clearTimeout(this.working);
      const { episode } = this, until = performance.now() + 8;
      while (!episode.done && performance.now() < until) episode.advance();
      if (!episode.done) this.working = setTimeout(() => this.compute(), 0);
      this.drawTime();
    }

    go(t, moving = false) {
      const { frames } = this.episode, frame = this.episode.at(t);
      this.t = Math.max(0, Math.min(t, frames.length - 1));
      if (frame.done && t >= frames.length - 1) this.pause();
      this.redraw(moving);
    }

    redraw(moving = false) {
      if (!this.episode) return;
      this.board.draw(this.episode, this.t, moving);
      this.drawTime();
      const frame = this.episode.frames[this.t], { problem, frames } = this.episode;
      const doubts = frame.done ? mna.warnings(problem, frames) : mna.unlikePractice(problem);
      this.warning.textContent = doubts.length ? `Take care: ${doubts.join("; ")}.` : "";
    }

    /** The worksheet is longest at the start: it keeps that height, so that nothing jumps. */
    resized() {
      if (!this.episode || this.fit === this.root.clientWidth) return;
      this.fit = this.root.clientWidth;
      this.board.clear();
      this.board.draw(this.episode, 0);
      this.redraw();
    }

    drawTime() {
      const { episode, t } = this, last = episode.frames.length - 1;
      this.time.max = last;
      this.time.value = t;
      this.where.textContent = `${t} of ${last}`;
      this.time.setAttribute("aria-valuetext", `decision ${t} of ${last}`);
      this.backButton.setAttribute("aria-disabled", t === 0);
      this.resetButton.setAttribute("aria-disabled", t === 0 && !this.changed());
      this.stepButton.setAttribute("aria-disabled", episode.done && t === last);
    }

    changed() { return this.episode.frames.some(frame => frame.events.length); }

    pause() {
      clearInterval(this.timer);
      this.timer = null;
      this.playButton.textContent = "▶ Play";
    }

    start() {
      clearInterval(this.timer);
      if (this.episode.at(this.t).done) this.go(0);
      this.timer = setInterval(() => this.go(this.t + 1, true), Number(this.speed.value));
      this.playButton.textContent = "❚❚ Pause";
    }

    /** Play plays what is typed. */
    toggle() {
      this.touched = true;
      if (!this.agent) return this.say(this.missing ?? "The agent is still being loaded; try again in a moment.");
      if (this.timer && this.text.value === this.shown) return this.pause();
      if (this.current()) this.start();
    }

    step(by) {
      this.touched = true;
      if (!this.agent || !this.current()) return;
      this.pause();
      if (this.t + by >= 0 && !(by > 0 && this.episode.frames[this.t].done)) this.go(this.t + by, by > 0);
    }

    reset() {
      if (this.agent && this.current()) this.put(this.shown);
    }

    wipe() {
      this.touched = true;
      if (!this.episode || this.board.wipe.getAttribute("aria-disabled") === "true") return;
      this.episode.wipe(this.t);
      this.redraw();
      this.compute();
    }

    choose(choice) {
      this.pause();
      this.episode.choose(this.t, choice);
      this.board.last = this.episode.frames[this.t];
      this.go(this.t + 1, true);
      this.compute();
    }

    pressed(event) {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by || event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select")) return;
      event.preventDefault();
      this.step(by);
    }

    // ---- agents

    async grow(key) {
      this.key = key;
      this.drawAgent();
      try {
        await load(key);
      } catch (error) {
        return this.say(error.message);
      }
      if (this.key !== key) return; // another one was asked for meanwhile
      this.agent = loaded[key];
      const { t } = this;
      if (this.episode && this.put(this.shown)) this.go(t);
    }

    // ---- links

    link() {
      const values = { p: this.shown, t: this.t, a: this.key };
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

    /** Start with what the address asks for, or with the board's own problem. */
    async restore() {
      const values = new URLSearchParams(this.full ? location.hash.slice(1) : ""), text = values.get("p");
      if (!agents.length) {
        this.missing = "This copy of the book was built without an agent: train one with make book, and open the page again.";
        return this.say(this.missing);
      }
      const known = agents.some(({ key }) => key === values.get("a"));
      await this.grow(known ? values.get("a") : this.key);
      if (!this.agent) return;
      if (text !== null) this.text.value = text;
      if (text === null || !this.put(text)) {
        const why = this.error.textContent;
        this.put(this.given);
        if (text !== null) this.say(`${why} (the address asks for it; the board shows ${this.given})`);
      }
      this.again(values, text);
      if (values.has("a") && !known) this.say("This copy of the book has no agent of the name in the address; it shows the one below.");
      this.root.dataset.ready = Math.round(performance.now());
      if ("autoplay" in this.root.dataset && !calm()) this.whenSeen();
    }

    /** What was done to an episode, and how far it went, from an address. */
    again(values, text) {
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

  for (const root of document.querySelectorAll("[data-problem]")) root.player = new Player(root);
  addEventListener("hashchange", () => {
    if (!new URLSearchParams(location.hash.slice(1)).has("p")) return;
    for (const root of document.querySelectorAll("[data-problem][data-full]")) root.player.restore();
  });
  mna.Player = Player;
  mna.chips = [...EXAMPLES, ...HARD];
})(globalThis.mna);
