"""The study of a run as a paper has it: with names of machines, users and places replaced."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from analysis.reading import study_in
from analysis.study import Study
from collect.account import Account
from collect.sharing.exported import write_without_names


def study_without_names(run_folder: Path, hide: Iterable[str] = ()) -> Study:
    """Read a run's folder as `fab export-run` writes it.

    Args:
        run_folder: `results/<run>`.
        hide: further words to replace.

    Raises:
        HerdError: the folder is damaged, or a name in it is also an ordinary word.
    """
    with tempfile.TemporaryDirectory(prefix="llama-herd-paper-") as name:
        results = Path(name) / "results"
        run, _ = write_without_names(run_folder, Account.read(run_folder), results, hide)
        return study_in(results / run)
