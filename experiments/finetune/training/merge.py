"""Merges what was trained into the base: base + adapter in float32, as a separate directory.

Only matrices change. The file keeps the base's header, so names, order and types are the base's,
and all other files are copied byte by byte: an export cannot have another chat template than the
base because of the merge. Tensors are written one at a time.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import safe_open

from core.durable import land_instead, remove_folder, sync, write_file, writing
from core.errors import HerdError
from core.record import read_file
from experiments.finetune.training.modelling import ADAPTER_CONFIG, ADAPTER_WEIGHTS, FULL_WEIGHTS
from models.build import VOCABULARY_ROLES
from models.formats.huggingface.config import CONFIG
from models.formats.huggingface.reader import WEIGHTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COPIED = (CONFIG, *(f"{role}.json" for role in VOCABULARY_ROLES))
_SMALL_FILE_BYTES = 1 << 28
_PREFIX = "base_model.model."
_KEPT = "The adapter and the checkpoints are whole."

Change = Callable[["NDArray[np.float32]"], "NDArray[np.float32] | None"]
"""A tensor of the base to that of the merged model; None if it does not fit."""


def merge(base_folder: Path, adapter_folder: Path, merged_folder: Path) -> None:
    """Write `merged_folder`, in place of what is there; the base is only read.

    Args:
        base_folder: the base, in float32.
        adapter_folder: what was trained, by LoRA or as whole tensors.
        merged_folder: appears whole or not at all.

    Raises:
        HerdError: the disk is full or refuses, or the adapter does not belong to this base.
    """
    changes = _changes(adapter_folder)
    temporary = merged_folder.with_name(f".tmp-{merged_folder.name}")
    with writing("the merged model", merged_folder, kept=_KEPT):
        try:
            remove_folder(temporary)
            temporary.mkdir()
            for name in _COPIED:
                write_file(temporary / name, read_file(base_folder, name, _SMALL_FILE_BYTES))
            _write_weights(base_folder / WEIGHTS, temporary / WEIGHTS, changes)
            land_instead(temporary, merged_folder, of_any=True)
        finally:
            remove_folder(temporary)


def _changes(folder: Path) -> dict[str, Change]:
    """What is done to which tensor of the base."""
    if (folder / FULL_WEIGHTS).exists():
        with safe_open(folder / FULL_WEIGHTS, framework="np") as file:
            trained = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return {name: _replaced_by(values) for name, values in trained.items()}
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    scale = np.float32(config["lora_alpha"] / config["r"])
    with safe_open(folder / ADAPTER_WEIGHTS, framework="np") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    changes: dict[str, Change] = {}
    for name, down in found.items():
        if name.endswith(".lora_A.weight"):
            up = found[name.replace(".lora_A.", ".lora_B.")]
            tensor = name.removeprefix(_PREFIX).replace(".lora_A.", ".")
            changes[tensor] = _added_to(up, down, scale)
    return changes


def _replaced_by(values: NDArray[np.float32]) -> Change:
    return lambda base: values if values.shape == base.shape else None


def _added_to(up: NDArray[np.float32], down: NDArray[np.float32], scale: np.float32) -> Change:
    def added(base: NDArray[np.float32]) -> NDArray[np.float32] | None:
        # numpy would stretch a single row to all
        fits = base.shape == (up.shape[0], down.shape[1]) and up.shape[1] == down.shape[0]
        return base + scale * (up @ down) if fits else None

    return added


def _write_weights(base: Path, target: Path, changes: dict[str, Change]) -> None:
    """Copy the file, tensor by tensor, with its changes.

    Raises:
        HerdError: a change is of a tensor that the base does not have, or has in another size.
    """
    with base.open("rb") as source, target.open("wb") as file:
        (header_bytes,) = struct.unpack("<Q", source.read(8))
        header = source.read(header_bytes)
        file.write(struct.pack("<Q", header_bytes) + header)
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        if unknown := changes.keys() - entries.keys():
            raise HerdError(_another_base(min(unknown)))
        for name, entry in sorted(entries.items(), key=lambda item: item[1]["data_offsets"]):
            begin, end = entry["data_offsets"]
            values = np.frombuffer(source.read(end - begin), "<f4").reshape(entry["shape"])
            changed = changes[name](values) if name in changes else values
            if changed is None:
                raise HerdError(_another_base(name))
            file.write(np.ascontiguousarray(changed, "<f4").data)
    sync(target)


def _another_base(name: str) -> str:
    return f"The adapter was trained on another base: {name} does not fit. Train it again."
