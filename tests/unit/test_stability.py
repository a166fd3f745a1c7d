"""A run that was not steady says so, with what to do; a steady one hardly ever does."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.cells.token_times import token_time_frame
from analysis.report import compose
from analysis.stability import timeline
from analysis.stability.course import course_of, duration
from analysis.stability.machines import machine_sentences, node_frame, node_table, silence
from analysis.stability.stability import stability_of
from analysis.statistics import steadiness
from collect.columns import TOKENS
from tests.doubles.run_frames import Outcomes, make_frames, make_series

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
RUNS = 80


def odd(outcomes: Outcomes) -> str:
    return " ".join(stability_of(make_series(outcomes)).sentences)


def share_of_runs(make: Callable[[np.random.Generator], Outcomes], *words: str) -> float:
    """Of the word that is said most."""
    generator = np.random.default_rng(11)
    told = [odd(make(generator)) for _ in range(RUNS)]
    return max(sum(word in each for each in told) for word in words) / RUNS


def steady(cv: float, cells: int, trials: int) -> Callable[[np.random.Generator], Outcomes]:
    def make(generator: np.random.Generator) -> Outcomes:
        return {
            (DLLAMA, nodes): list(10 * np.exp(generator.normal(0, cv, trials)))
            for nodes in range(1, cells + 1)
        }

    return make


@pytest.mark.parametrize(("cv", "cells", "trials"), [(0.02, 4, 6), (0.05, 8, 10), (0.08, 3, 5)])
def test_a_steady_run_raises_each_warning_in_one_of_twenty_at_most(
    cv: float, cells: int, trials: int
) -> None:
    warnings = ("became", "becomes", "two speeds", "outlier")
    assert share_of_runs(steady(cv, cells, trials), *warnings) <= 0.05


def test_a_drift_of_all_cells_is_told_once_with_what_it_means() -> None:
    falling = [1.0, 0.93, 0.86, 0.78, 0.7, 0.6]
    run = {(DLLAMA, n): [10 * n * share for share in falling] for n in (1, 2, 4)}
    told = odd(run)
    assert told.startswith("The whole run became 39 % slower from its first block to its last")
    assert "Speed-ups pair the trials of a block and are still right" in told
    assert "run again" in told
    assert told.count("slower") == 1
    assert "heat" in told


def test_a_run_that_becomes_faster_is_not_told_to_rest() -> None:
    rising = [0.6, 0.7, 0.78, 0.86, 0.93, 1.0]
    told = odd({(DLLAMA, n): [10 * n * share for share in rising] for n in (1, 2, 4)})
    assert told.startswith("The whole run became 63 % faster")
    assert "what slowed down the nodes at first" in told
    assert "heat" not in told
    assert "let them rest" not in told


def test_drifts_and_modes_and_outliers_are_found_where_they_are() -> None:
    def drifting(generator: np.random.Generator) -> Outcomes:
        noise = np.exp(generator.normal(0, 0.02, 6))
        return {(DLLAMA, 1): list(10 * np.linspace(1, 0.8, 6) * noise)}

    def bimodal(generator: np.random.Generator) -> Outcomes:
        noise = np.exp(generator.normal(0, 0.02, 6))
        modes = generator.permutation([10, 10, 10, 5, 5, 5])
        return {(DLLAMA, n): list(modes * noise) for n in (1, 2)}

    def one_apart(generator: np.random.Generator) -> Outcomes:
        values = 10 * np.exp(generator.normal(0, 0.02, 8))
        values[generator.integers(8)] *= 0.5
        return {(DLLAMA, 1): list(values), (DLLAMA, 2): [20.0] * 8}

    assert share_of_runs(drifting, "became") > 0.9
    assert share_of_runs(bimodal, "two speeds") > 0.95
    assert share_of_runs(one_apart, "outlier") > 0.9


def test_two_speeds_are_named_with_how_many_trials_have_each() -> None:
    told = odd({(DLLAMA, 4): [5.1, 10.2, 5.0, 10.1, 5.05, 10.0], (DLLAMA, 1): [3.0] * 6})
    assert "on four nodes has two speeds: 3 trials around 5.05 and 3 around 10.1 tokens/s" in told


def test_an_unstable_cell_is_told_with_its_variation() -> None:
    told = odd({(DLLAMA, 1): [8.0, 10.0, 12.5], (DLLAMA, 2): [20.0, 20.1, 19.9]})
    assert "varies by 22 % from trial to trial" in told
    assert "Plan more repeats" in told


def test_one_cell_that_drifts_alone_is_named() -> None:
    run: Outcomes = {
        (DLLAMA, n): [10.0 * n * (1 + 0.001 * (k * 7 % 5)) for k in range(8)] for n in (1, 2, 4)
    }
    run = {**run, (DLLAMA, 8): [80.0 * 0.95**k for k in range(8)]}
    told = odd(run)
    assert "on eight nodes becomes 30 % slower" in told


def test_fewer_than_five_blocks_say_nothing_of_a_trend() -> None:
    assert steadiness.trend({1: 4.0, 2: 3.0, 3: 2.0, 4: 1.0}) is None
    assert "slower" not in odd({(DLLAMA, 1): [10.0, 9.5, 9.0, 8.5]})


def test_a_thousand_repeats_of_a_cell_take_no_more_memory_than_fifty() -> None:
    """The first null takes what NumPy's generator takes once, so that is made before."""
    values = dict(enumerate(10 * np.exp(np.random.default_rng(5).normal(0, 0.02, 1000)), start=1))
    steadiness.trend(dict(list(values.items())[:5]))
    tracemalloc.start()
    found = (
        steadiness.trend(values),
        steadiness.modes(list(values.values())),
        steadiness.apart(list(values.values())),
    )
    peak_mib = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    assert peak_mib < 50
    assert all(one is not None and one.p_value > 0.01 for one in found)


def test_a_drift_over_a_thousand_repeats_is_measured() -> None:
    falling = 10 * np.linspace(1, 0.8, 1001)
    found = steadiness.trend(dict(enumerate(falling, start=1)))
    assert found is not None
    assert found.rho == pytest.approx(-1)
    assert found.change == pytest.approx(-0.2, abs=0.005)
    assert found.p_value < 0.001


@pytest.mark.parametrize("n", [5, 24])
def test_the_statistics_are_those_of_their_definitions(n: int) -> None:
    """Ties among the values; the definitions written out."""
    values = np.round(10 * np.exp(np.random.default_rng(n).normal(0, 0.05, n)), 1)
    trend, modes = steadiness.trend(dict(enumerate(values))), steadiness.modes(list(values))
    assert trend is not None
    assert modes is not None
    ranks = pd.Series(values).rank()
    assert trend.rho == pytest.approx(ranks.corr(pd.Series(range(n))))
    logs = np.sort(np.log(values))
    scores = {
        k: (logs[k] - logs[k - 1])
        / np.sqrt((k * logs[:k].var() + (n - k) * logs[k:].var()) / (n - 2))
        for k in range(2, n - 1)
    }
    assert modes.lower == max(scores, key=lambda k: float(scores[k]))


def test_equal_values_and_single_trials_are_no_trouble() -> None:
    assert odd({(DLLAMA, 1): [10.0] * 6, (DLLAMA, 2): [10.0], (LLAMA, 1): ["failed"]}) == ""


READINGS = {
    "attempt_id": "c-r1-a1", "node": "pi1", "throttled_before": 0, "throttled_after": 0,
    "throttled_meanwhile": None, "temperature_before_c": 50.0, "temperature_after_c": 61.5,
    "frequency_after_mhz": 2400.0, "swapped_pages": 0,
}  # fmt: skip


def readings(*rows: dict[str, object]) -> pd.DataFrame:
    return node_frame(
        pd.DataFrame([{**READINGS, "attempt_id": f"a{i}", **row} for i, row in enumerate(rows)])
    )


def test_a_node_that_does_not_tell_is_not_called_unthrottled() -> None:
    silent = {"throttled_before": None, "throttled_after": None, "temperature_before_c": None,
              "temperature_after_c": None}  # fmt: skip
    frame = readings({}, {"node": "pc", **silent})
    table = node_table(frame)
    assert table
    assert [row[2].text for row in table.rows] == ["never", "not reported"]
    assert silence(frame) == ("Not reported whether throttled: pc. Temperature not reported: pc.")
    assert silence(readings(silent)) == (
        "No node reports whether it was throttled. No node reports its temperature."
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"throttled_after": 0b0100}, ""),
        ({"throttled_meanwhile": 0b0001}, "under-voltage"),
        ({"throttled_meanwhile": 0b0101}, "under-voltage"),
        ({"throttled_after": 1 << 18}, ""),
        ({"throttled_before": 1 << 18, "throttled_after": 1 << 18}, None),
        ({"throttled_after": 0b1000}, "soft temperature limit"),
    ],
)
def test_throttling_bits_are_told_in_words_with_a_remedy(
    row: dict[str, object], words: str | None
) -> None:
    told = " ".join(machine_sentences(readings({}, row)))
    if words is None:
        assert told == ""
    else:
        reason = f" ({words})" if words else ""
        assert f": pi1 in 1 of 2 attempts{reason}. Such" in told
        table = node_table(readings({}, row))
        assert table is not None
        assert table.rows[0][2].text == "in 1 attempt" + (f": {words}" if words else "")
        assert "cool the nodes" in told


def test_the_course_of_a_run_has_its_times_blocks_and_every_attempt(tmp_path: Path) -> None:
    outcomes: Outcomes = {(DLLAMA, 1): [10.0, 11.0, "failed"], (DLLAMA, 2): [20.0, 20.0, 20.0]}
    run, tables = make_frames(outcomes)
    compose(run, tables, tmp_path)

    frame = pd.read_csv(tmp_path / "timeline.csv")
    assert list(frame["outcome"]).count("failed") == 2
    assert list(frame["outcome"]).count("done") == 5
    assert list(frame["begun_s"]) == sorted(frame["begun_s"])
    one = frame[(frame["nodes"] == 1) & (frame["outcome"] == "done")]
    assert list(one["times_median"]) == pytest.approx([10.5 / 11, 10.5 / 10])
    blocks = pd.read_csv(tmp_path / "blocks.csv")
    assert list(blocks["done"]) == [2, 2, 1]
    page = (tmp_path / "index.html").read_text()
    assert "The first attempt began at 2026-11-23" in page
    assert "later; attempts took" in page


def test_a_run_without_attempts_has_no_course() -> None:
    run, tables = make_frames({(DLLAMA, 1): ["pending"]})
    course = course_of([], tables.trials, tables.attempts, tables.nodes)
    assert course.frame.empty
    assert course.in_words == ""
    assert run.cells


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0.4 s"), (59.4, "59 s"), (60, "1 min"), (725, "12 min 5 s"), (12_000, "3 h 20 min"),
     (187_200, "2 days 4 h")],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("tokens", "told"), [(100, ["p50_ms"]), (300, ["p50_ms", "p95_ms"]),
                         (1200, ["p50_ms", "p95_ms", "p99_ms"])]
)  # fmt: skip
def test_a_percentile_is_told_where_ten_tokens_lie_beyond_it(tokens: int, told: list[str]) -> None:
    series = make_series({(DLLAMA, 1): [10.0]})
    trial = series[0].cells[0].done["trial_id"].iloc[0]
    rows = [
        {"trial_id": trial, "phase": "prediction", "tokens": 1, "compute_ms": k, "total_ms": k}
        for k in range(1, tokens + 1)
    ]
    frame = token_time_frame(series, pd.DataFrame(rows, columns=[*TOKENS]))
    row = frame.iloc[0]
    assert [name for name in ("p50_ms", "p95_ms", "p99_ms") if pd.notna(row[name])] == told
    assert row["p50_ms"] == pytest.approx((tokens + 1) / 2)
    assert row["cut_off_ms"] == 2


def test_attempts_without_a_mark_to_draw_have_no_chart_but_their_file(tmp_path: Path) -> None:
    """Texts were compared, not speeds, no attempt failed and nobody read a temperature."""
    run, tables = make_frames(
        {(DLLAMA, 1): [10.0]},
        columns={"decode_tokens_per_s": None, "prompt_tokens_per_s": None,
                 "decode_ms_per_token": None},
    )  # fmt: skip
    compose(run, tables, tmp_path)
    assert not (tmp_path / "timeline.svg").exists()
    assert len(pd.read_csv(tmp_path / "timeline.csv")) == 1
    assert "with the time it began: [CSV](timeline.csv)" in (tmp_path / "report.md").read_text()


def test_an_api_has_no_nodes_in_the_names_of_colours() -> None:
    data = pd.DataFrame({"model": ["m", "m"], "series": ["paid", "small"], "nodes": [0, 2]})
    keys, _ = timeline._colours(data)
    assert list(keys) == ["paid", "small on two nodes"]
