"""Takes out what would make the held-out part easier than unseen data: duplicates, questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from experiments.finetune.data.asked_questions import documents_with_questions
from experiments.finetune.data.documents import Document
from experiments.finetune.data.near import nearly_same, shingles_of
from experiments.finetune.data.splitting import bare_text, held_out_keys, signs_of
from experiments.finetune.recipe import Recipe


@dataclass(frozen=True)
class Removed:
    """A document that was left out.

    Attributes:
        place: where it was read.
        why: `exact duplicate`, `near duplicate`, `question` or `too long`.
        of: the place of the other one, or the question; empty for `too long`.
    """

    place: str
    why: str
    of: str


@dataclass
class Cleaned:
    """Both parts, and what was left out.

    Attributes:
        train: documents to train on.
        held_out: documents to hold out.
        names: of each document by its place: the first one with the same prompt.
        removed: what was left out.
    """

    train: list[Document]
    held_out: list[Document]
    names: dict[str, str]
    removed: list[Removed] = field(default_factory=list)

    def count(self, why: str) -> int:
        """How many were left out for a reason."""
        return sum(one.why == why for one in self.removed)


def clean(documents: Sequence[Document], recipe: Recipe) -> Cleaned:
    """Leave out repeats and questions, split, and leave out of training what is nearly held out.

    Raises:
        ValueError: fewer than two different documents or prompts are left.
        HerdError: a file of questions has a mistake.
    """
    kept, removed = _without_repeats(documents)
    asked = documents_with_questions(kept)
    removed += [Removed(place, "question", name) for place, name in asked.items()]
    kept = [document for document in kept if document.place not in asked]
    keys = {one.place: bare_text(one.prompt) for one in kept}
    out = held_out_keys(list(keys.values()), recipe.held_out, recipe.seed)
    train = [one for one in kept if keys[one.place] not in out]
    held_out = [one for one in kept if keys[one.place] in out]
    near = _nearly_held_out(train, held_out)
    first: dict[str, str] = {}
    for document in kept:
        first.setdefault(keys[document.place], document.place)
    return Cleaned(
        train=[one for one in train if one.place not in near],
        held_out=held_out,
        names={one.place: first[keys[one.place]] for one in kept},
        removed=[*removed, *near.values()],
    )


def _nearly_held_out(train: Sequence[Document], held_out: Sequence[Document]) -> dict[str, Removed]:
    """Documents to train on whose prompt, or text, is nearly one that is held out."""
    sides = [
        [shingles_of(bare_text(one.prompt), signs_of(one.prompt)) for one in part]
        for part in (train, held_out)
    ]
    return {
        train[at].place: Removed(train[at].place, "near duplicate", held_out[of].place)
        for at, of in nearly_same(sides[0], sides[1]).items()
    }


def _without_repeats(documents: Sequence[Document]) -> tuple[list[Document], list[Removed]]:
    """The documents without those whose words and signs are the same as of an earlier one."""
    first: dict[tuple[str, str, str], str] = {}
    kept, removed = [], []
    for document in documents:
        whole = document.whole
        words = (bare_text(document.prompt), bare_text(whole), signs_of(whole))
        if words in first:
            removed.append(Removed(document.place, "exact duplicate", first[words]))
        else:
            first[words] = document.place
            kept.append(document)
    return kept, removed
