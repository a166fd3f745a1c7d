"""Runs that an earlier version wrote give the same tables and figures, byte for byte.

`python -m tests.unit.test_stored_runs` writes what is expected, after figures changed on purpose.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from pyarrow import parquet

from analysis.report import write_report
from collect.run import TABLES_FOLDER

STORED = Path(__file__).resolve().parents[1] / "data" / "runs"
EXPECTED = "expected"
NAMES = sorted(folder.name for folder in STORED.iterdir())


def tables_of(name: str, folder: Path) -> dict[str, bytes]:
    """File name to bytes: the run's tables as CSV, and those of its report."""
    run = folder / "results" / name
    shutil.copytree(STORED / name, run, ignore=shutil.ignore_patterns(EXPECTED))
    written = write_report(run, folder / "reports")
    made = {path.name: path.read_bytes() for path in written.index.parent.glob("*.csv")}
    for path in (run / TABLES_FOLDER).glob("*.parquet"):
        frame = parquet.read_table(path).to_pandas()
        made[f"{path.stem}.table.csv"] = frame.to_csv(index=False).encode()
    return made


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_run_gives_the_same_tables(name: str, tmp_path: Path) -> None:
    expected = {path.name: path.read_bytes() for path in (STORED / name / EXPECTED).iterdir()}
    made = tables_of(name, tmp_path)
    assert made.keys() == expected.keys()
    differing = [file for file, content in expected.items() if made[file] != content]
    assert not differing


def main() -> int:
    """Write what is expected of every stored run."""
    for name in NAMES:
        target = STORED / name / EXPECTED
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        with tempfile.TemporaryDirectory() as folder:
            for file, content in tables_of(name, Path(folder)).items():
                (target / file).write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
