"""The data as training reads it: read, cleaned, split, written out in tokens and stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import HerdError
from experiments.finetune.data.chat_forms import Form, form_of, is_named
from experiments.finetune.data.documents import Document, Faults
from experiments.finetune.data.examples import Example, ExampleWriter, Written, require_no_signs
from experiments.finetune.data.hygiene import Cleaned, Removed, clean
from experiments.finetune.data.reading import ReadData, read_data
from experiments.finetune.data.stored import store
from experiments.finetune.data.tokens import BaseTokens
from models.tuned import Split

if TYPE_CHECKING:
    from experiments.finetune.recipe import Recipe
    from models.catalogue import ModelSpec

__all__ = ["Example", "Looked", "Prepared", "look_at_data", "prepare_data"]


@dataclass(frozen=True)
class Prepared:
    """Both parts of the data.

    Attributes:
        train: what training reads.
        held_out: what it does not.
        split: counts, and what was left out.
        data_sha256: of every example of both parts, in order.
        licence: of the data; None for files of the user.
    """

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    split: Split
    data_sha256: str
    licence: str | None = None

    def licence_with(self, base: str) -> str:
        """What the publishers of the base and of the data allow; files of the user say nothing."""
        data = "not stated, files of yours" if self.licence is None else self.licence
        return f"{base} (base); {data} (data)"


@dataclass(frozen=True)
class Looked:
    """The data before it is stored.

    Attributes:
        train: what training will read.
        held_out: what it will not.
        split: counts.
        removed: what was left out, and why.
        read: the documents as they were read.
    """

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    split: Split
    removed: tuple[Removed, ...]
    read: ReadData


def prepare_data(
    recipe: Recipe, base_folder: Path, spec: ModelSpec, folder: Path, say: Callable[[str], None]
) -> Prepared:
    """Read, clean, split and tokenise the data of a recipe, and keep it with the model.

    Args:
        recipe: names the data.
        base_folder: Hugging Face directory of the base.
        spec: the base.
        folder: of the tuned model; the data is stored in its `data/`.
        say: hears what is done and what was left out.

    Raises:
        HerdError: the data cannot be read, an entry is damaged, nothing is left of it, or the
            training was begun with other data.
    """
    looked = look_at_data(recipe, base_folder, spec, say)
    parts = (looked.train, looked.held_out)
    sha256 = store(folder, recipe, parts, looked.read.files, looked.split, looked.removed)
    return Prepared(looked.train, looked.held_out, looked.split, sha256, looked.read.licence)


def look_at_data(
    recipe: Recipe, base_folder: Path, spec: ModelSpec, say: Callable[[str], None]
) -> Looked:
    """As `prepare_data`, without writing anything."""
    read = read_data(recipe, say)
    tokens = BaseTokens(base_folder)
    require_no_signs(read.documents, tokens.signs, spec.name)
    form = _form(recipe, read.documents, tokens, spec)
    try:
        cleaned = clean(read.documents, recipe)
    except ValueError:
        raise HerdError(
            f"{recipe.file}: `data` ({recipe.data}) has fewer than two different documents or "
            "prompts, so none can be held out. Give more, each in its own file or with two "
            "blank lines between them."
        ) from None
    writer = ExampleWriter(tokens, form, recipe.sequence)
    train = _write(writer, cleaned.train, cleaned, "training")
    held_out = _write(writer, cleaned.held_out, cleaned, "the held-out part")
    too_long = [Removed(place, "too long", "") for place in (*train.too_long, *held_out.too_long)]
    looked = Looked(
        train=tuple(train.examples),
        held_out=tuple(held_out.examples),
        split=_counts(train, held_out, cleaned),
        removed=(*cleaned.removed, *too_long),
        read=read,
    )
    say(summary(looked, recipe.sequence))
    return looked


def summary(looked: Looked, sequence: int) -> str:
    """What is in both parts, and what was left out or cut, in sentences."""
    split = looked.split
    left_out = {
        "exact duplicates": split.exact_duplicates,
        "near duplicates": split.near_duplicates,
        "with a question of experiments/questions/": split.question_overlaps,
        "too long to have room for an answer": _too_long(looked),
    }
    told = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
    return (
        f"Data: {split.train_documents} documents to train on ({len(looked.train)} examples, "
        f"{split.train_tokens} tokens with a loss), {split.held_out_documents} held out "
        f"({len(looked.held_out)} examples, {split.held_out_tokens} tokens). "
        f"Left out: {told or 'nothing'}. {_cut(looked, sequence)}"
    )


def _too_long(looked: Looked) -> int:
    return sum(one.why == "too long" for one in looked.removed)


def _cut(looked: Looked, sequence: int) -> str:
    count = looked.split.cut - _too_long(looked)
    if not count:
        return "Nothing is cut."
    if any(document.turns for document in looked.read.documents):
        return (
            f"Cut: {count} conversations are longer than {sequence} tokens (`sequence`), and the "
            "model does not see what comes after these, nor where the answer ends."
        )
    return (
        f"Cut: {count} documents are longer than {sequence} tokens (`sequence`), and make several "
        "examples each."
    )


def _form(
    recipe: Recipe, documents: Sequence[Document], tokens: BaseTokens, spec: ModelSpec
) -> Form | None:
    if not any(document.turns for document in documents):
        if is_named(recipe.chat_template):
            raise HerdError(
                f"{recipe.file}: `chat_template` says nothing about plain documents. Delete it."
            )
        return None
    form = form_of(recipe.chat_template, tokens, spec.name, recipe.file)
    if is_named(recipe.chat_template):
        faults = Faults()
        for document in documents:
            if len([turn for turn in document.turns if turn.role == "user"]) > 1:
                faults.add_at(
                    document.place,
                    f"engines write out a conversation of several questions differently in the "
                    f"form {recipe.chat_template}: give one question and one answer",
                )
        faults.require_none()
    return form


def _write(
    writer: ExampleWriter, documents: list[Document], cleaned: Cleaned, part: str
) -> Written:
    written = writer.write(documents, [cleaned.names[one.place] for one in documents])
    if not written.examples:
        raise HerdError(
            f"Nothing is left for {part}: every prompt fills the recipe's `sequence` alone, or "
            "all documents were left out. Raise `sequence`, or give more data."
        )
    return written


def _counts(train: Written, held_out: Written, cleaned: Cleaned) -> Split:
    def tokens(written: Written) -> int:
        return sum(sum(example.trained) for example in written.examples)

    return Split(
        train_documents=len({example.document for example in train.examples}),
        held_out_documents=len({example.document for example in held_out.examples}),
        train_tokens=tokens(train),
        held_out_tokens=tokens(held_out),
        exact_duplicates=cleaned.count("exact duplicate"),
        near_duplicates=cleaned.count("near duplicate"),
        question_overlaps=cleaned.count("question"),
        cut=train.cut + held_out.cut,
    )
