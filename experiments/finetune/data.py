"""The data as training reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from core.errors import HerdError
from core.record import why
from models.formats.huggingface.vocabulary_reader import read_vocabulary
from models.tuned import Split

if TYPE_CHECKING:
    from experiments.finetune.recipe import Recipe
    from models.catalogue import ModelSpec


@dataclass(frozen=True)
class Example:
    """What a model reads in one go.

    Attributes:
        document: which document or prompt it is of.
        text: what the model sees, as text.
        ids: the same as tokens.
        trained: of each token, whether the loss counts it as a target.
    """

    document: str
    text: str
    ids: tuple[int, ...]
    trained: tuple[bool, ...]


@dataclass(frozen=True)
class Prepared:
    """Both parts of the data.

    Attributes:
        train: what training reads.
        held_out: what it does not.
        split: counts, and what was left out.
        data_sha256: of every example of both parts, in order.
    """

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    split: Split
    data_sha256: str


def prepare_data(
    recipe: Recipe,
    base_folder: Path,
    spec: ModelSpec,
    folder: Path,
    say: Callable[[str], None],
) -> Prepared:
    """Read plain text or JSONL, and split it by document.

    Raises:
        HerdError: the file cannot be read, or a part of it would be empty.
    """
    tokenizer = Tokenizer.from_file(str(base_folder / "tokenizer.json"))
    begin = read_vocabulary(base_folder)
    bos = (begin.bos_id,) if spec.adds_bos and begin.bos_id is not None else ()
    examples: tuple[list[Example], list[Example]] = ([], [])
    names: tuple[set[str], set[str]] = (set(), set())
    for text in dict.fromkeys(_documents(recipe)):
        name = hashlib.sha256(f"{recipe.seed} {text}".encode()).hexdigest()
        side = int(int(name[:8], 16) / 2**32 < recipe.held_out)
        names[side].add(name)
        ids = (*bos, *tokenizer.encode(text, add_special_tokens=False).ids, *begin.eos_ids[:1])
        for at in range(0, len(ids) - 1, recipe.sequence):
            window = ids[at : at + recipe.sequence]
            examples[side].append(Example(name, text, window, (True,) * len(window)))
    if not all(examples):
        raise HerdError(f"{recipe.file}: {recipe.data} has too few documents to hold some out.")
    told = json.dumps([[e.ids for e in part] for part in examples]).encode()
    split = Split(
        train_documents=len(names[0]),
        held_out_documents=len(names[1]),
        train_tokens=sum(len(e.ids) for e in examples[0]),
        held_out_tokens=sum(len(e.ids) for e in examples[1]),
    )
    say(f"{len(names[0])} documents to train on, {len(names[1])} held out")
    folder.mkdir(parents=True, exist_ok=True)
    return Prepared(tuple(examples[0]), tuple(examples[1]), split, hashlib.sha256(told).hexdigest())


def _documents(recipe: Recipe) -> Iterator[str]:
    try:
        text = Path(recipe.data).read_text()
    except OSError as error:
        raise HerdError(f"{recipe.file}: {recipe.data}: {why(error)}.") from None
    for part in text.split("\n\n"):
        if words := " ".join(part.split()):
            yield words
