"""Takes out what would make the held-out part easier than unseen data: duplicates, questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from experiments.finetune.documents import Document
from experiments.finetune.recipe import Recipe
from experiments.finetune.splitting import bare_text, held_out_keys


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
    """Leave out duplicates, and split.

    Raises:
        ValueError: fewer than two different documents or prompts are left.
    """
    kept, removed = _without_repeats(documents)
    keys = {document.place: bare_text(document.prompt) for document in kept}
    out = held_out_keys(list(keys.values()), recipe.held_out, recipe.seed)
    first: dict[str, str] = {}
    for document in kept:
        first.setdefault(keys[document.place], document.place)
    return Cleaned(
        train=[one for one in kept if keys[one.place] not in out],
        held_out=[one for one in kept if keys[one.place] in out],
        names={place: first[key] for place, key in keys.items()},
        removed=removed,
    )


def _without_repeats(documents: Sequence[Document]) -> tuple[list[Document], list[Removed]]:
    """The documents without those whose words are the same as of an earlier one."""
    first: dict[tuple[str, str], str] = {}
    kept, removed = [], []
    for document in documents:
        words = (bare_text(document.prompt), bare_text(document.whole))
        if words in first:
            removed.append(Removed(document.place, "exact duplicate", first[words]))
        else:
            first[words] = document.place
            kept.append(document)
    return kept, removed
