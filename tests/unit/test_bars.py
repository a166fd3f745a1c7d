"""The table of `make bench` says of each bar whether it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.bars import Measured, Row, against, line, run


def row(bar: float, *, at_least: bool = False) -> Row:
    return Row("x", "figure", "anchor", bar, lambda _: Measured.plain(0, "s"), at_least=at_least)


@pytest.mark.parametrize(
    ("bar", "at_least", "ratio", "verdict"),
    [
        (1.3, False, 1.3, "ok"),
        (1.3, False, 1.31, "over"),
        (1.0, True, 1.2, "ok"),
        (1.0, True, 0.9, "over"),
    ],
)
def test_a_ratio_is_held_against_its_bar(
    *, bar: float, at_least: bool, ratio: float, verdict: str
) -> None:
    told = line(row(bar, at_least=at_least), Measured(2.6, 2.0, ratio, "s"))
    assert verdict in told
    assert f"{ratio:.2f}" in told


def test_a_skipped_row_says_why() -> None:
    assert "skipped: pdsh is not installed" in line(row(1), "pdsh is not installed")


def test_the_ratio_is_taken_within_rounds_and_the_first_does_not_count() -> None:
    ours, anchor = iter([99.0, 2.0, 40.0, 3.0]), iter([1.0, 1.0, 20.0, 1.0])
    measured = against(lambda: next(ours), lambda: next(anchor), "s", rounds=3)
    assert (measured.ours, measured.anchor, measured.ratio) == (3.0, 1.0, 2.0)


def test_a_command_that_fails_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="false failed"):
        run(["false"], tmp_path)
    assert run(["true"], tmp_path).peak_mib > 0
