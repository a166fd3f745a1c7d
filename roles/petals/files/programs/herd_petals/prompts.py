"""Trained prompts: positions before every text that no token has, and the way they travel.

A client keeps no files on a node. It gets safetensors as base64 on its command line, in pieces as
long as one argument may be, and prints them as base64 in its log. Tensors:

    prompts     (positions, width): comes before the embedded text
    deep        (positions, layers x width): added before each layer; absent for `ptune`
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PROMPTS, DEEP = "prompts", "deep"
METHODS = {False: "ptune", True: "deep_ptune"}
"""Whether there are values for each layer to Petals' name for it."""


@dataclass(frozen=True)
class Prompts:
    """Prompts that a model is to be read with.

    Attributes:
        method: `ptune` or `deep_ptune`.
        count: positions.
        tensors: their values by name; empty for prompts that are yet to be trained.
        sha256: of the file that they were read from; empty if they were not.
    """

    method: str
    count: int
    tensors: dict[str, Any]
    sha256: str = ""


class PromptsError(ValueError):
    """What was given as prompts is none, one sentence."""


def add_prompts_argument(parser: argparse.ArgumentParser) -> None:
    """The argument of every program that can read a model with trained prompts."""
    parser.add_argument("--adapter", action="append", default=[])


def joined(pieces: Sequence[str]) -> bytes:
    """The bytes that were given in pieces of base64.

    Raises:
        PromptsError: they are no base64.
    """
    try:
        return base64.b64decode("".join(pieces), validate=True)
    except binascii.Error as error:
        raise PromptsError(f"the prompts are torn ({error})") from None


def given_prompts(pieces: Sequence[str]) -> Prompts | None:
    """The prompts that a program was given; None if it was given none.

    Raises:
        PromptsError: they cannot be read.
    """
    return prompts_of(joined(pieces)) if pieces else None


def prompts_of(content: bytes) -> Prompts:
    """The prompts in the bytes of a file.

    Raises:
        PromptsError: it has none.
    """
    tensors = loaded(content)
    there = tensors.get(PROMPTS)
    if there is None or there.ndim != 2 or len(there) == 0:  # noqa: PLR2004 - a matrix
        raise PromptsError("the file of prompts has none")
    named = {name: tensor for name, tensor in tensors.items() if name in (PROMPTS, DEEP)}
    return Prompts(METHODS[DEEP in named], len(there), named, hashlib.sha256(content).hexdigest())


def loaded(content: bytes) -> dict[str, Any]:
    """The tensors in the bytes of a file.

    Raises:
        PromptsError: it is no safetensors.
    """
    from safetensors import SafetensorError  # noqa: PLC0415 - it reads PyTorch
    from safetensors.torch import load  # noqa: PLC0415

    try:
        return dict(load(content))
    except (SafetensorError, ValueError, KeyError) as error:
        raise PromptsError(f"the prompts cannot be read ({error})") from None


def packed(tensors: dict[str, Any]) -> str:
    """Tensors as base64 of safetensors."""
    from safetensors.torch import save  # noqa: PLC0415

    return base64.b64encode(save(tensors)).decode()
