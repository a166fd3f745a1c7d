"""The fine-tuned models of this machine, each read from its folder when it is asked for.

A folder that cannot be used is named where its model is asked for. Nothing else minds it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import HerdError
from core.foreign import is_file_name
from core.record import open_regular, read_record, why
from models.formats.huggingface.reader import WEIGHTS
from models.tuned import MERGED_FOLDER, TUNED_FILE, TunedRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.shape import ModelShape

_PADDED = re.compile(r"-kv\d{1,4}")
_REMEDY = "Remove the folder, or train the model again with `fab finetune`."


def tuned_names(folder: Path) -> tuple[str, ...]:
    """Names of all folders that have the record of a fine-tuned model, usable or not, sorted."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:
        return ()  # nothing was fine-tuned here
    return tuple(
        name for name in names if is_file_name(name) and os.path.lexists(folder / name / TUNED_FILE)
    )


def has_tuned(folder: Path, name: str) -> bool:
    """Whether there is something of a fine-tuned model of that name, usable or not."""
    return is_file_name(name) and os.path.lexists(folder / name)


def read_tuned(folder: Path, name: str) -> TunedRecord:
    """Read the record of a fine-tuned model; `why_not_offered` says whether it can be used.

    Args:
        folder: of all fine-tuned models.
        name: of one.

    Raises:
        HerdError: there is none, it is damaged, of another model or behind a link.
    """
    own = folder / name
    doing = f"Reading the fine-tuned model {name}"
    try:
        mode = os.lstat(own).st_mode
        found = os.lstat(own / TUNED_FILE) if stat.S_ISDIR(mode) else None
    except FileNotFoundError:
        raise HerdError(
            f"{doing}: {own} has no {TUNED_FILE}, so its training has not come to its end. Go on "
            "with `fab finetune` and its recipe."
        ) from None
    except OSError as error:
        raise HerdError(f"{doing}: {own} cannot be read: {why(error)}. {_REMEDY}") from None
    if found is None:
        what = "a link" if stat.S_ISLNK(mode) else "not a folder"
        raise HerdError(
            f"{doing}: {own} is {what}. A fine-tuned model is read only from a real folder: "
            "put the folder itself there."
        )
    return _read(own, (found.st_ino, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=256)
def _read(own: Path, _stamp: tuple[int, int, int]) -> TunedRecord:
    """Read a record once for as long as its file stays the same."""
    doing = f"Reading the fine-tuned model {own.name}"
    record = read_record(own, TUNED_FILE, TunedRecord, doing, _REMEDY)
    if record is None:
        raise HerdError(f"{doing}: {own / TUNED_FILE} is gone. {_REMEDY}")
    if record.name != own.name:
        raise HerdError(
            f"{doing}: {own / TUNED_FILE} is the record of {record.name}, a model of another name. "
            f"Call the folder {record.name}."
        )
    return record


def require_recorded(folder: Path, record: TunedRecord) -> None:
    """See that a model's directory holds what was recorded: no other file is read as the model's.

    Args:
        folder: its Hugging Face directory.
        record: of the model.

    Raises:
        HerdError: a file is missing, a link, or another one.
    """
    doing = f"Reading the fine-tuned model {record.name}"
    for name, sha256 in record.files.items():
        try:
            with os.fdopen(open_regular(folder / name), "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise HerdError(f"{doing}: {folder / name}: {why(error)}. {_REMEDY}") from None
        if found != sha256:
            raise HerdError(
                f"{doing}: {folder / name} is not the file that was recorded: its sha256 is "
                f"{found[:12]}…, but {TUNED_FILE} says {sha256[:12]}…. {_REMEDY}"
            )
    there = {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}
    stray = sorted(there - record.files.keys())
    if stray:
        raise HerdError(
            f"{doing}: {folder / stray[0]} is not in its record, but might be read with the model. "
            "Remove it."
        )


def why_not_offered(record: TunedRecord, base: ModelShape) -> str | None:
    """Say why a fine-tuned model cannot be used as a model; None if it can.

    Args:
        record: of the model.
        base: the shape of its base in the catalogue.
    """
    name, parentage = record.name, record.parentage
    if parentage.method.startswith("petals-"):
        return (
            f"{name} is a set of prompts for {parentage.base} in Petals, and no complete model: "
            f"ask for the model {parentage.base} with `adapter: {name}`"
        )
    if record.shape != base:
        return f"its shape is not that of {parentage.base}, its base"
    if WEIGHTS not in record.files:
        return f"its record names no {MERGED_FOLDER}/{WEIGHTS}"
    if record.sameness is None:
        return "its merged weights were not compared with its base and adapter"
    if record.sameness.faults:
        return f"its forms are not the same: {' '.join(record.sameness.faults)}"
    return None


def why_not_a_name(name: str, taken: Mapping[str, str]) -> str | None:
    """Say why a fine-tuned model cannot have a name; None if it can.

    Args:
        name: of the model.
        taken: folder names of the models of the catalogue to their names. Files on nodes and in the
            cache are in folders that are called so.
    """
    if name in taken:
        return f"the catalogue has the model {taken[name]} already, whose files are called so"
    if name.startswith("synthetic-"):
        return "the files of synthetic models are called so"
    if _PADDED.fullmatch(name[name.rfind("-kv") :]):
        return "the files of models with added heads end so"
    return None
