// The agents' weights, each in a script of its own beside this one, loaded when it is first asked for.
"use strict";
(function (mna) {
  const { agents } = mna.data, folder = new URL(".", document.currentScript.src).href, waiting = {};

  /** Called by the scripts of weights. */
  mna.arrived = (key, shapes, text) => {
    waiting[key]?.resolve(new mna.Agent(mna.unpack(shapes, text), agents.find(agent => agent.key === key).config));
  };

  /** A promise of the agent with a key. MNAError if its script can't be loaded. */
  mna.load = key => {
    if (waiting[key]) return waiting[key].promise;
    const wait = waiting[key] = {};
    wait.promise = new Promise((resolve, reject) => Object.assign(wait, { resolve, reject }));
    const script = mna.h("script", { src: `${folder}${key}.js`, onerror: () => {
      delete waiting[key];
      wait.reject(new mna.MNAError(`The agent's weights, ${key}.js, can't be loaded. This page needs the files beside it: open it where it was built.`));
    } });
    document.head.append(script);
    return wait.promise;
  };

  /** What an agent is called. */
  mna.agentName = key => (key === "shipped" ? "the agent that ships"
    : `this book's run after ${agents.find(agent => agent.key === key).decisions.toLocaleString("en")} decisions`);
})(globalThis.mna);
