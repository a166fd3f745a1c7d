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

// Milliseconds of one draw: `total` with what the formula leaves, its terms, and its computing.
function herdDrawn(fit, draw, features, doublings) {
  const coefficients = {};
  for (const name of Object.keys(fit.coefficients)) {
    coefficients[name] = fit.coefficients[name][draw];
  }
  const terms = herdTerms(coefficients, features);
  const computing = terms.memory + terms.computing;
  const total = (computing * fit.noise.computing[draw]
    + (terms.latency + terms.transfer + terms.waiting) * fit.noise.syncing[draw])
    * Math.exp(doublings * fit.noise.strays[draw]);
  return {terms, computing, total};
}

// Milliseconds of a token, a draw each: by the formula `alone`, and `totals` that are no less than
// what the engine computes (analysis/model/bound.py).
// `doublings` of the choice: how far its nodes are beyond the measured ones. `computed`: a measured
// cell's share of computing and the features in which that cell differs, or nothing.
// `changes` replaces features of the choice, such as link_mbit or memory_gain.
function herdTotals(fit, choice, changes) {
  const features = Object.assign({}, choice.features, changes || {});
  const [share, differ] = choice.computed || [];
  const pace = {root_slowness: features.root_slowness, lag: features.lag};
  const measured = Object.assign({}, choice.features, pace, differ || {});
  const found = {alone: [], totals: [], terms: {}};
  for (let draw = 0; draw < fit.noise.computing.length; draw += 1) {
    const here = herdDrawn(fit, draw, features, choice.doublings);
    let least = 0;
    if (share !== undefined) {
      const there = herdDrawn(fit, draw, measured, 0);
      least = there.total * share * here.computing / there.computing;
    }
    for (const [name, value] of Object.entries(here.terms)) {
      (found.terms[name] = found.terms[name] || []).push(value);
    }
    found.alone.push(here.total);
    found.totals.push(Math.max(here.total, least));
  }
  return found;
}

// Median and ends of the interval.
function herdEnds(values, tails) {
  const [middle, low, high] = [0.5, ...tails].map((share) => herdQuantile(values, share));
  return {middle, low, high};
}

// Median, ends of the interval, and the median of each term, in milliseconds of a token; `alone`,
// by the formula alone where some of that is less than the engine computes, else null.
// `before`, a choice with its changes: how many times as fast as that, as `times`.
function herdPredict(fit, choice, changes, before) {
  const found = herdTotals(fit, choice, changes);
  const ends = herdEnds(found.totals, fit.tails);
  const alone = herdEnds(found.alone, fit.tails);
  const isHeld = Object.keys(ends).some((name) => ends[name] > alone[name] * (1 + fit.hardly));
  const terms = {};
  for (const name of Object.keys(found.terms)) terms[name] = herdQuantile(found.terms[name], 0.5);
  const old = before && herdTotals(fit, before.choice, before.changes).totals;
  return {
    total: ends.middle,
    low: ends.low,
    high: ends.high,
    terms,
    alone: isHeld ? alone : null,
    times: old ? herdEnds(old.map((ms, draw) => ms / found.totals[draw]), fit.tails) : null,
  };
}
