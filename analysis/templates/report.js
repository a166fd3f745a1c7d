"use strict";
(() => {
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll(".printed")) folded.open = true;
  });

  for (const field of document.querySelectorAll(".search")) {
    const search = field.querySelector("input");
    search.addEventListener("input", () => {
      const wanted = search.value.trim().toLowerCase();
      const questions = [...field.nextElementSibling.querySelectorAll(":scope > details")];
      let hits = 0;
      for (const question of questions) {
        const holds = question.textContent.toLowerCase().includes(wanted);
        question.hidden = !holds;
        question.open = holds && wanted !== "";
        hits += holds;
      }
      const found = wanted && `${hits} of ${questions.length}`;
      field.querySelector("[role=status]").textContent = found;
    });
  }

  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/\s/g, ""));
    return Number.isNaN(number) ? text : number;
  };
  const order = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));

  // On the document, because a live page gets other tables.
  document.addEventListener("click", ({ target }) => {
    const heading = target.closest?.("table.sortable thead button")?.closest("th");
    if (!heading) return;
    const table = heading.closest("table");
    const headings = [...table.tHead.rows[0].cells];
    const down = heading.ariaSort === "ascending";
    headings.forEach((other) => { other.ariaSort = "none"; });
    heading.ariaSort = down ? "descending" : "ascending";
    const column = headings.indexOf(heading);
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => (down ? -1 : 1) * order(value(a, column), value(b, column)));
    table.tBodies[0].append(...rows);
  });
})();
