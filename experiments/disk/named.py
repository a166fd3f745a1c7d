"""A run by its name, or by the path of its folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from collect.named import no_such_run
from core.errors import HerdError
from core.foreign import is_file_name
from experiments.disk.ledger import run_folders


def run_named(results: Path, text: str) -> Path:
    """The folder of a run.

    Args:
        results: folder of all runs.
        text: name of a run there, or the path of a folder, also of another machine.

    Raises:
        HerdError: there is neither.
    """
    if is_file_name(text) and (results / text).is_dir():
        return results / text
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            return path.resolve()
    except (OSError, RuntimeError, ValueError):
        pass
    raise HerdError(f"{no_such_run(results, text)} There is no folder of that path either.")


def neighbours(results: Path, folders: Iterable[Path]) -> list[Path]:
    """Folders of all runs, and of those next to other runs."""
    places = dict.fromkeys([results.resolve(), *(folder.resolve().parent for folder in folders)])
    return [folder for place in places for folder in run_folders(place)]
