"""Checkpoints: what a training continues from after a kill.

checkpoints/step-00000040/
    tensors.safetensors   what is trained, its moments, the random states
    state.json            `SavedState`
    seal.json             `Seal`: the hashes of both

A checkpoint is written under another name, made durable and renamed, so a kill leaves a whole one
or none. What a disk or a person does to it later is found by the hashes. It holds no code: neither
file is one that Python would execute, as its pickles are.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from core.durable import land_instead, remove_folder, sync, write_file, writing
from core.foreign import Count
from core.record import (
    LARGEST_RECORD_BYTES,
    Number,
    Positive,
    Record,
    UnfitError,
    open_regular,
    parse_record,
    read_file,
    why,
)
from experiments.finetune.training.random_states import PYTHON_STATE
from models.tuned import CurvePoint, Sha256

KEPT = 2
"""Newest checkpoints that stay."""
TENSORS, STATE, SEAL = "tensors.safetensors", "state.json", "seal.json"
_NAME = re.compile(r"step-([0-9]{8})")
_HEADER_BYTES = 1 << 22
"""More than the header of the tensors takes."""
_SEAL_BYTES = 4096
_CHUNK_BYTES = 1 << 20


class SavedState(Record):
    """What a checkpoint says in addition to its tensors.

    Attributes:
        training: hash of the recipe, the data and the base: whose checkpoint it is.
        step: optimiser steps done; the order of the data follows from the seed, so this is the
            position in the data, too.
        seconds: of computing so far.
        curve: so far.
        loss: sum of losses since the last point of the curve, in nats.
        counted: tokens with a loss since then.
        read: tokens since then.
        since_s: seconds since then.
    """

    training: Sha256
    step: Count
    seconds: Positive
    curve: Annotated[tuple[CurvePoint, ...], Field(max_length=100_000)]
    loss: Number
    counted: Count
    read: Count
    since_s: Positive


class Seal(Record):
    """Which bytes a whole checkpoint has."""

    tensors: Sha256
    state: Sha256


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: holds them.
        training: hash of the recipe, the data and the base.
        say: hears which checkpoint is passed over, and why.
    """

    def __init__(self, folder: Path, training: str, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._training = training
        self._say = say
        self._newest: list[str] = []

    def write(self, tensors: Mapping[str, Any], state: SavedState) -> None:
        """Keep a state, and delete all but the newest two.

        Raises:
            HerdError: the disk is full or refuses; the checkpoints before are whole.
        """
        name = f"step-{state.step:08d}"
        target, temporary = self._folder / name, self._folder / f".tmp-{name}"
        kept = "The checkpoints before this one are whole."
        with writing("a checkpoint", self._folder, kept=kept):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                remove_folder(temporary)
                temporary.mkdir()
                _fill(temporary, tensors, state)
                # One that is there could not be used.
                land_instead(temporary, target, of_any=True)
            finally:
                remove_folder(temporary)
            self._newest = [*self._newest, name][-KEPT:]
            for old in self._others():
                remove_folder(old)

    def newest(self, wanted: Mapping[str, Any]) -> tuple[dict[str, Any], SavedState] | None:
        """The newest checkpoint that is whole and of this training; None if there is none.

        Args:
            wanted: a tensor by each name that it must have, of the same shape and type.
        """
        names = [path.name for path in _entries(self._folder) if _NAME.fullmatch(path.name)]
        for name in sorted(names, reverse=True):
            try:
                found = _read(self._folder / name, self._training, wanted)
            except OSError as error:
                self._pass_over(name, why(error))
            except UnfitError as error:
                self._pass_over(name, str(error))
            else:
                self._newest = [name]
                return found
        return None

    def _pass_over(self, name: str, reason: str) -> None:
        self._say(f"The checkpoint {self._folder / name} is passed over: {reason}.")

    def _others(self) -> Iterator[Path]:
        for path in _entries(self._folder):
            if path.name not in self._newest and _NAME.fullmatch(path.name.removeprefix(".tmp-")):
                yield path


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _fill(folder: Path, tensors: Mapping[str, Any], state: SavedState) -> None:
    save_tensors(tensors, folder / TENSORS)
    text = state.model_dump_json().encode()
    write_file(folder / STATE, text)
    seal = Seal(tensors=_hash_of(folder / TENSORS), state=hashlib.sha256(text).hexdigest())
    write_file(folder / SEAL, seal.model_dump_json().encode())


def save_tensors(tensors: Mapping[str, Any], path: Path) -> None:
    """Write tensors as safetensors, durably.

    Raises:
        OSError: the disk is full or refuses.
    """
    safetensors = importlib.import_module("safetensors.torch")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        safetensors.save_file(plain, path, metadata={"format": "pt"})
    except importlib.import_module("safetensors").SafetensorError as error:
        is_full = f"os error {errno.ENOSPC}" in str(error)
        raise OSError(errno.ENOSPC if is_full else errno.EIO, str(error)) from None
    sync(path)


def _read(
    folder: Path, training: str, wanted: Mapping[str, Any]
) -> tuple[dict[str, Any], SavedState]:
    """A checkpoint, whose every byte is as it was written.

    Raises:
        OSError: a file is missing, a link, too large or cannot be read.
        UnfitError: it is damaged, or of another training.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise UnfitError("it is a link or no folder")
    seal = parse_record(read_file(folder, SEAL, _SEAL_BYTES), Seal)
    text = read_file(folder, STATE, LARGEST_RECORD_BYTES)
    if hashlib.sha256(text).hexdigest() != seal.state:
        raise UnfitError(f"{STATE} is not as it was written (its hash is another)")
    state = parse_record(text, SavedState)
    if state.training != training:
        raise UnfitError("it is of another recipe, other data or another base")
    if folder.name != f"step-{state.step:08d}":
        raise UnfitError(f"it is of step {state.step}")
    most = sum(tensor.numel() * tensor.element_size() for tensor in wanted.values())
    if _hash_of(folder / TENSORS, most + _HEADER_BYTES) != seal.tensors:
        raise UnfitError(f"{TENSORS} is not as it was written (its hash is another)")
    return _tensors(folder / TENSORS, wanted), state


def _tensors(path: Path, wanted: Mapping[str, Any]) -> dict[str, Any]:
    try:
        found: dict[str, Any] = importlib.import_module("safetensors.torch").load_file(path)
    except importlib.import_module("safetensors").SafetensorError as error:
        raise UnfitError(f"{TENSORS} cannot be read: {error}") from None
    if different := sorted(wanted.keys() ^ found.keys()):
        raise UnfitError(f"it has other tensors than this training: {different[0]}")
    for name, tensor in wanted.items():
        there = found[name]
        if there.shape != tensor.shape or there.dtype != tensor.dtype:
            raise UnfitError(
                f"{name} is {there.dtype} {tuple(there.shape)}, but this training has "
                f"{tensor.dtype} {tuple(tensor.shape)}"
            )
        if name != PYTHON_STATE and not bool(there.isfinite().all()):
            raise UnfitError(f"{name} has values that are not numbers")
    return found


def _hash_of(path: Path, most_bytes: int | None = None) -> str:
    descriptor = open_regular(path)
    try:
        size_bytes = os.fstat(descriptor).st_size
        if most_bytes is not None and size_bytes > most_bytes:
            raise OSError(None, f"{path.name} has {size_bytes} bytes, at most {most_bytes} belong")
        digest = hashlib.sha256()
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()
    finally:
        os.close(descriptor)
