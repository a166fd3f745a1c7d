"use strict";
(async () => {
  const at = (id) => document.getElementById(id);
  const make = (tag, properties, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const alarm = (why) => {
    at("alarm").textContent = why;
    at("alarm").hidden = !why;
  };
  const ask = async (path, options) => {
    const reply = await fetch(path, options).catch(() => {
      throw new Error("`fab rate` does not answer. Start it again and open the page that it names.");
    });
    const content = await reply.json();
    if (!reply.ok) throw new Error(content.error);
    return content;
  };

  let sheet;
  try {
    sheet = await ask("sheet");
  } catch (error) {
    alarm(error.message);
    return;
  }
  const { rubrics, questions, scores } = sheet;
  const all = questions.flatMap((question) => question.answers);
  const isWhole = (answer) => rubrics.every(({ name }) => answer.scores[name]);
  let place = Math.max(0, questions.findIndex(({ answers }) => !answers.every(isWhole)));

  const showProgress = () => {
    const judged = all.filter((answer) => answer.stored && isWhole(answer)).length;
    at("progress").textContent = judged === all.length
      ? `All ${all.length} answers judged. Thank you: you can close this page.`
      : `${judged} of ${all.length} answers judged`;
    document.title = `${judged}/${all.length} · Rating answers`;
  };

  const showState = (answer) => {
    const left = rubrics.filter(({ name }) => !answer.scores[name]).length;
    answer.card.classList.toggle("whole", answer.stored && !left);
    answer.status.textContent = answer.stored
      ? (left ? `${left} to go` : "stored")
      : "not stored yet";
    showProgress();
  };

  // One request at a time, in order: what was judged last is what is stored last.
  let queue = Promise.resolve();
  const store = (question, answer) => {
    answer.stored = false;
    showState(answer);
    const body = JSON.stringify({
      question: question.id, label: answer.label, scores: answer.scores, comment: answer.comment,
    });
    answer.sent = body;
    queue = queue.then(async () => {
      try {
        await ask("judgement", {
          method: "POST", headers: { "Content-Type": "application/json" }, body,
        });
        if (answer.sent !== body) return;
        answer.stored = true;
        alarm("");
      } catch (error) {
        alarm(`Answer ${answer.label} is not stored: ${error.message}`);
      }
      showState(answer);
    });
  };

  const rows = () => [...document.querySelectorAll("fieldset")];
  const focusRow = (row) => {
    const button = row && (row.querySelector("input:checked") || row.querySelector("input"));
    if (button) button.focus();
  };
  const currentRow = () => document.activeElement.closest("fieldset");
  const focusEmpty = () => {
    const empty = rows().find((row) => !row.querySelector("input:checked"));
    focusRow(empty || rows()[0]);
  };

  const rowOf = (question, answer, { name, about }) => {
    const row = make("fieldset", { title: about }, make("legend", { textContent: name }));
    for (const score of scores) {
      const button = make("input", {
        type: "radio", name: `${answer.label} ${name}`, value: score,
        checked: answer.scores[name] === score,
      });
      button.addEventListener("change", () => {
        answer.scores[name] = score;
        store(question, answer);
      });
      row.append(make("label", {}, button, String(score)));
    }
    return row;
  };

  const cardOf = (question, answer) => {
    answer.status = make("span", { className: "status" });
    const comment = make("textarea", {
      rows: 1, maxLength: 4000, placeholder: "Comment (optional)", value: answer.comment,
      ariaLabel: `Comment on answer ${answer.label}`,
    });
    comment.addEventListener("change", () => {
      answer.comment = comment.value;
      store(question, answer);
    });
    answer.card = make("section", { className: "answer", ariaLabel: `Answer ${answer.label}` },
      make("h2", {}, answer.label, answer.status),
      make("div", { className: "text", dir: "auto", tabIndex: 0, textContent: answer.text }),
      ...rubrics.map((rubric) => rowOf(question, answer, rubric)),
      comment);
    showState(answer);
    return answer.card;
  };

  const show = (number) => {
    if (number < 0 || number >= questions.length) return;
    document.activeElement.blur(); // a comment being written is stored by that
    place = number;
    const question = questions[place];
    at("question").textContent = question.text;
    at("hint").textContent = question.rubric ? `What to look at: ${question.rubric}` : "";
    at("hint").hidden = !question.rubric;
    at("place").textContent = `Question ${place + 1} of ${questions.length}`;
    at("previous").disabled = place === 0;
    at("next").disabled = place === questions.length - 1;
    at("answers").replaceChildren(...question.answers.map((answer) => cardOf(question, answer)));
    scrollTo(0, 0);
    focusEmpty();
  };

  const press = (score) => {
    const row = currentRow();
    const button = row && row.querySelector(`input[value="${score}"]`);
    if (!button) return;
    button.click();
    const all = rows();
    focusRow(all[Math.min(all.indexOf(row) + 1, all.length - 1)]);
  };
  const move = (step) => {
    const row = currentRow();
    if (row) focusRow(rows()[rows().indexOf(row) + step]);
    else focusEmpty();
  };
  const keys = {
    ArrowUp: () => move(-1), KeyK: () => move(-1), ArrowDown: () => move(1), KeyJ: () => move(1),
    KeyN: () => show(place + 1), KeyP: () => show(place - 1),
    KeyC: () => {
      const card = document.activeElement.closest(".answer");
      if (card) card.querySelector("textarea").focus();
    },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (event.target.tagName === "TEXTAREA") {
      if (event.code === "Escape") focusRow(event.target.closest(".answer").querySelector("fieldset"));
      return;
    }
    if (event.target.className === "text" && event.code.startsWith("Arrow")) return;
    // By the key's place: a Korean keyboard in Hangul mode has no letter N.
    const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
    const act = digit ? () => press(digit[1]) : keys[event.code];
    if (!act) return;
    event.preventDefault();
    act();
  });
  addEventListener("beforeunload", (event) => {
    if (all.some((answer) => answer.stored === false)) event.preventDefault();
  });

  at("rubrics").append(...rubrics.flatMap(({ name, about }) => [
    make("dt", { textContent: name }), make("dd", { textContent: about }),
  ]));
  at("previous").addEventListener("click", () => show(place - 1));
  at("next").addEventListener("click", () => show(place + 1));
  at("help").open = all.every((answer) => !Object.keys(answer.scores).length);
  for (const answer of all) answer.stored = true;
  show(place);
})();
