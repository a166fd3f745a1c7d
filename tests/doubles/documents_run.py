"""A run that scored documents."""

from __future__ import annotations

from dataclasses import replace

from collect.columns import TRIALS_OF_DOCUMENTS
from collect.documents import DocumentPart
from collect.run import RunManifest
from collect.tables import Tables
from collect.workloads import Documents
from tests.doubles.run_frames import make_frames


def documents_run(change: float = 0.0, count: int = 8) -> tuple[RunManifest, Tables]:
    """A run that scored documents of 100 bytes on one node and two, the first a byte shorter.

    Args:
        change: by how much two nodes change the bits per byte of the last document.
        count: documents.
    """
    parts = tuple(DocumentPart(document=f"d{i}", text="x" * 100) for i in range(count))
    workload = Documents(file="held_out.jsonl", scored=parts)
    run, tables = make_frames({("llama.cpp", nodes): [1.0] * count for nodes in (1, 2)})
    trials = tables.trials.copy()
    place = trials["repeat"].astype(int) - 1
    bits = 0.8 + 0.05 * place + change * ((place == count - 1) & (trials["nodes"] == 2))
    sizes = 100 - (place == 0).astype(int)
    told = {
        "document": "d" + place.astype(str), "document_part": 1, "document_bytes": sizes,
        "document_tokens": 30, "read_tokens": 30 - (place == 3).astype(int),
        "document_bits": bits * sizes, "bits_per_byte": bits,
    }  # fmt: skip
    made = trials.assign(**told).astype(dict(TRIALS_OF_DOCUMENTS))
    return run.model_copy(update={"workload": workload}), replace(tables, trials=made)
