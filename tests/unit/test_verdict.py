"""The verdict says what was found, and no more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from analysis.blocks import Prose
from analysis.cells.cells import cell_results
from analysis.cells.family import Claim, Compared, Family, Pair, Side
from analysis.cells.scaling import scalings_of, speed_pairs
from analysis.cells.series import Series, series_of
from analysis.sections import sections_of
from analysis.statistics.stats import LEVEL, Ratio
from analysis.verdict.fastest import fastest_clause, fastest_of
from analysis.verdict.scaling_text import compared, thrown_away
from analysis.verdict.summary import key_figures
from analysis.verdict.verdict import Verdict, verdict_of
from analysis.within import blocks_in
from collect.account import STATES
from tests.doubles.run_frames import Outcomes, make_frames, make_series
from tests.doubles.shared_kinds import study_of_kind

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
DASH = "\N{EN DASH}"


def steady(value: float, trials: int = 7) -> list[float]:
    return [value * (1 + 0.01 * (block % 3 - 1)) for block in range(trials)]


def noisy(value: float) -> list[float]:
    return [value * (1 + part) for part in (-0.1, 0.12, -0.03, 0.05, -0.08, 0.09, 0.01)]


def family_of(all_series: Sequence[Series]) -> Family:
    return Family(speed_pairs(all_series))


def verdict(outcomes: Outcomes, *, is_lab: bool = False, **options: Any) -> Verdict:  # noqa: ANN401 - handed on
    run, tables = make_frames(outcomes, **options)
    cells = cell_results(run, tables.trials)
    series = series_of(cells)
    counts = {state: sum(cell.counts[state] for cell in cells) for state in STATES}
    return verdict_of(series, scalings_of(series), counts, is_lab=is_lab)


def test_a_gain_is_told_with_its_interval_and_what_lies_beyond_it() -> None:
    found = verdict({(DLLAMA, 1): steady(100), (DLLAMA, 4): steady(210), (DLLAMA, 8): steady(150)})
    assert found.headline == (
        f"Four nodes are 2.10 (2.10{DASH}2.10) times as fast as one (100 tokens/s) for stories15m "
        "(f32) with distributed-llama; eight are slower than four, at 0.71 "
        f"(0.71{DASH}0.71) times their speed."
    )


def test_noise_is_no_proof_that_more_nodes_do_not_help() -> None:
    found = verdict({(DLLAMA, 1): steady(100), (DLLAMA, 2): noisy(100)})
    assert re.search(r"two are between 0\.9\d\d and 1\.0\d\d times its speed", found.headline)
    assert "it is unclear whether more nodes than one (100 tokens/s) help" in found.headline
    assert "do not help" not in found.headline


def test_a_difference_too_small_to_matter_is_none() -> None:
    found = verdict({(DLLAMA, 1): steady(100), (DLLAMA, 2): steady(101)})
    assert "more nodes than one (100 tokens/s) do not help" in found.headline
    assert "two are as fast as one within \N{PLUS-MINUS SIGN}3 %, at 1.01" in found.headline


def test_what_cannot_be_told_from_the_best_is_told_beside_the_first() -> None:
    wild = [140.0, 260, 180, 230, 200, 270, 170]
    found = verdict({(DLLAMA, 1): steady(100), (DLLAMA, 2): wild, (DLLAMA, 4): steady(230)})
    assert "it is unclear whether four are faster than two: between " in found.headline
    assert found.headline.endswith(f"(2.30 (2.30{DASH}2.30) times as fast as one).")


def test_what_only_its_own_interval_decides_is_said_to_fail_the_correction() -> None:
    below = Ratio(0.88, 0.86, 0.90, (0.88,) * 6, LEVEL, tuple(range(6)))
    pair = Pair("tokens/s", Side("a", "a"), Side("b", "b"), 6, below)
    unsure = Compared(pair, 0.051, Claim.UNKNOWN)
    told = compared("a is", "b", "its", unsure, "3 %")
    assert told == (
        "it is unclear whether a is slower than b: between 0.86 and 0.90 times its speed (alone it "
        "would be clear; after correction for all comparisons p is 0.051)"
    )
    turned = compared("b is", "a", "its", unsure.turned(), "3 %")
    assert turned.startswith("it is unclear whether b is faster than a: between 1.1")
    wide = replace(pair, ratio=Ratio(0.98, 0.86, 1.1, (0.98,) * 6, LEVEL, tuple(range(6))))
    assert "correction" not in compared("a is", "b", "its", replace(unsure, pair=wide), "3 %")


def test_slower_is_called_slower() -> None:
    found = verdict({(LLAMA, 1): steady(100), (LLAMA, 2): steady(48), (LLAMA, 4): steady(28)})
    assert found.headline.startswith(
        "For stories15m (f32) with llama.cpp more nodes than one (100 tokens/s) do not help: "
        "two are slower, at 0.48"
    )
    assert "four are slower, at 0.28" in found.headline
    assert found.details == (), "nothing is said twice"


def test_of_many_numbers_of_nodes_the_headline_tells_the_highest_and_the_most() -> None:
    speeds = {1: 100, 2: 90, 4: 95, 8: 50, 16: 20}
    found = verdict({(LLAMA, n): steady(speed) for n, speed in speeds.items()})
    assert "four are slower" in found.headline
    assert "sixteen are slower" in found.headline
    assert "eight" not in found.headline
    assert "eight are slower" in found.details[0]


def test_a_single_number_of_nodes_makes_no_comparison() -> None:
    found = verdict({(LLAMA, 1): steady(123)})
    assert found.headline.startswith("One node decodes 123")
    assert "times" not in found.headline


def test_a_baseline_of_two_nodes_says_why_it_is_not_one() -> None:
    found = verdict({(DLLAMA, 1): ["failed"] * 7, (DLLAMA, 2): steady(50), (DLLAMA, 4): steady(80)})
    assert "times as fast as two (50.0 tokens/s)" in found.headline
    assert "on one node it could not be measured: worker on pi4: killed by signal 9" in (
        found.headline
    )


def test_a_baseline_of_two_nodes_that_nobody_asked_below_says_so() -> None:
    found = verdict({(DLLAMA, 2): steady(50), (DLLAMA, 4): steady(80)})
    assert "(fewer than two were not planned)" in found.headline


def test_two_engines_share_a_sentence_and_are_compared_at_their_best() -> None:
    found = verdict(
        {
            (DLLAMA, 1): steady(100), (DLLAMA, 2): steady(160),
            (LLAMA, 1): steady(200), (LLAMA, 2): steady(90),
        }
    )  # fmt: skip
    assert found.headline.count("stories15m") == 1
    assert "; with llama.cpp more nodes than one (200 tokens/s) do not help" in found.headline
    assert any(
        sentence.startswith("Each at its best for stories15m (f32), llama.cpp on one node")
        and "1.25" in sentence
        for sentence in found.details
    )


def test_many_series_are_summed_up_by_how_many_gain_and_what_is_fastest_for_each_model() -> None:
    found = verdict(
        {
            (model, n): steady(speed * n**gain)
            for model, speed, gain in (("a", 100, 0.2), ("b", 50, 0.8), ("c", 10, -0.5))
            for n in (1, 2)
        },
        axes=("model", "nodes"),
    )
    assert found.headline == "More nodes are faster in 2 of 3 series, 1.15 to 1.74 times."
    assert found.details[0].startswith("Fastest for a (f32) is distributed-llama on two nodes")
    assert found.details[2].startswith("Fastest for c (f32) is distributed-llama on one node")
    assert len(found.details) == 6


def test_the_fastest_of_equals_is_never_named_alone() -> None:
    outcomes = {(engine, 1): speeds for engine, speeds in (
        (DLLAMA, noisy(100)), (LLAMA, noisy(101)[::-1]), ("petals", steady(50)),
    )}  # fmt: skip
    told = " ".join((found := verdict(outcomes)).details) + found.headline
    assert "astest for stories15m (f32), and not distinguishable, are " in told
    assert "fastest for stories15m (f32) is" not in told.lower()


def test_which_is_fastest_of_equals_that_are_all_there_is_is_unclear() -> None:
    found = verdict({(DLLAMA, 1): noisy(100), (LLAMA, 1): noisy(101)[::-1]})
    assert "It is unclear which of 2 cells is fastest for stories15m (f32)." in found.details
    (rival,) = (sentence for sentence in found.details if sentence.startswith("Engine against"))
    assert "it is unclear whether" in rival
    assert ": between 0." in rival


def test_engines_with_other_weights_are_said_not_to_be_compared() -> None:
    outcomes = {(DLLAMA, "q4_0", 1): steady(100), (LLAMA, "f32", 1): steady(60)}
    found = verdict(outcomes, axes=("engine", "weights", "nodes"))
    assert any("their weights differ" in sentence for sentence in found.details)


def test_nothing_measured_says_so_and_why() -> None:
    found = verdict({(DLLAMA, 1): ["failed"] * 2, (DLLAMA, 2): ["pending"] * 2})
    assert found.headline == (
        "Nothing was measured: none of 4 planned trials is done (2 failed and 2 pending)."
    )
    assert found.details == ("The first reason: worker on pi4: killed by signal 9.",)


def test_an_incomplete_cell_is_never_averaged_silently() -> None:
    found = verdict({(DLLAMA, 1): steady(100), (DLLAMA, 2): [*steady(150, 6), "failed"]})
    assert any(
        "Incomplete: two nodes" in caveat and "6 of 7 trials" in caveat for caveat in found.caveats
    )
    assert "1 of 2 measured cells incomplete" in found.spoken


def test_a_lab_is_called_a_lab_wherever_the_verdict_is_read() -> None:
    outcomes = {(DLLAMA, 1): steady(100), (DLLAMA, 2): steady(150)}
    assert any(
        "not about Raspberry Pis" in caveat for caveat in verdict(outcomes, is_lab=True).caveats
    )
    assert "virtual nodes" in verdict(outcomes, is_lab=True).spoken.lower()
    assert "irtual" not in verdict(outcomes, is_lab=False).spoken


def test_one_trial_a_cell_is_too_few_to_compare_and_says_so() -> None:
    found = verdict({(DLLAMA, 1): [100.0], (DLLAMA, 2): [150.0]})
    assert found.headline == (
        "For stories15m (f32) with distributed-llama from so few trials it is unclear whether "
        "more nodes than one (100 tokens/s) help: two are at 1.50 (one value) times its speed."
    )
    assert any("speed of each cell is from one trial" in caveat for caveat in found.caveats)


def test_five_trials_never_make_a_difference_and_tell_a_range() -> None:
    found = verdict({(DLLAMA, 1): steady(100, 5), (DLLAMA, 2): steady(300, 5)})
    assert "is unclear" in found.headline
    assert "(range 3.00\N{EN DASH}3.00, 94 %) times its speed." in found.headline
    assert "Each cell has fewer than six trials" in found.spoken


def test_attempts_that_were_thrown_away_are_told_with_the_speed_of_the_others() -> None:
    outcomes = {(DLLAMA, 1): steady(100, 6), (DLLAMA, 8): steady(400, 6)}
    run, tables = make_frames(outcomes)
    eight = next(cell.cell_id for cell in run.cells if cell.params["nodes"] == 8)
    lost = pd.DataFrame(
        [
            {"trial_id": f"{eight}-r{block}", "attempt": attempt, "outcome": "invalid",
             "cause": "pi7: it was throttled"}
            for block in range(1, 7) for attempt in (2, 3)
        ]
    )  # fmt: skip
    attempts = pd.concat([tables.attempts, lost])
    series = series_of(cell_results(run, tables.trials, attempts))
    found = verdict_of(series, scalings_of(series), {"done": 12}, is_lab=False)
    told = "12 of 18 attempts on eight nodes were thrown away (pi7: it was throttled)"
    assert found.headline.startswith("In the attempts that counted, eight nodes are 4.00")
    assert told in found.headline
    assert found.caveats[0].startswith(told)
    assert told in found.reservations


def test_attempts_of_a_cell_without_a_good_one_are_counted_with_the_others() -> None:
    outcomes = {
        (DLLAMA, 1): steady(100, 6),
        (DLLAMA, 2): steady(200, 6),
        (DLLAMA, 4): ["failed"] * 6,
    }
    run, tables = make_frames(outcomes)
    series = series_of(cell_results(run, tables.trials, tables.attempts))
    found = verdict_of(series, scalings_of(series), {"done": 12}, is_lab=False)
    told = "12 of 12 attempts on four nodes were thrown away (worker on pi4: killed by signal 9)"
    assert told in found.headline
    assert told in found.caveats[0]
    assert told in found.reservations

    assert found.headline.startswith("Two nodes are 2.00"), "all attempts of these cells counted"
    assert "better tries" not in " ".join(found.caveats)

    two = next(cell.cell_id for cell in run.cells if cell.params["nodes"] == 2)
    once = {"trial_id": f"{two}-r1", "attempt": 2, "outcome": "invalid", "cause": "it swapped"}
    attempts = pd.concat([tables.attempts, pd.DataFrame([once])])
    told = thrown_away(cell_results(run, tables.trials, attempts))
    worst = "12 of 12 on four nodes (worker on pi4: killed by signal 9; …)"
    assert told == f"13 of 25 attempts were thrown away, {worst}", "the cause is that of the worst"


def test_what_a_series_of_several_lost_is_said_once() -> None:
    outcomes = {(engine, n): steady(100 * n, 6) for engine in (DLLAMA, LLAMA) for n in (1, 2)}
    run, tables = make_frames(
        {**outcomes, (DLLAMA, 2): ["failed"] * 6, (DLLAMA, 4): steady(300, 6)}
    )
    series = series_of(cell_results(run, tables.trials, tables.attempts))
    found = verdict_of(series, scalings_of(series), {"done": 24, "failed": 6}, is_lab=False)
    assert found.spoken.count("were thrown away") == 1
    assert any("with distributed-llama were thrown away" in caveat for caveat in found.caveats)


def test_of_cells_that_are_alike_in_nodes_the_one_that_lost_most_is_named_by_the_rest() -> None:
    outcomes = {(LLAMA, 100, 2): steady(100), (LLAMA, 25, 2): [50.0, "failed", 50.0, "failed"]}
    run, tables = make_frames(outcomes, axes=("engine", "link_mbit", "nodes"))
    cells = cell_results(run, tables.trials, tables.attempts)
    assert thrown_away(cells).startswith("4 of 6 attempts on two nodes with 25 Mbit/s were")


def test_what_was_measured_in_too_few_blocks_together_is_not_called_alike() -> None:
    lost = "failed"
    outcomes = {
        (DLLAMA, 1): [lost, lost, lost, *steady(100, 6)],
        (DLLAMA, 2): [*steady(160, 3), lost, lost, *steady(160, 4)],
        (DLLAMA, 4): [*steady(260, 5), lost, *steady(260, 3)],
    }
    found = verdict(outcomes)
    assert "from so few shared blocks it is unclear" in found.headline
    (fastest,) = fastest_of(scalings := scalings_of(made := make_series(outcomes)), family_of(made))
    assert {point.nodes for _, point in fastest.cells} == {1, 4}
    assert not fastest.is_told
    assert "2 of them are left, not all compared with each other" in fastest_clause(fastest, made)
    (figure, *_) = key_figures(made, scalings, family_of(made))
    assert (figure.name, figure.value) == ("Fastest", "cannot tell")


def test_where_numbers_are_not_compared_with_each_other_each_is_told_beside_the_first() -> None:
    speeds = {1: 100, 2: 400, 4: 300, 8: 350}
    outcomes = {(f"m{m}", n): steady(speeds[n]) for m in range(101) for n in speeds}
    found = verdict(outcomes, axes=("model", "nodes"))
    assert found.headline.startswith("More nodes are faster in 101 of 101 series, 4.00 times")
    (sentence,) = (told for told in found.details if "for m7 (" in told)
    assert sentence.startswith("Two nodes are 4.00 (4.00")
    assert "; four are 3.00 (3.00" in sentence
    assert "times as fast as one; eight are 3.50 (3.50" in sentence


def test_a_cell_with_too_few_trials_is_not_judged_beside_others_that_have_enough() -> None:
    found = verdict({(DLLAMA, 1): steady(100), (DLLAMA, 2): steady(160), (DLLAMA, 4): [300.0]})
    assert found.headline.startswith("Two nodes are 1.60")
    assert "it is unclear whether four are faster than two: at 1.89 (one value)" in found.headline


@pytest.mark.parametrize(("trials", "cover"), [(3, "75 %"), (5, "94 %"), (6, None)])
def test_few_trials_bring_a_warning_about_coverage(trials: int, cover: str | None) -> None:
    caveats = verdict({(DLLAMA, 1): steady(100, trials)}).caveats
    assert any(cover in caveat for caveat in caveats) if cover else caveats == ()


def test_a_text_that_depends_on_the_nodes_comes_before_any_speed() -> None:
    found = verdict(
        {(DLLAMA, 1): steady(100), (DLLAMA, 2): steady(150), (DLLAMA, 4): steady(200)},
        columns={"text_sha256": lambda params: "aa" if params["nodes"] < 4 else "bb"},
        is_lab=True,
    )
    assert "differs on four nodes from that on one node" in found.caveats[0]
    assert "Generated texts differ" in found.spoken


def test_a_text_that_is_the_same_everywhere_is_said_to_be() -> None:
    found = verdict(
        {(DLLAMA, 1): steady(100), (DLLAMA, 2): steady(150)}, columns={"text_sha256": "aa"}
    )
    assert found.details[-1] == (
        "On every number of nodes stories15m (f32) with distributed-llama generates the same text."
    )
    assert found.caveats == ()


def test_what_is_pending_is_what_the_ledger_says() -> None:
    """A second arm, measured for the noise alone, is in the ledger and in no series."""
    run, tables = make_frames({(DLLAMA, n): [*steady(10.0 * n, 6), "pending"] for n in (1, 2)})
    series = series_of(cell_results(run, tables.trials))
    found = verdict_of(series, scalings_of(series), {"done": 20, "pending": 9}, is_lab=False)

    assert "9 trials pending" in found.reservations
    assert any(caveat.startswith("9 trials are pending") for caveat in found.caveats)


def test_a_run_that_was_interrupted_says_what_is_pending() -> None:
    half = [*steady(100, 6), "pending"]
    found = verdict({(DLLAMA, n): half for n in (1, 2, 4, 8)})
    assert (
        found.caveats[0] == "4 trials are pending: run the same `fab run-matrix` again to continue."
    )
    assert "4 of 4 measured cells have fewer trials" in found.caveats[1]
    assert "4 trials pending" in found.spoken


def test_perplexity_is_compared_along_nodes() -> None:
    columns = {
        "perplexity": lambda params: 21.5 * (1 + params["nodes"] / 1000),
        "decode_tokens_per_s": None,
    }
    found = verdict({(DLLAMA, n): [1.0] * 6 for n in (1, 2, 4)}, columns=columns)
    assert found.headline == (
        "Perplexity of stories15m (f32) with distributed-llama is 21.52 on one node and differs "
        "from that by at most 0.3 % on two and four."
    )


def test_a_model_with_added_heads_is_called_by_its_name_and_explained() -> None:
    axes = ("model", "engine", "nodes")
    padded = {
        ("stories15m+kv16", DLLAMA, 1): steady(100),
        ("stories15m+kv16", DLLAMA, 2): steady(9),
    }
    found = verdict(padded, axes=axes)
    plain = verdict({("stories15m", DLLAMA, 1): steady(100)}, axes=axes)
    assert "stories15m+kv16 (f32)" in found.headline
    (sentence,) = (caveat for caveat in found.caveats if "zeros" in caveat)
    assert sentence.startswith("stories15m+kv16 is stories15m with 16 heads instead of 6")
    assert not any("heads" in caveat for caveat in plain.caveats)


def test_what_was_planned_and_lost_is_said_once_and_not_to_be_planned_again() -> None:
    study = study_of_kind("a node dies")
    (gap,) = [one for one in study.verdict.caveats if one.startswith("Incomplete")]
    assert gap.count("The figures are medians") == 1
    assert "two nodes" in gap
    assert "four nodes" in gap
    (few,) = [one for one in study.verdict.caveats if "no cell is called faster" in one]
    assert few.endswith("As many were planned: see what did not work.")
    [*_, few] = verdict({(DLLAMA, 1): [*steady(100, 5), "pending"]}).caveats
    assert few.endswith("As many were planned, and some are pending.")
    lost_and_pending = {
        (DLLAMA, 1): [100.0, *["failed"] * 7],
        (DLLAMA, 2): [200.0, *["pending"] * 7],
    }
    [*_, few] = verdict(lost_and_pending).caveats
    assert few.endswith("some are pending, others failed (see what did not work).")
    (laws,) = [section for section in sections_of(study) if section.anchor == "laws"]
    said = " ".join(block.text for block in blocks_in(laws) if isinstance(block, Prose))
    assert "only one had enough trials" in said
    assert "Add numbers of nodes" not in said
