"""The study of a run as a paper has it: with names of machines, users and places replaced."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from analysis.reading import study_in
from analysis.study import Study
from collect.account import Account
from collect.sharing.exported import write_without_names
from collect.sharing.renamed import Machines


def study_without_names(
    run_folder: Path, hide: Iterable[str] = (), machines: Machines | None = None
) -> Study:
    """Read a run's folder as `fab export-run` writes it.

    Args:
        run_folder: `results/<run>`.
        hide: further words to replace.
        machines: of the inventory; those that the run names are replaced, too.

    Raises:
        HerdError: the folder is damaged, or a name in it is also an ordinary word.
    """
    with tempfile.TemporaryDirectory(prefix="llama-herd-paper-") as name:
        results = Path(name) / "results"
        account = Account.read(run_folder)
        run, _ = write_without_names(run_folder, account, results, hide, machines)
        return study_in(results / run)
