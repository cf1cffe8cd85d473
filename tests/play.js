// The playground's agent outside of a browser: reads JSON from standard input, writes JSON.
// {sources, texts}: what `parse` makes of each text. With {shapes, weights, config} too: how the agent plays each,
// with a lesion where one is named.
"use strict";
const { readFileSync } = require("fs");
const { sources, texts, shapes, weights, config, lesion } = JSON.parse(readFileSync(0, "utf8"));
require(`${sources}/language.js`);
require(`${sources}/agent.js`);
const { mna } = globalThis;

function read(text) {
  try {
    const p = mna.parse(text);
    return [p.kinds, p.values.map(String), p.tasks.map(String), String(p.answer), p.unknown, mna.heldOut(p.kinds), mna.slotsNeeded(p)];
  } catch (error) {
    if (!(error instanceof mna.MNAError)) throw error;
    return error.message;
  }
}

function play(agent, text) {
  const problem = mna.parse(text), episode = new mna.Episode(agent, problem, { lesion }), { state, correct } = episode.finish();
  const frames = episode.frames.slice(0, -1);
  return {
    choices: frames.map(frame => frame.choice), logits: frames.map(frame => frame.logits), values: frames.map(frame => frame.value),
    calls: state.calls.map(({ tool, operands, result }) => `${tool}(${operands.join(", ")}) -> ${result ?? "failed"}`),
    given: state.given && String(state.given), correct, confidence: mna.confidence(episode.frames), unlike: mna.unlikePractice(problem) };
}

if (shapes) {
  const agent = new mna.Agent(mna.unpack(shapes, weights), config);
  console.log(JSON.stringify(texts.map(text => play(agent, text))));
} else console.log(JSON.stringify(texts.map(read)));
