// The cost model of docs/cost-model.md, evaluated from the JSON of analysis/what_if/payload.py.
// It is the same sum as `terms_of` in analysis/model/cost.py; tests compare the two.
"use strict";

// Milliseconds of each term for one draw.
function herdTerms(coefficients, f) {
  const atOnce = f.shared > 0 ? Math.min(f.nodes, coefficients.capacity) : f.nodes;
  const slower = f.elsewhere > 0 ? coefficients.worker : 1;
  const reading = coefficients.memory * slower / f.memory_gain;
  const counting = coefficients.arithmetic * slower / f.compute_gain;
  const head = coefficients.head;
  const splitMemory = reading * f.split_mb / atOnce;
  const splitSum = counting * f.split_q4 / atOnce;
  const layers = coefficients.layer * f.layers / f.compute_gain;
  const pace = f.root_slowness;
  return {
    memory: pace * (splitMemory + reading * f.root_mb * head),
    computing: pace * (splitSum + counting * f.root_q4 * head + layers),
    latency: coefficients.latency * f.steps * (f.nodes / atOnce) / f.latency_gain + f.delay_ms,
    transfer: f.line_kbit / (f.link_mbit * coefficients.rate),
    waiting: f.others * (splitMemory + splitSum) * (f.lag + coefficients.waiting * pace),
  };
}

// The value below which a share of the values is, between neighbours by a straight line.
function herdQuantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

// Median, ends of the interval, and the median of each term, in milliseconds of a token.
// `doublings` of the choice: how far its nodes are beyond the measured ones.
// `changes` replaces features of the choice, such as link_mbit or memory_gain.
function herdPredict(fit, choice, changes) {
  const features = Object.assign({}, choice.features, changes || {});
  const names = Object.keys(fit.coefficients);
  const totals = [];
  const terms = {memory: [], computing: [], latency: [], transfer: [], waiting: []};
  for (let draw = 0; draw < fit.noise.computing.length; draw += 1) {
    const coefficients = {};
    for (const name of names) {
      coefficients[name] = fit.coefficients[name][draw];
    }
    const found = herdTerms(coefficients, features);
    for (const name of Object.keys(terms)) {
      terms[name].push(found[name]);
    }
    totals.push(
      ((found.memory + found.computing) * fit.noise.computing[draw]
        + (found.latency + found.transfer + found.waiting) * fit.noise.syncing[draw])
      * Math.exp(choice.doublings * fit.noise.strays[draw])
    );
  }
  const medians = {};
  for (const name of Object.keys(terms)) {
    medians[name] = herdQuantile(terms[name], 0.5);
  }
  return {
    total: herdQuantile(totals, 0.5),
    low: herdQuantile(totals, fit.tails[0]),
    high: herdQuantile(totals, fit.tails[1]),
    terms: medians,
  };
}
