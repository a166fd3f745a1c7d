"""Reads a run and its references as they are now: what it began with, and what was added since."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from collect.later import LATER_FOLDER, added, all_later
from collect.reference import REFERENCE_FILE, References
from collect.run import RUN_FILE, RunManifest
from core.errors import HerdError
from core.foreign import one_line
from core.record import read_record


def load_run(folder: Path) -> RunManifest:
    """Read `run.json` of a run's folder, and what was added to it.

    Raises:
        HerdError: there is none, it is torn, does not fit, is of another version or another run.
    """
    doing = f"Reading the run {folder.name}"
    remedy = "Restore it, or move the folder away and run again."
    run = read_record(folder, RUN_FILE, RunManifest, doing, remedy)
    if run is None:
        raise HerdError(
            f"{doing}: {folder / RUN_FILE} does not exist. "
            f"The runs that there are lie in {folder.parent}."
        )
    if run.run != folder.name:
        raise HerdError(
            f"{doing}: its {RUN_FILE} is of the run {run.run}. A run's folder has the run's name: "
            f"call it {run.run} again, or move it away."
        )
    return _with_later(run, folder, doing, remedy)


def _with_later(manifest: RunManifest, folder: Path, doing: str, remedy: str) -> RunManifest:
    """A run as `run.json` tells it, with all that was added since.

    Raises:
        HerdError: an addition cannot be read, or does not fit.
    """
    for later in all_later(folder, doing, remedy):
        try:
            manifest = added(manifest, later)
        except (ValidationError, ValueError) as error:
            told = one_line(str(error), 300)
            raise HerdError(
                f"{doing}: {folder / LATER_FOLDER} does not fit its run.json ({told}). {remedy}"
            ) from None
    return manifest


def load_references(folder: Path) -> References:
    """Read what the texts of a greedy run are held against.

    Raises:
        HerdError: the file is gone or damaged.
    """
    doing = f"Reading the run {folder.name}"
    remedy = "Restore it, or move the folder away and run again."
    found = read_record(folder, REFERENCE_FILE, References, doing, remedy)
    if found is None:
        raise HerdError(
            f"{doing}: {folder / REFERENCE_FILE} is gone, which says what the engines should "
            f"have said. {remedy}"
        )
    for later in all_later(folder, doing, remedy):
        if later.references is not None:
            found = found.with_more(later.references)
    return found
