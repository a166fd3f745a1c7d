"""Where a run comes from that was measured elsewhere: `results/<run>/imported.json`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from collect.run import Sha256
from core.errors import HerdError
from core.foreign import Count, FileName
from core.record import Moment, Record, Words, read_record

IMPORTED_FILE = "imported.json"
EXPORT_FILE = "export.json"
SUMS_FILE = "SHA256SUMS"
Names = Literal["replaced", "kept"]


class ExportRecord(Record):
    """What an archive says about itself (`export.json`).

    Attributes:
        run: its name, which is that of its folder.
        toolkit: version of llama-herd that packed it.
        names: whether names of machines and people were replaced.
    """

    schema_version: Literal[1] = 1
    run: FileName
    toolkit: Words
    names: Names


class ImportedRecord(Record):
    """How a run came here.

    Attributes:
        archive: name of the file.
        sha256: of the file.
        at: Unix time in seconds.
        toolkit: version of llama-herd that packed it.
        names: whether names of machines and people were replaced.
        notes: what its report says and its logs do not give, a sentence each.
        files: how many it had.
    """

    schema_version: Literal[1] = 1
    archive: Words
    sha256: Sha256
    at: Moment
    toolkit: Words
    names: Names
    files: Count = 0
    notes: Annotated[tuple[Words, ...], Field(max_length=100)] = ()


def imported_of(folder: Path) -> ImportedRecord | None:
    """How a run came here; None for one that was measured here.

    Raises:
        HerdError: the file that says so is damaged.
    """
    doing, remedy = f"Reading the run {folder.name}", "Import its archive again."
    return read_record(folder, IMPORTED_FILE, ImportedRecord, doing, remedy)


def is_imported(folder: Path) -> bool:
    """Whether a run was measured elsewhere; so is one whose mark cannot be read."""
    try:
        return imported_of(folder) is not None
    except HerdError:
        return True


def imported_lines(folder: Path) -> tuple[str, ...]:
    """Say how a run came here; nothing of one that was measured here."""
    mark = imported_of(folder)
    if mark is None:
        return ()
    day = time.strftime("%Y-%m-%d", time.localtime(mark.at))
    return (f"  imported on {day} from {mark.archive} (sha256 {mark.sha256})",)
