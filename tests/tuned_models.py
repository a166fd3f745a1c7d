"""A fine-tuned model that nobody trained: its base with one tensor changed, and its record.

record = tuned_model(folder, "tales")       # of synthetic:tiny
with tuned_here(folder): ...                # where the catalogue looks meanwhile
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.digest import sha256_of
from experiments.engines.common import encoder, model_spec
from models.build import ensure_artifact
from models.catalogue import load_catalogue
from models.checkpoint import Checkpoint
from models.convert import write_folder
from models.formats.huggingface.reader import read_huggingface
from models.tuned import (
    MERGED_FOLDER,
    TUNED_FILE,
    Change,
    CurvePoint,
    Parentage,
    Sameness,
    Split,
    TunedRecord,
)

BASE = "synthetic:tiny"
CHANGED = "layers.0.q"


def tuned_model(
    folder: Path, name: str = "tales", base: str = BASE, seed: int = 1, **changes: object
) -> TunedRecord:
    """Make `folder/<name>/`, as `fab finetune` leaves it behind; nothing is trained.

    Args:
        folder: of all fine-tuned models.
        name: of this one.
        base: of the catalogue; `stories15m` must be in the cache.
        seed: another one makes other weights.
        changes: fields of the record that are to have another value.
    """
    spec = load_catalogue().get(base)
    weights = ensure_artifact(spec, "huggingface", "f32").file("model")
    of_base = weights.path.parent
    own = folder / name
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    write_folder(_changed(read_huggingface(of_base), seed), own / MERGED_FOLDER, "f32")
    (own / "adapter").mkdir()
    (own / "adapter" / "adapter_model.safetensors").write_bytes(b"changed " + bytes([seed]))
    record = TunedRecord(
        name=name,
        about=f"{base} with a changed tensor",
        licence=spec.licence,
        parentage=Parentage(
            base=base,
            base_sha256=weights.sha256,
            data_sha256="d" * 64,
            recipe_sha256="e" * 64,
            method="lora",
            steps=20,
            toolkit="1.0",
            libraries={"torch": "2.13.0"},
        ),
        shape=spec.shape,
        split=Split(
            train_documents=90, held_out_documents=10, train_tokens=9000, held_out_tokens=1000
        ),
        files=_hashes(own / MERGED_FOLDER),
        adapter=_hashes(own / "adapter"),
        curve=(CurvePoint(step=0, held_out_loss=3.0), CurvePoint(step=20, loss=2.0)),
        held_out_bits_per_byte=Change(before=1.5, after=1.2, low=-0.4, high=-0.2, count=10),
        memorised=Change(before=0.0, after=0.1, low=0.0, high=0.2, count=20),
        sameness=Sameness(merge_change=0.0, base_change=0.5),
        seconds=60.0,
        device="a CPU, 1 thread",
        finished_at=1_790_000_000.0,
    ).model_copy(update=changes)
    write_record(folder, name, record)
    return record


def write_record(folder: Path, name: str, record: TunedRecord) -> None:
    """Replace the record of a fine-tuned model."""
    (folder / name / TUNED_FILE).write_text(record.model_dump_json(indent=2))


@contextmanager
def tuned_here(folder: Path) -> Iterator[Path]:
    """Let the catalogue look for fine-tuned models in this folder alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.tuned.TUNED_FOLDER", folder)
        model_spec.cache_clear()
        encoder.cache_clear()
        try:
            yield folder
        finally:
            model_spec.cache_clear()
            encoder.cache_clear()


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir())}


def _changed(base: Checkpoint, seed: int) -> Checkpoint:
    def load(name: str) -> NDArray[np.float32]:
        values = base.load(name)
        if name != CHANGED:
            return values
        noise = np.random.default_rng(seed).normal(size=values.shape, scale=0.05)
        return (values + noise).astype(np.float32)

    return replace(base, load=load, stored=lambda _name, _weights: None)
