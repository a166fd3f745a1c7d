"""Keeps the prepared data with the model, and notices when it is not the same any more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from core.durable import land, remove_folder, write_file, writing
from core.errors import HerdError
from core.record import Record, Words, read_record
from experiments.finetune.data.examples import Example
from experiments.finetune.data.hygiene import Removed
from experiments.finetune.recipe import Recipe
from experiments.finetune.started import again
from models.tuned import Sha256, Split

DATA = "data"
TRAIN_FILE, HELD_OUT_FILE, SPLIT_FILE = "train.jsonl", "held_out.jsonl", "split.json"
_MOST_NAMED = 10_000


class RemovedRecord(Record):
    """A document that was left out, and why (`hygiene.Removed`)."""

    place: Words
    why: Words
    of: Words


class SplitRecord(Record):
    """The split of the data, next to its two parts.

    Attributes:
        data_sha256: of both parts, in order.
        train_sha256: of `train.jsonl`.
        held_out_sha256: of `held_out.jsonl`.
        files: name to sha256 of what was read.
        counts: what is in the parts, and how much was left out.
        removed: the first documents that were left out.
    """

    data_sha256: Sha256
    train_sha256: Sha256
    held_out_sha256: Sha256
    files: Mapping[Words, Sha256]
    counts: Split
    removed: Annotated[tuple[RemovedRecord, ...], Field(max_length=_MOST_NAMED)] = ()


def store(
    folder: Path,
    recipe: Recipe,
    parts: tuple[Sequence[Example], Sequence[Example]],
    files: Mapping[str, str],
    counts: Split,
    removed: Sequence[Removed],
) -> str:
    """Write both parts and the split, or find that they are there already.

    Args:
        folder: of the model.
        recipe: for messages.
        parts: to train on, and held out.
        files: name to sha256 of what was read.
        counts: of both parts.
        removed: what was left out.

    Returns:
        The sha256 of the data.

    Raises:
        HerdError: other data is there, or the disk is full or refuses.
    """
    train, held_out = (_lines(part) for part in parts)
    record = SplitRecord(
        data_sha256=hashlib.sha256(train + held_out).hexdigest(),
        train_sha256=hashlib.sha256(train).hexdigest(),
        held_out_sha256=hashlib.sha256(held_out).hexdigest(),
        files=files,
        counts=counts,
        removed=tuple(
            RemovedRecord(place=r.place[:4000], why=r.why, of=r.of[:4000])
            for r in removed[:_MOST_NAMED]
        ),
    )
    target = folder / DATA
    if target.exists():
        _require_same(target, record, recipe)
        return record.data_sha256
    temporary = folder / f".tmp-{DATA}"
    with writing("the prepared data", target):
        folder.mkdir(parents=True, exist_ok=True)
        remove_folder(temporary)
        temporary.mkdir()
        write_file(temporary / TRAIN_FILE, train)
        write_file(temporary / HELD_OUT_FILE, held_out)
        write_file(temporary / SPLIT_FILE, record.model_dump_json(indent=2).encode())
        land(temporary, target)
    return record.data_sha256


def _require_same(target: Path, now: SplitRecord, recipe: Recipe) -> None:
    remedy = f"Begin again with `{again(recipe, '--new')}`, which keeps what is there aside."
    before = read_record(target, SPLIT_FILE, SplitRecord, f"Reading {target}", remedy)
    if before is None:
        raise HerdError(f"{target} has no {SPLIT_FILE}. {remedy}")
    if before.data_sha256 != now.data_sha256:
        changed = sorted(
            name
            for name in {*before.files, *now.files}
            if before.files.get(name) != now.files.get(name)
        )
        what = (
            f"{', '.join(changed[:5])} changed" if changed else "what becomes of the data changed"
        )
        raise HerdError(
            f"The data of {recipe.name} is not what its training was begun with: {what}. Change "
            f"it back, or give the recipe another `name`. {remedy}"
        )
    for name, expected in (
        (TRAIN_FILE, before.train_sha256),
        (HELD_OUT_FILE, before.held_out_sha256),
    ):
        path = target / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            raise HerdError(f"{path} is missing or not as it was written. {remedy}")


def _lines(examples: Sequence[Example]) -> bytes:
    rows = (
        {
            "document": example.document,
            "text": example.text,
            "ids": example.ids,
            "trained": [int(one) for one in example.trained],
        }
        for example in examples
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
