"""How long a verb takes that has next to nothing to do."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.benchmarks.bars import PROJECT, Measured, Row, against, run
from tests.doubles.run_folder import make_run

FAB = Path(sys.executable).with_name("fab")
LEDGER = "import fabric.main, experiments.disk.ledger, core.terminal"


def fab_in(folder: Path) -> list[str | Path]:
    """`fab` whose project, with `results/` and reports, is that folder."""
    shutil.copy(PROJECT / "fabfile.py", folder)
    shutil.copytree(PROJECT / "verbs", folder / "verbs")
    return [sys.executable, folder / "fabfile.py"]


def list_verbs(_folder: Path) -> Measured:
    """`fab --list` against a Python that imports Fabric."""
    return against(
        lambda: run([FAB, "--list"]).cpu_s,
        lambda: run([sys.executable, "-c", "import fabric.main"]).cpu_s,
        "s CPU",
        rounds=9,
    )


def status_of_little(folder: Path) -> Measured:
    """`fab status` of a run of nine trials."""
    make_run(folder / "results", engines=("distributed-llama",), nodes=(1, 2, 4))
    fab = fab_in(folder)
    return against(
        lambda: run([*fab, "status"], folder, PYTHONPATH=str(PROJECT)).cpu_s,
        lambda: run([sys.executable, "-c", LEDGER]).cpu_s,
        "s CPU",
        rounds=9,
    )


ROWS = (
    Row("list", "`fab --list`", "importing Fabric", 1.3, list_verbs),
    Row(
        "status", "`fab status`, 9 trials", "importing Fabric and the ledger", 1.3, status_of_little
    ),
)
