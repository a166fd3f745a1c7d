"""Finds the questions of `experiments/questions/` in data: they are asked before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from collect.questions import load_questions
from core.paths import PROJECT_FOLDER
from experiments.finetune.data.documents import Document
from experiments.finetune.data.near import nearly_same, shingles_of
from experiments.finetune.data.splitting import bare_text, signs_of

QUESTIONS = PROJECT_FOLDER / "experiments" / "questions"
_SHORTEST = 12
"""Characters of a question that is looked for inside a text; a shorter one must be all of it."""


def documents_with_questions(
    documents: Sequence[Document], folder: Path = QUESTIONS
) -> dict[str, str]:
    """The documents that hold a question, or whose prompt is nearly one.

    Args:
        documents: to look at.
        folder: of files of questions.

    Returns:
        Place of a document to the question, as `keyed.yml: sum`.

    Raises:
        HerdError: a file of questions has a mistake.
    """
    questions = {
        f"{path.name}: {question.id}": question.text
        for path in sorted(folder.glob("*.yml"))
        for question in load_questions(path)
    }
    asked = {name: bare_text(text) for name, text in questions.items()}
    names = list(asked)
    near = nearly_same(
        [shingles_of(bare_text(one.prompt), signs_of(one.prompt)) for one in documents],
        [shingles_of(bare_text(text), signs_of(text)) for text in questions.values()],
    )
    found = {documents[place].place: names[of] for place, of in near.items()}
    for document in documents:
        words, signs = f" {bare_text(document.whole)} ", signs_of(document.whole)
        inside = (
            name
            for name, text in asked.items()
            if len(text) >= _SHORTEST
            and f" {text} " in words
            and signs_of(questions[name]) in signs
        )
        name = next(inside, None)
        if name is not None:
            found.setdefault(document.place, name)
    return found
