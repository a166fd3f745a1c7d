"use strict";
(() => {
  // What a search found, in the words of its page.
  for (const field of document.querySelectorAll(".search")) {
    field.querySelector("input").addEventListener("input", () => {
      const told = field.querySelector("[role=status]");
      const [hits, all] = told.textContent.match(/\d+/g) ?? [];
      if (all) told.textContent = field.dataset.found.replace("{hits}", hits).replace("{all}", all);
    });
  }

  const group = document.getElementById("languages");
  if (!group) return;
  const root = document.documentElement;
  const texts = [...document.querySelectorAll("main")];
  const buttons = [...group.querySelectorAll("button")];

  const show = (code) => {
    root.lang = code;
    for (const text of texts) text.hidden = text.lang !== code;
    for (const button of buttons) button.setAttribute("aria-pressed", button.lang === code);
    const { title, theme, languages } = texts.find((text) => text.lang === code).dataset;
    document.title = title;
    document.querySelector("header .run").lastChild.data = ` ${title}`;
    group.setAttribute("aria-label", languages);
    const dark = document.getElementById("theme");
    dark.title = theme;
    dark.setAttribute("aria-label", theme);
  };
  const anchor = () => document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const place = () => {
    const text = anchor()?.closest("main");
    if (text?.hidden) {
      show(text.lang);
      anchor().scrollIntoView();
    }
  };

  // To the same section in the other language, if one is at the top of the screen.
  const change = (code) => {
    const shown = texts.find((text) => !text.hidden);
    const sections = [...shown.querySelectorAll("section")];
    const at = sections.findLastIndex((one) => one.getBoundingClientRect().top <= 1);
    show(code);
    const there = texts.find((text) => text.lang === code).querySelectorAll("section")[at];
    if (at > 0) there.scrollIntoView();
  };

  for (const button of buttons) button.addEventListener("click", () => change(button.lang));
  addEventListener("hashchange", place);
  group.hidden = false;
  const wanted = navigator.languages.map((tag) => tag.split("-")[0]);
  const first = wanted.find((code) => buttons.some((button) => button.lang === code));
  show(first ?? root.lang);
  place();
})();
