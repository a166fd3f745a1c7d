"""The folder of a run by the name that someone typed, and the error where there is none."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from collect.run import RUN_FILE
from core.errors import HerdError
from core.foreign import is_file_name, one_line

MOST_NEAR = 3
SHORTEST = 3
"""Characters of a piece of a name that may mean it."""
NEAR = 0.6
"""Similarity from which a name may be meant, as `difflib` measures it."""
SHOWN = 100
"""Characters of what was typed that a message repeats."""


def folder_named(results: Path, typed: str) -> Path:
    """The folder of a run, which may be damaged.

    Args:
        results: folder of all runs.
        typed: a run's name, or the path of its folder there, as a shell completes it.

    Raises:
        HerdError: it is neither, or there is no such folder.
    """
    path = Path(typed)
    is_here = len(path.parts) == 1 or path.parent.resolve() == results.resolve()
    if not is_here or not is_file_name(path.name):
        raise HerdError(
            f"`{one_line(typed, SHOWN)}` cannot be a run: give its name, which is the name of its "
            f"folder in {results}. `fab history` lists the runs."
        )
    folder = results / path.name
    if not folder.is_dir():
        raise HerdError(no_such_run(results, path.name))
    return folder


def no_such_run(results: Path, typed: str) -> str:
    """The error about a name that no run has, with the names that may be meant."""
    near = near_names(typed, _names(results))
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"There is no run `{one_line(typed, SHOWN)}` in {results}.{meant} `fab history` lists the "
        "runs."
    )


def near_names(typed: str, known: Sequence[str]) -> list[str]:
    """The names that may be meant: those that hold what was typed, the last first, then alike ones.

    Args:
        typed: the name that no run has.
        known: the names of all runs, sorted.
    """
    piece = typed.strip().casefold()[:255]
    held = [one for one in reversed(known) if len(piece) >= SHORTEST and piece in one.casefold()]
    folded = {one.casefold(): one for one in known}
    alike = [folded[one] for one in difflib.get_close_matches(piece, folded, MOST_NEAR, NEAR)]
    return list(dict.fromkeys([*held, *alike]))[:MOST_NEAR]


def _names(results: Path) -> list[str]:
    try:
        found = sorted(folder.name for folder in results.iterdir() if is_file_name(folder.name))
    except OSError:
        return []
    return [name for name in found if os.path.lexists(results / name / RUN_FILE)]
