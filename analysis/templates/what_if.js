// The panel "What if": native controls, and the prediction of the cost model for what they say.
// Traffic, sizes and limits come with the page (analysis/what_if/payload.py).
(() => {
  const TERMS = ["memory", "computing", "latency", "transfer", "waiting"];

  // Three significant digits and never an exponent, as everywhere in a report.
  const number = (value) => {
    if (!Number.isFinite(value)) return "\u2013";
    if (value === 0) return "0";
    const rounded = Math.abs(Number(value.toPrecision(3)));
    const text = value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(rounded))));
    return text.replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, "\u202f");
  };
  const filled = (template, places) =>
    template.replace(/\{(\w+)\}/g, (_, name) => String(places[name]));
  const made = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const panel = (place, data) => {
    const words = data.words;
    const id = (name) => `${place.id}-${name}`;
    const form = made("form", {"aria-label": words.form});
    form.addEventListener("submit", (event) => event.preventDefault());

    const select = (name) => {
      const field = made("select", {id: id(name)});
      const label = made("label", {for: id(name)}, words[name]);
      form.append(made("div", {class: "field"}, label, field));
      field.addEventListener("change", () => update(name));
      return field;
    };
    const offer = (field, texts) => {
      const before = field.value;
      field.replaceChildren(...texts.map((text, index) => {
        const option = made("option", {value: text}, text);
        option.dataset.index = index;
        return option;
      }));
      if (texts.includes(before)) field.value = before;
      field.parentElement.hidden = texts.length === 0;
      field.disabled = texts.length < 2;
    };
    const chosen = (field) => Number(field.selectedOptions[0]?.dataset.index ?? -1);

    // A number field, and a slider for the same number, on a scale of equal steps or of factors.
    const amount = (name, byFactors) => {
      const field = made("input", {type: "number", id: id(name), step: "any"});
      const slider = made("input", {type: "range", id: id(`${name}-slider`), step: "any"});
      const label = made("label", {for: id(name)}, words[name]);
      const there = byFactors ? Math.log10 : (value) => value;
      const back = byFactors ? (value) => Number((10 ** value).toPrecision(3)) : Math.round;
      slider.setAttribute("aria-label", `${words[name]}, ${words.slider}`);
      form.append(made("div", {class: "field"}, label, made("div", {class: "pair"}, field, slider)));
      const show = () => {
        slider.value = there(Number(field.value));
        slider.setAttribute("aria-valuetext", field.value);
      };
      field.addEventListener("input", () => { if (field.validity.valid) show(); update(name); });
      slider.addEventListener("input", () => {
        field.value = back(Number(slider.value));
        slider.setAttribute("aria-valuetext", field.value);
        update(name);
      });
      return {
        field,
        limits: (least, most) => {
          [field.min, field.max] = [least, most];
          [slider.min, slider.max] = [there(least), there(most)];
          slider.step = byFactors ? (there(most) - there(least)) / 100 : 1;
        },
        set: (value) => { field.value = value; show(); },
        get: () => Number(field.value),
        label: (text) => { label.textContent = text; },
        use: (is) => { field.disabled = slider.disabled = !is; },
        isRight: () => field.value !== "" && field.validity.valid,
      };
    };

    const fit = select("fit"), model = select("model"), weights = select("weights");
    const nodes = amount("nodes", false), link = amount("link", true);
    const latency = amount("latency", true), memory = amount("memory", true);
    const processor = amount("processor", true), root = select("root");
    const reset = made("button", {type: "button"}, words.reset);
    reset.addEventListener("click", () => { start(); answer(); });
    form.append(made("div", {class: "field"}, reset));
    const factors = [latency, memory, processor];
    const result = made("div", {class: "result", role: "status", "aria-live": "polite"});
    place.append(form, result);

    const fitted = () => data.fits[chosen(fit)];
    const current = () => fitted().models?.[chosen(model)];

    // As in the fastest measured cell of the model.
    const start = () => {
      const own = current();
      if (!own) return;
      const counts = own.choices.map((choice) => choice[1]);
      offer(weights, [...new Set(own.choices.map((choice) => choice[0]))]);
      offer(root, fitted().roots);
      nodes.limits(Math.min(...counts), Math.max(...counts));
      nodes.set(own.best[0]);
      weights.value = own.best[1];
      if (fitted().roots.length) root.selectedIndex = own.root;
      const isRate = own.link !== null;
      link.label(isRate ? words.link : words.link_times);
      link.limits(...(isRate ? data.ranges.rate : data.ranges.times));
      link.set(isRate ? own.link : 1);
      for (const factor of factors) factor.set(1);
    };
    const update = (name) => {
      if (name === "fit") offer(model, (fitted().models ?? []).map((one) => one.name));
      if (name === "fit" || name === "model") start();
      answer();
    };

    const paragraph = (text, kind = "") => made("p", kind ? {class: kind} : {}, text);
    const refuse = (text, kind) => {
      result.className = "result refused";
      result.replaceChildren(paragraph(text, kind));
    };
    const wrong = () => {
      const named = {nodes, link, latency, memory, processor};
      const [name, bad] = Object.entries(named).find(([, one]) => !one.isRight()) ?? [];
      const places = bad && {name: words[name], least: bad.field.min, most: bad.field.max};
      return bad && filled(words.wrong, places);
    };
    const changes = (own, choice) => {
      const found = {
        memory_gain: memory.get(), compute_gain: processor.get(), latency_gain: 1 / latency.get(),
      };
      const usual = choice.features.link_mbit;
      found.link_mbit = own.link !== null ? link.get() : usual * link.get();
      const pace = choice.paces[chosen(root)];
      if (pace) [found.root_slowness, found.lag] = pace;
      return found;
    };
    const beyond = (own, choice) => {
      const told = choice.beyond.map((at) => data.texts[at]);
      const rate = link.get(), measured = fitted().links;
      if (choice.nodes > 1 && own.link === null && rate !== 1) told.push(data.no_link);
      if (choice.nodes > 1 && own.link !== null
          && !(measured[0] / 1.05 <= rate && rate <= measured[1] * 1.05)) {
        told.push(filled(data.other_link, {asked: number(rate)}));
      }
      if (choice.nodes > 1 && latency.get() !== 1) told.push(data.other_latency);
      if ([memory, processor].some((factor) => factor.get() !== 1)) told.push(data.faster);
      return told;
    };
    const choiceOf = (own, kind, count, root) => {
      const found = own.choices.find((choice) => choice[0] === kind && choice[1] === count);
      if (!found) return null;
      const [, , values, reason, outside, paces, doublings, computing] = found;
      const varying = fitted().features.map((name, at) => [name, values[at]]);
      const features = {...fitted().same, ...Object.fromEntries(varying)};
      const computed = computing[paces.length ? root : 0];
      return {kind, nodes: count, features, reason, beyond: outside, paces, doublings, computed};
    };
    const fastest = (own) => {
      const choice = choiceOf(own, own.best[1], own.best[0], own.root);
      const found = own.link === null ? {} : {link_mbit: own.link};
      const pace = choice.paces[own.root];
      if (pace) [found.root_slowness, found.lag] = pace;
      return {choice, changes: found};
    };

    const answer = () => {
      const usable = Boolean(fitted().models);
      for (const one of [nodes, link, ...factors]) one.use(usable);
      if (!usable) return refuse(`${words.refused} ${fitted().refused.join(" ")}`, "caveat");
      const own = current();
      const mistake = wrong();
      if (mistake) return refuse(mistake, "caveat");
      const choice = choiceOf(own, weights.value, nodes.get(), chosen(root));
      if (!choice) return refuse(filled(words.no_choice, {nodes: nodes.field.value}), "caveat");
      if (choice.reason >= 0) {
        return refuse(`${words.cannot} ${data.texts[choice.reason]}.`, "caveat");
      }
      const of = {...fitted(), tails: data.tails, hardly: data.hardly};
      const found = herdPredict(of, choice, changes(own, choice), fastest(own));
      return show(own, found, beyond(own, choice));
    };

    const show = (own, found, outside) => {
      const ends = [found.total, found.low, found.high];
      const [ms, low, high] = ends.map(number);
      const [rate, fast, slow] = ends.map((end) => number(1000 / end));
      const {middle, low: slowest, high: quickest} = found.times;
      const [times, least, most] = [middle, slowest, quickest].map(number);
      const places = {ms, low, high, rate, fast, slow, times, least, most,
        best: number(own.best[2]), best_nodes: own.best[3], best_weights: own.best[1]};
      const sum = TERMS.reduce((all, term) => all + found.terms[term], 0);
      const bar = made("div", {class: "bar terms", "aria-hidden": "true"});
      const legend = made("ul", {class: "terms"});
      for (const term of TERMS) {
        const part = made("span", {class: term});
        part.style.flexGrow = found.terms[term] / sum;
        if (found.terms[term] > 0) bar.append(part);
        legend.append(made("li", {class: term}, made("i", {"aria-hidden": "true"}),
          filled(words.term, {term: words.terms[term], ms: number(found.terms[term])})));
      }
      const strong = made("p", {class: "time"},
        made("strong", {}, filled(words.time, places)), ` ${filled(words.interval, places)}`);
      const parts = [strong, paragraph(filled(words.rate, places)),
        paragraph(filled(words.against, places))];
      if (found.alone !== null) {
        const {middle: alone, low: from, high: to} = found.alone;
        const told = {alone: number(alone), from: number(from), to: number(to)};
        parts.push(paragraph(filled(words.held, told), "note"));
      }
      parts.push(bar, legend);
      if (outside.length) {
        parts.push(paragraph(`${filled(words.extrapolation, {why: outside.join("; ")})} ` +
          fitted().measured, "caveat"));
      } else parts.push(paragraph(fitted().measured, "note"));
      if (fitted().left_out) parts.push(paragraph(fitted().left_out, "note"));
      result.className = outside.length ? "result extrapolated" : "result";
      result.replaceChildren(...parts);
    };

    offer(fit, data.fits.map((one) => one.name));
    latency.limits(...data.ranges.latency);
    memory.limits(...data.ranges.gain);
    processor.limits(...data.ranges.gain);
    place.hidden = false;
    update("fit");
  };

  for (const place of document.querySelectorAll(".what-if")) {
    panel(place, JSON.parse(place.nextElementSibling.textContent));
  }
})();
