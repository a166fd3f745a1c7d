"""The folder of a paper: written again without touching what its author has changed.

A file that lists the SHA-256 of every file that was written (`written.json`) is in the folder. A
file that is still as it was written is replaced; one that differs is its author's work and stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from collect.run import Sha256
from core.durable import replace_file, writing
from core.errors import HerdError
from core.foreign import FileName, RelativePath, inside
from core.record import Record, read_record

WRITTEN = "written.json"
MOST_FILES = 10_000


class WrittenPaperFiles(Record):
    """What is in the folder of a paper.

    Attributes:
        runs: that the paper is about, in their order.
        files: name to what it was written with; two where a write may not have ended.
    """

    runs: tuple[FileName, ...]
    files: Annotated[
        dict[RelativePath, tuple[Sha256, ...]], Field(max_length=MOST_FILES)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PaperFiles:
    """What was done with each file, names in their order.

    Attributes:
        new: were not there.
        replaced: had not been changed since they were written.
        kept: had been changed, and would have another content now.
    """

    new: tuple[str, ...]
    replaced: tuple[str, ...]
    kept: tuple[str, ...]


def write_paper_folder(
    folder: Path, runs: tuple[str, ...], files: Mapping[str, bytes]
) -> PaperFiles:
    """Write the files of a paper, but none that its author has changed.

    A kill leaves each file as it was or as it will be, and the next call continues.

    Args:
        folder: of the paper; made where it does not exist.
        runs: that the paper is about.
        files: name, with `/` below a folder, to content.

    Raises:
        HerdError: the folder is of other runs or no paper's, or it cannot be written.
    """
    before = _written_before(folder, runs)
    known = dict(before.files)
    new, replaced, kept = [], [], []
    for name, content in files.items():
        path, digest = inside(folder, name), _hash(content)
        found = _found(path)
        if found == digest:
            known[name] = (digest,)
        elif found is None:
            new.append(name)
        elif found in known.get(name, ()):
            replaced.append(name)
        else:
            kept.append(name)
    begun = {name: (*known.get(name, ())[-1:], _hash(files[name])) for name in (*new, *replaced)}
    done = {name: (_hash(files[name]),) for name in (*new, *replaced)}
    with writing("the paper", folder, kept="What was there before is there."):
        folder.mkdir(parents=True, exist_ok=True)
        _note(folder, runs, known | begun)
        for name in (*new, *replaced):
            path = inside(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, files[name])
        _note(folder, runs, known | done)
    return PaperFiles(tuple(new), tuple(replaced), tuple(kept))


def _written_before(folder: Path, runs: tuple[str, ...]) -> WrittenPaperFiles:
    found = read_record(
        folder, WRITTEN, WrittenPaperFiles, "Writing the paper", "Name another folder: --to."
    )
    if found is None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise HerdError(
                f"{folder} has no {WRITTEN}, so it is not the folder of a paper that `fab paper` "
                "wrote. Name a new or an empty folder with --to."
            )
        return WrittenPaperFiles(runs=runs, files={})
    if found.runs != runs:
        raise HerdError(
            f"{folder} is a paper on {', '.join(found.runs)}. Name another folder with --to."
        )
    return found


def _found(path: Path) -> str | None:
    """The hash of what is there; None where nothing is."""
    try:
        return _hash(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HerdError(f"{path} cannot be read ({error.strerror}). Move it away.") from None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _note(folder: Path, runs: tuple[str, ...], files: Mapping[str, tuple[str, ...]]) -> None:
    record = WrittenPaperFiles(runs=runs, files=dict(sorted(files.items())))
    replace_file(folder / WRITTEN, record.model_dump_json(indent=1).encode())
