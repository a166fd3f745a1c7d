"""What a page, its figures and its files claim of runs of known truth, and that they agree."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.report import compose
from tests.benchmarks.false_findings import Setting, simulate
from tests.doubles.run_frames import Outcomes, make_frames

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
DASH = "\N{EN DASH}"


def noisy(speed: float, cv: float, trials: int = 6, seed: int = 1) -> list[float]:
    """Lognormal trials around a speed; cells of other speeds or seeds have noise of their own."""
    rng = np.random.default_rng([seed, round(1000 * speed)])
    return [float(value) for value in speed * np.exp(cv * rng.normal(size=trials))]


class Page:
    """A written report."""

    def __init__(
        self,
        folder: Path,
        outcomes: Outcomes,
        thrown: Sequence[dict[str, Any]] = (),
        **options: Any,  # noqa: ANN401 - handed on
    ) -> None:
        run, tables = make_frames(outcomes, **options)
        if thrown:
            tables = replace(tables, attempts=pd.concat([tables.attempts, pd.DataFrame(thrown)]))
        self.folder, self.run = folder, run
        self.spoken = compose(run, tables, folder)
        self.html = (folder / "index.html").read_text("utf-8")
        self.markdown = (folder / "report.md").read_text("utf-8")
        self.comparisons = pd.read_csv(folder / "comparisons.csv")

    def finding(self, numerator: str, denominator: str) -> str:
        """What was found of a cell beside another, by how their names end."""
        told = self.comparisons
        mine = told["numerator"].str.endswith(numerator)
        (row,) = told[mine & told["denominator"].str.endswith(denominator)].to_dict("records")
        return str(row["verdict"])

    def figures(self) -> dict[str, str]:
        """Name of each key figure to its value."""
        found = re.findall(r"<div><span>([^<]+)</span><strong>([^<]+)", self.html)
        return {name: value.strip() for name, value in found}


def test_a_cluster_that_throttles_two_times_of_three_is_not_called_fast(tmp_path: Path) -> None:
    outcomes = {(DLLAMA, 1): noisy(10, 0.01), (DLLAMA, 8): noisy(40, 0.01)}
    run, _ = make_frames(outcomes)
    eight = next(cell.cell_id for cell in run.cells if cell.params["nodes"] == 8)
    thrown = [
        {
            "trial_id": f"{eight}-r{block}",
            "attempt": attempt,
            "outcome": "invalid",
            "cause": "pi7: it was throttled",
        }
        for block in range(1, 7)
        for attempt in (2, 3)
    ]
    page = Page(tmp_path, outcomes, thrown)

    told = "12 of 18 attempts on eight nodes were thrown away (pi7: it was throttled)"
    assert page.spoken.startswith("In the attempts that counted, eight nodes are ")
    assert page.spoken.count(told) == 1, "what the sentence says is not said with it again"
    ledger = re.search(r"<b>Ledger</b>(.*)", page.html)
    assert ledger
    assert told in ledger[1]
    assert told in page.markdown
    assert page.figures()["Attempts that count"] == "12 of 24"
    cells = pd.read_csv(tmp_path / "cells.csv")
    assert list(cells["attempts_good"]) == [6, 6]
    assert list(cells["attempts_made"]) == [6, 18]
    assert "6 of 18" in page.markdown


def test_a_doubled_speed_in_much_noise_is_not_told_not_to_help(tmp_path: Path) -> None:
    page = Page(tmp_path, {(DLLAMA, 1): noisy(10, 0.6), (DLLAMA, 2): noisy(20, 0.6)})
    assert "do not help" not in page.html + page.markdown + page.spoken
    assert page.finding("two nodes", "one node") == "cannot tell"
    row = page.comparisons.iloc[0]
    assert f"between {row['low']:.1f} and {row['high']:.1f} times" in page.spoken
    assert page.figures()["Gain from more nodes"] == "cannot tell"
    assert "A ring marks" not in page.html


def test_headline_figures_rivals_and_rows_have_one_best_number_of_nodes(tmp_path: Path) -> None:
    speeds = {1: 150, 2: 192, 4: 130, 8: 72}
    outcomes = {(DLLAMA, n): noisy(speed, 0.01) for n, speed in speeds.items()}
    outcomes |= {(LLAMA, n): noisy(speed / 3, 0.01) for n, speed in speeds.items()}
    page = Page(tmp_path, outcomes)

    assert page.spoken.startswith("Two nodes are 1.2")
    assert "with llama.cpp, two nodes are" in page.spoken or "; two nodes are 1.2" in page.spoken
    rival = re.search(
        r"Each at its best[^.]+distributed-llama[^.]+on two nodes with", page.markdown
    )
    assert rival
    assert "Fastest for stories15m (f32) is distributed-llama" in page.markdown
    ring = pd.read_csv(tmp_path / "speed-up.csv")
    assert list(ring[ring["is_knee"] == True]["nodes"]) == [2, 2]  # noqa: E712 - a column
    assert page.finding("llama on two nodes", "llama on one node") == "faster"


def test_a_gain_too_small_to_matter_moves_nothing(tmp_path: Path) -> None:
    page = Page(tmp_path, {(DLLAMA, 1): noisy(10, 0.002, 30), (DLLAMA, 2): noisy(10.03, 0.002, 30)})
    assert page.finding("two nodes", "one node") == "no difference"
    assert page.figures()["Gain from more nodes"] == "none"
    assert "are as fast as one within" in page.spoken


def test_links_that_make_no_difference_have_no_fastest(tmp_path: Path) -> None:
    outcomes = {("petals", 4, rate, 0): noisy(10, 0.03, 3, seed=rate) for rate in (25, 100, 1000)}
    page = Page(tmp_path, outcomes, axes=("engine", "nodes", "link_mbit", "link_delay_ms"))
    assert page.spoken.startswith("It is unclear which of 3 cells is fastest for stories15m (f32)")
    assert page.figures()["Fastest"] == "cannot tell"
    assert set(page.comparisons["verdict"]) == {"cannot tell"}


def test_few_trials_are_warned_of_in_every_cell_that_has_few(tmp_path: Path) -> None:
    outcomes = {
        (DLLAMA, 1): noisy(10, 0.02, 3), (DLLAMA, 2): noisy(17, 0.02, 3), (DLLAMA, 4): [24.0],
    }  # fmt: skip
    page = Page(tmp_path, outcomes)
    assert "75 % of runs" in page.html
    assert "from one trial, without a range" in page.html
    assert "fewer than six trials" in page.spoken
    assert re.search(r"\(range 1\.\d+.1\.\d+, 75 %\)", page.markdown)
    assert page.comparisons["p_adjusted"].isna().all()


def test_tokens_per_second_and_ms_of_a_row_are_each_other_also_between_two_modes(
    tmp_path: Path,
) -> None:
    page = Page(tmp_path, {(DLLAMA, 4): [5.0, 10.1, 5.1, 10.0, 5.05, 10.05]})
    rate, time = (
        pd.read_csv(page.folder / f"decode-{name}.csv").set_index("kind").loc["median", "value"]
        for name in ("rate", "time")
    )
    assert rate * time == pytest.approx(1000)


def test_blocks_and_trials_of_a_ratio_are_those_that_both_cells_have(tmp_path: Path) -> None:
    lost = ["failed"] * 2
    outcomes = {
        (DLLAMA, 1): [*lost, *noisy(10, 0.01, 4)],
        (DLLAMA, 2): [*noisy(17, 0.01, 4), *lost],
    }
    Page(tmp_path, outcomes)
    told = pd.read_csv(tmp_path / "speed-up.csv")
    two = told[told["nodes"] == 2]
    assert list(two[two["kind"] == "trial"]["block"]) == [3, 4]
    assert list(two[two["kind"] == "median"]["trials"]) == [2]


def test_the_margin_is_the_one_that_the_run_began_with(tmp_path: Path) -> None:
    run, tables = make_frames({(DLLAMA, 1): noisy(10, 0.005), (DLLAMA, 2): noisy(10.5, 0.005)})
    found = []
    for margin in (0.03, 0.1):
        folder = tmp_path / str(margin)
        folder.mkdir()
        compose(run.model_copy(update={"equivalence_margin": margin}), tables, folder)
        found += list(pd.read_csv(folder / "comparisons.csv")["verdict"])
    assert found == ["faster", "no difference"]


@pytest.mark.parametrize(
    ("setting", "runs", "most"),
    [
        (Setting(1, 4, 3), 15, 0),
        (Setting(1, 4, 6), 60, 8),
        (Setting(1, 8, 10), 30, 5),
        (Setting(3, 2, 6, rivals=True), 40, 6),
        (Setting(1, 3, 6, "two modes"), 40, 6),
        (Setting(100, 4, 3), 1, 0),
        (Setting(100, 4, 6), 1, 0),
    ],
)
def test_reports_of_equal_cells_seldom_speak_of_a_difference(
    setting: Setting, runs: int, most: int
) -> None:
    counts = simulate(setting, runs)
    assert counts.said <= counts.compared <= most, "no sentence goes beyond the comparisons"


def test_a_gain_of_three_tenths_is_found_with_six_trials() -> None:
    assert simulate(Setting(1, 4, 6, gains={0: 1.3}), 30).found >= 29
