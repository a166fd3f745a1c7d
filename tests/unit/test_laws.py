"""Scaling laws: fitted with intervals that hold, refused where they describe nothing."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.blocks import Prose
from analysis.model.draws import times_of
from analysis.model.laws import Fit, Law, enough, fitted
from analysis.model.of_series import laws_of
from analysis.sections import laws as section
from analysis.study import study_of
from analysis.within import blocks_in, files_in
from tests.benchmarks.law_coverage import AMDAHL, USL, Truth, seen
from tests.doubles.gpu_run import PC, SOFTWARE, gpu_frames, pc_and_pis
from tests.doubles.noisy_run import noisy_frames
from tests.doubles.run_frames import Outcomes, make_frames

DLLAMA = "distributed-llama"
WAVES = (1.0, 1.01, 0.99, 1.005, 0.995, 1.0)


def speeds(ms: dict[int, float], trials: int = 6, wave: float = 1.0) -> Outcomes:
    """Trials whose times differ by a percent, in another order on each number of nodes."""
    return {
        (DLLAMA, nodes): [
            1000 / (one * (1 + wave * (WAVES[(block + nodes) % 6] - 1))) for block in range(trials)
        ]
        for nodes, one in ms.items()
    }


def fit(law: Law, ms: dict[int, float]) -> Fit:
    measured = {n: dict(enumerate(one * wave for wave in WAVES)) for n, one in ms.items()}
    return fitted(law, times_of(measured), 0.03)


def said(outcomes: Outcomes) -> list[str]:
    (made,) = section.sections(study_of(*make_frames(outcomes)))
    return [block.text for block in blocks_in(made) if isinstance(block, Prose)]


def test_a_law_that_is_true_to_the_digit_is_found() -> None:
    found = fit(Law.AMDAHL, {n: 20 + 80 / n for n in (1, 2, 4, 8)})
    assert found.parts == pytest.approx([20, 80], rel=1e-3)
    assert found.serial.value == pytest.approx(0.2, rel=1e-3)
    found = fit(Law.USL, {n: 10 + 80 / n + 4 * (n - 1) for n in (1, 2, 4, 8)})
    assert found.parts == pytest.approx([10, 80, 4], rel=1e-3)
    assert not found.misses


def test_time_that_only_grows_with_the_nodes_has_no_share_that_is_divided() -> None:
    found = fit(Law.USL, {2: 10, 4: 30, 6: 50, 8: 70})
    assert found.parts == pytest.approx([0, 0, 10], abs=0.2)
    assert 0 <= found.serial.low <= found.serial.value <= found.serial.high <= 1
    pays = found.last_that_pays(0.03)
    assert pays is not None
    assert pays.value == 2


def test_no_part_is_below_zero() -> None:
    found = fit(Law.USL, {1: 100, 2: 45, 4: 20, 8: 9})
    assert (found.parts >= 0).all()
    assert (found.drawn >= 0).all()


@pytest.mark.parametrize(
    "truth",
    [
        Truth("Amdahl", AMDAHL, Law.AMDAHL),
        Truth("Amdahl", AMDAHL, Law.AMDAHL, nodes=(1, 2, 4)),
        Truth("universal", USL, Law.USL),
        Truth("universal", USL, Law.USL, nodes=(1, 2, 3, 4, 6, 8)),
    ],
)
def test_ninety_percent_intervals_hold_the_truth_in_about_ninety_of_a_hundred_runs(
    truth: Truth,
) -> None:
    found = seen(truth, 150)
    for share in (*found.holds, found.holds_serial):
        assert 0.83 <= share <= 0.97
    assert 0.83 <= found.holds_time <= 0.97
    assert found.refused <= 0.06


def test_a_machine_that_drifts_leaves_the_serial_share_right() -> None:
    found = seen(Truth("Amdahl", AMDAHL, Law.AMDAHL, noise="drift"), 150)
    assert 0.83 <= found.holds_serial <= 0.97


def test_amdahls_law_is_refused_where_each_node_adds_time() -> None:
    assert seen(Truth("universal", USL, Law.AMDAHL), 60).refused >= 0.95
    assert seen(Truth("universal", (10.0, 80.0, 1.0), Law.AMDAHL), 60).refused >= 0.9


def test_trials_alike_to_the_digit_make_nothing_certain() -> None:
    alike = times_of({n: dict.fromkeys(range(6), 20 + 80 / n) for n in (1, 2, 4)})
    found = fitted(Law.AMDAHL, alike, 0.03)
    assert found.intervals[0].low < 20 < found.intervals[0].high
    together = times_of(
        {n: {block: (20 + 80 / n) * wave for block, wave in enumerate(WAVES)} for n in (1, 2, 4)}
    )
    assert fitted(Law.AMDAHL, together, 0.03).serial.low < 0.2


def test_a_lost_trial_of_a_slow_block_moves_nothing() -> None:
    """What a block did to all is known from the numbers of nodes that it has."""
    slow = (1.0, 1.0, 1.0, 1.5, 1.0, 1.0)
    measured = {n: {b: (20 + 80 / n) * slow[b] for b in range(6)} for n in (1, 2, 4)}
    del measured[4][3]
    times = times_of(measured)
    assert times.ms / times.ms[0] == pytest.approx([1, 0.6, 0.4])
    assert times.trials == (6, 6, 5)


def test_too_few_numbers_of_nodes_are_named() -> None:
    assert enough(Law.AMDAHL, [1, 2, 4]) == ""
    assert enough(Law.USL, [1, 2, 4, 8]) == ""
    assert enough(Law.AMDAHL, [2, 1]) == (
        "Amdahl's law takes three numbers of nodes or more: measured were one and two. Add numbers "
        "of nodes to the matrix."
    )
    assert "four numbers of nodes or more: measured were one, two and four" in enough(
        Law.USL, [1, 2, 4]
    )
    assert "only one was measured" in enough(Law.AMDAHL, [1])
    assert "none was measured often enough" in enough(Law.AMDAHL, [])
    assert enough(Law.AMDAHL, [1], [2]).endswith(
        "only one had enough trials. Add numbers of nodes to the matrix."
    )


def test_numbers_that_are_planned_and_not_measured_yet_need_not_be_added() -> None:
    outcomes = speeds({1: 100}) | speeds({2: 60}, trials=3) | {(DLLAMA, 4): ["pending"] * 6}
    (told,) = said(outcomes)
    assert "only one had enough trials" in told
    assert "these have fewer: two nodes and four nodes" in told
    assert "only one was measured" not in told
    assert "Add numbers" not in told
    (told,) = said(outcomes | {(DLLAMA, 4): ["unavailable"] * 6})
    assert "these have fewer: two nodes." in told
    assert "Add numbers" in told


def test_a_number_of_nodes_counts_from_six_trials_on() -> None:
    outcomes = speeds({1: 100, 2: 60}) | speeds({4: 40}, trials=5)
    (told,) = said(outcomes)
    assert "only one and two had enough trials" in told
    assert "from six trials on; these have fewer: four nodes" in told


def test_after_how_many_nodes_one_more_does_not_pay() -> None:
    assert fit(Law.AMDAHL, {n: 20 + 80 / n for n in (1, 2, 4)}).last_that_pays(0.03) is None
    found = fit(Law.USL, {n: 10 + 80 / n + 4 * (n - 1) for n in (1, 2, 4, 8)}).last_that_pays(0.03)
    truth = {n: 10 + 80 / n + 4 * (n - 1) for n in range(1, 9)}
    first = next(n for n in range(1, 8) if truth[n] < 1.03 * truth[n + 1])
    assert found is not None
    assert found.low <= found.value == first <= found.high


def test_where_two_numbers_may_be_the_last_that_pays_both_are_named() -> None:
    measured = {
        n: {block: (30 + 70 / n) * WAVES[(block + n) % 6] for block in range(6)}
        for n in (1, 2, 4, 7)
    }
    step = (30 + 70 / 3) / (30 + 70 / 4) - 1
    found = fitted(Law.AMDAHL, times_of(measured), 0.03).last_that_pays(step)
    assert found is not None
    assert (found.low, found.high) == (3, 4)


def test_the_section_says_which_law_holds_and_when_one_more_does_not_pay() -> None:
    (told,) = said(speeds({n: 10 + 80 / n + 4 * (n - 1) for n in (1, 2, 4, 8)}))
    assert "each further node adds 4.0" in told
    assert "One more does not pay after four nodes" in told
    assert "Amdahl's law does not describe" in told
    (told,) = said(speeds({n: 10 + 90 / n for n in (1, 2, 4)}))
    assert "by Amdahl's law 10" in told
    assert "is not reached within the measured numbers: up to four nodes" in told
    assert "The universal scalability law takes four numbers of nodes or more" in told


def test_a_law_that_describes_nothing_is_refused_with_the_number_that_it_misses() -> None:
    (told,) = said(speeds({1: 100, 2: 30, 4: 90, 8: 40}, wave=0.3))
    assert "Amdahl's law does not describe stories15m" in told
    assert "The universal scalability law does not describe stories15m" in told
    assert "noise explains at most" in told
    assert "pays" not in told
    assert "does not pay" not in told


def test_every_number_of_a_sentence_is_in_the_file() -> None:
    (made,) = section.sections(
        study_of(*make_frames(speeds({n: 10 + 80 / n + 4 * (n - 1) for n in (1, 2, 4, 8)})))
    )
    (file,) = [file for file in files_in([made]) if file.stem == "scaling-laws"]
    rows = file.data.set_index("law")
    universal, amdahl = rows.loc[str(Law.USL)], rows.loc[str(Law.AMDAHL)]
    assert (universal["state"], amdahl["state"]) == ("describes it", "does not describe it")
    assert universal["c_ms_low"] <= universal["c_ms"] <= universal["c_ms_high"]
    assert universal["pays_up_to"] == 4
    assert amdahl["residual"] > max(amdahl["residual_noise"], amdahl["residual_allowed"])
    assert np.isnan(amdahl["c_ms"])


def test_software_gpus_and_single_numbers_of_nodes_have_no_such_section() -> None:
    software = study_of(*gpu_frames(pc_and_pis(), gpus={PC: SOFTWARE}, software=[PC]))
    for found in laws_of(software.scalings, 0.03):
        assert not any(point.cell.software for point in found.scaling.points)
    assert not list(section.sections(study_of(*make_frames({(DLLAMA, 1): [10.0] * 6}))))


def test_a_step_within_the_noise_floor_does_not_pay() -> None:
    """Identical arms that differ by 30 % leave no step of 15 % that pays."""
    speeds = {n: 1000 / (20 + 80 / n) for n in (1, 2, 4, 8)}
    study = study_of(*noisy_frames(speeds, noise=0.005, second=1.3))
    (made,) = section.sections(study)
    (file,) = [file for file in files_in([made]) if file.stem == "scaling-laws"]
    floor = study.noise.floors["tokens/s"].ratio - 1 if study.noise else 0.0
    assert floor > 0.1
    assert file.data["margin"].dropna().unique() == pytest.approx([floor], abs=1e-3)
    assert "less than 3 %" not in str(made.blocks)
