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

REMEDY = "Restore it, or move the folder away and run again."


def load_run(folder: Path) -> RunManifest:
    """Read `run.json` of a run's folder, and what was added to it.

    Raises:
        HerdError: there is none, it is torn, does not fit, is of another version or another run.
    """
    doing = f"Reading the run {folder.name}"
    run = read_record(folder, RUN_FILE, RunManifest, doing, REMEDY)
    if run is None:
        raise HerdError(
            f"{doing}: {folder / RUN_FILE} does not exist. The existing runs are in "
            f"{folder.parent}."
        )
    if run.run != folder.name:
        raise HerdError(
            f"{doing}: its {RUN_FILE} is of the run {run.run}. A run's folder has the run's "
            f"name: rename it to {run.run}, or move it away."
        )
    return _with_later(run, folder, doing)


def _with_later(manifest: RunManifest, folder: Path, doing: str) -> RunManifest:
    """Return a run as in `run.json`, with all later additions.

    Raises:
        HerdError: an addition cannot be read, or does not fit.
    """
    for later in all_later(folder, doing, REMEDY):
        try:
            manifest = added(manifest, later)
        except (ValidationError, ValueError) as error:
            told = one_line(str(error), 300)
            raise HerdError(
                f"{doing}: {folder / LATER_FOLDER} does not fit its run.json ({told}). {REMEDY}"
            ) from None
    return manifest


def load_references(folder: Path) -> References:
    """Read the reference that the texts of a greedy run are compared with.

    Raises:
        HerdError: the file is gone or damaged.
    """
    doing = f"Reading the run {folder.name}"
    found = read_record(folder, REFERENCE_FILE, References, doing, REMEDY)
    if found is None:
        raise HerdError(
            f"{doing}: {folder / REFERENCE_FILE} is missing, which holds the expected texts. "
            f"{REMEDY}"
        )
    for later in all_later(folder, doing, REMEDY):
        if later.references is not None:
            found = found.with_more(later.references)
    return found
