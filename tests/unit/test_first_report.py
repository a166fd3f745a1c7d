"""The tutorial explains a report that is stored with it: its figures are those of that report."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import write_report

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs" / "first-report.md").read_text()
STORED = next((PROJECT / "tests" / "data" / "first_report").iterdir())
EXPLAINED = {"1.01", "96.9", "95", "48", "50", "100", "3", "5", "10", "1", "6", "12", "0.70"}
"""Figures of the explanation itself: a limit, an example, a number of trials."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    shutil.copytree(STORED, folder / "results" / STORED.name)
    return write_report(folder / "results" / STORED.name, folder / "reports").index.parent


def explained() -> str:
    return PAGE.split("## 6. Read the report")[1].split("\n## 7.")[0]


def test_each_figure_of_the_explanation_is_in_the_report(report: Path) -> None:
    known = set(re.findall(r"\d+(?:\.\d+)?", (report / "report.md").read_text())) | EXPLAINED
    text = explained().split("| block |")[0] + explained().split("| 1.50 |")[1]
    told = re.findall(r"\d+(?:\.\d+)?", re.sub(r"\]\([^)]*\)", "", text))
    assert len(told) > 30
    assert sorted(set(told) - known) == []


def test_the_table_of_blocks_is_that_of_the_run(report: Path) -> None:
    attempts = pd.read_csv(report / "timeline.csv")
    speeds = attempts.pivot_table(index="block", columns="nodes", values="tokens_per_s")
    rows = [
        [float(cell) for cell in row]
        for row in re.findall(r"^\| (\d) \| (\S+) \| (\S+) \| (\S+) \|$", PAGE, re.MULTILINE)
    ]
    assert rows == [
        [block, float(f"{one:.3g}"), float(f"{two:.3g}"), round(two / one, 2)]
        for block, one, two in speeds.itertuples()
    ]


def test_the_verdict_is_the_one_that_is_explained(report: Path) -> None:
    (verdict,) = pd.read_csv(report / "comparisons.csv")["verdict"]
    assert verdict == "cannot tell"
    assert f"`{verdict}`" in explained()
