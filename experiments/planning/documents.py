"""The documents of a matrix: read when the matrix is, and one trial of a cell for each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from collect.documents import summary_of, take_documents
from collect.workloads import Documents, Workload
from core.errors import HerdError
from core.paths import PROJECT_FOLDER


def with_documents(workload: Documents, *, only_ascii: bool) -> Documents:
    """Give a workload the documents that its file has.

    Args:
        workload: as the matrix has it.
        only_ascii: an engine of the matrix scores nothing else.

    Raises:
        HerdError: the file cannot be read, is damaged, or has no document; with file and line.
    """
    path = PROJECT_FOLDER / workload.file
    taken = take_documents(path, workload.count, workload.characters, only_ascii=only_ascii)
    return workload.model_copy(update={"scored": taken.parts, "left_out": taken.left_out})


def repeats_of_documents(workload: Documents, given: int | None, file: Path) -> int:
    """Trials of a cell: one for each part of a document.

    Args:
        workload: with its documents.
        given: what the matrix says; None where it says nothing.
        file: of the matrix.

    Raises:
        HerdError: the matrix says something else.
    """
    repeats = len(workload.scored)
    if given is not None and given != repeats:
        raise HerdError(
            f"{file}: a workload of documents has one trial for each, {repeats} here, but the "
            f"matrix requests `repeats: {given}`. Leave `repeats` out; `count` limits the "
            "documents."
        )
    return repeats


def document_lines(workloads: Iterable[Workload]) -> list[str]:
    """Say which documents were taken, cut and left out, a line a file."""
    return [
        f"{workload.file}: {summary_of(workload.scored, workload.left_out)}"
        for workload in workloads
        if isinstance(workload, Documents)
    ]
