"""Prompts that Petals trained: a tuned model of a method `petals-*`, as a client is given it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import HerdError
from core.record import read_file, why
from models import tuned
from models.fine_tuned import has_tuned, read_tuned

PROMPTS_FILE = "prompts.safetensors"
PROMPT_METHODS = {"petals-ptune": "ptune", "petals-deep-ptune": "deep_ptune"}
"""Method of a recipe to Petals' name for it."""
LARGEST_PROMPTS_BYTES = 1 << 20
PIECE_CHARACTERS = 120_000
"""Of an argument; a node takes some more."""


@dataclass(frozen=True, slots=True)
class TunedPrompts:
    """Trained prompts.

    Attributes:
        base: the model that they were trained on, as the catalogue calls it.
        count: positions before every text.
        content: the file's bytes.
    """

    base: str
    count: int
    content: bytes

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return hashlib.sha256(self.content).hexdigest()


def read_prompts(name: str) -> TunedPrompts:
    """Read a tuned model's prompts from this machine.

    Args:
        name: of the tuned model.

    Raises:
        HerdError: there is no such tuned model, its training has not ended, it is of another
            method, or its file is damaged.
    """
    if not has_tuned(tuned.TUNED_FOLDER, name):
        raise HerdError(f"no prompts {name} were trained on this machine.")
    doing, remedy = f"Reading the prompts {name}", "Train them again."
    record = read_tuned(tuned.TUNED_FOLDER, name)
    if record.parentage.method not in PROMPT_METHODS:
        raise HerdError(
            f"{name} was tuned by {record.parentage.method}, so it is a whole model: name it "
            "as the `model` of a cell."
        )
    content = _file(tuned.TUNED_FOLDER / name / "adapter" / PROMPTS_FILE, doing)
    if hashlib.sha256(content).hexdigest() != record.adapter.get(PROMPTS_FILE):
        raise HerdError(f"{doing}: {PROMPTS_FILE} is not as it was written. {remedy}")
    return TunedPrompts(record.parentage.base, record.prompts, content)


def pieces(content: bytes) -> Iterator[str]:
    """Bytes as base64, cut to what one argument of a program on a node may hold."""
    text = base64.b64encode(content).decode()
    for start in range(0, len(text), PIECE_CHARACTERS):
        yield text[start : start + PIECE_CHARACTERS]


def _file(path: Path, doing: str) -> bytes:
    try:
        return read_file(path.parent, path.name, LARGEST_PROMPTS_BYTES)
    except OSError as error:
        raise HerdError(f"{doing}: {path} cannot be read: {why(error)}.") from None
