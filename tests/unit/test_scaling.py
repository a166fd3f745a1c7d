"""Speed-up, efficiency, baseline and knee."""

from __future__ import annotations

import pytest

from analysis.cells.family import Claim, Family
from analysis.cells.scaling import Scaling, scaling_of, scalings_of, speed_pairs
from analysis.verdict.fastest import fastest_of
from tests.doubles.run_frames import Outcomes, make_series

DLLAMA = "distributed-llama"


def steady(value: float, trials: int = 6) -> list[float]:
    """Trials that differ by a little, in the same way in every cell."""
    return [value * (1 + 0.01 * (block % 3 - 1)) for block in range(trials)]


def only(outcomes: Outcomes) -> Scaling:
    (series,) = make_series(outcomes)
    found = scaling_of(series)
    assert found is not None
    return found


def test_a_machine_that_slows_down_during_the_run_does_not_blur_the_speed_up() -> None:
    drift = [1.0, 0.8, 0.6, 0.5, 0.4, 0.4]
    scaling = only({(DLLAMA, 1): [100 * d for d in drift], (DLLAMA, 2): [150 * d for d in drift]})
    speed_up = scaling.point(2).speed_up
    assert (speed_up.value, speed_up.low, speed_up.high) == pytest.approx((1.5, 1.5, 1.5))


def test_efficiency_is_speed_up_over_nodes() -> None:
    scaling = only({(DLLAMA, 1): steady(100), (DLLAMA, 4): steady(300)})
    assert scaling.point(4).efficiency == pytest.approx(0.75)
    assert scaling.point(1).efficiency == pytest.approx(1.0)


def test_the_knee_is_the_last_number_of_nodes_that_paid() -> None:
    scaling = only({(DLLAMA, n): steady(v) for n, v in ((1, 100), (2, 170), (4, 250), (8, 200))})
    assert scaling.knee == 4
    assert scaling.best.nodes == 4


def test_there_is_no_knee_while_the_largest_number_still_pays() -> None:
    scaling = only({(DLLAMA, n): steady(v) for n, v in ((1, 100), (2, 170), (4, 250))})
    assert scaling.knee is None


def test_a_gain_within_the_noise_does_not_pay() -> None:
    noisy = [95.0, 108.0, 99.0, 104.0, 100.0, 103.0]
    scaling = only({(DLLAMA, 1): [100.0, 101, 99, 100, 100, 99], (DLLAMA, 2): noisy})
    assert scaling.best.nodes == 1


def test_nothing_pays_by_fewer_than_six_trials_and_nothing_is_known_not_to() -> None:
    scaling = only({(DLLAMA, 1): steady(100, 5), (DLLAMA, 2): steady(300, 5)})
    assert (scaling.best.nodes, scaling.knee, scaling.is_known) == (1, None, False)


def test_there_is_no_knee_where_it_cannot_be_told_what_lies_beyond() -> None:
    noisy = [100.0, 260, 150, 210, 120, 240]
    scaling = only({(DLLAMA, 1): steady(100), (DLLAMA, 2): steady(170), (DLLAMA, 4): noisy})
    assert (scaling.best.nodes, scaling.knee) == (2, None)


def test_the_knee_lies_before_a_step_that_makes_no_difference() -> None:
    outcomes = {(DLLAMA, n): steady(v) for n, v in ((1, 100), (2, 170), (4, 171))}
    assert only(outcomes).knee == 2


def test_small_steps_that_may_be_a_difference_together_make_no_knee() -> None:
    rising = {1: 100, 2: 102, 4: 104, 8: 105.5}
    scaling = only({(DLLAMA, n): steady(v) for n, v in rising.items()})
    assert scaling.best.nodes == 4
    assert scaling.knee == 4
    waves = [0.98, 1.02, 0.98, 1.02, 0.985, 1.015]
    wavering = {(DLLAMA, n): [v * wave for wave in waves] for n, v in ((2, 100.5), (4, 101.6))}
    scaling = only({(DLLAMA, 1): [100.0] * 6} | wavering)
    assert {step.found.finding for step in scaling.steps.values()} == {Claim.SAME}
    assert (scaling.best.nodes, scaling.knee) == (1, None), "no difference by steps alone"


def test_of_equals_the_fewest_nodes_are_the_best() -> None:
    noisy = [165.0, 178, 169, 174, 170, 172]
    scaling = only({(DLLAMA, 1): steady(100), (DLLAMA, 2): steady(170), (DLLAMA, 4): noisy})
    assert scaling.best.nodes == 2


def test_pairs_of_a_kind_that_would_be_too_many_are_left_out_whole() -> None:
    outcomes = {(f"m{m}", n): steady(100) for m in range(70) for n in (1, 2, 4, 8)}
    pairs = speed_pairs(make_series(outcomes, axes=("model", "nodes")))
    assert len(pairs) == 70 * 3
    for series, pairs_of_each in ((60, 5), (50, 6)):
        few = {key: speeds for key, speeds in outcomes.items() if int(key[0][1:]) < series}
        made = speed_pairs(make_series(few, axes=("model", "nodes")))
        assert len(made) == series * pairs_of_each


def test_a_number_between_two_that_help_does_not_hide_the_higher_one() -> None:
    outcomes = {(DLLAMA, n): steady(v) for n, v in ((1, 100), (2, 200), (4, 120), (8, 400))}
    scaling = only(outcomes)
    assert scaling.best.nodes == 8
    (found,) = fastest_of([scaling], Family(speed_pairs(make_series(outcomes))))
    assert [point.nodes for _, point in found.cells] == [8]


def test_numbers_that_too_large_a_report_does_not_compare_are_not_called_alike() -> None:
    outcomes = {(f"m{m}", n): steady(100 * n) for m in range(101) for n in (1, 2, 4, 8)}
    all_series = make_series(outcomes, axes=("model", "nodes"))
    family = Family(speed_pairs(all_series))
    scalings = scalings_of(all_series, family)
    assert {(scaling.best.nodes, scaling.knee) for scaling in scalings} == {(8, None)}
    assert not any(found.is_told for found in fastest_of(scalings, family))


def test_a_dip_on_the_way_does_not_hide_a_later_gain() -> None:
    scaling = only({(DLLAMA, n): steady(v) for n, v in ((1, 100), (2, 80), (4, 250))})
    assert scaling.best.nodes == 4


def test_without_one_node_the_smallest_measured_number_is_the_baseline() -> None:
    scaling = only({(DLLAMA, 1): ["failed"] * 3, (DLLAMA, 2): steady(50), (DLLAMA, 4): steady(80)})
    assert scaling.baseline.nodes == 2
    assert [cell.nodes for cell in scaling.missing] == [1]
    assert scaling.point(4).efficiency == pytest.approx(0.8)
    assert scaling.point(4).serial_fraction is None


def test_a_series_without_measurements_has_no_scaling() -> None:
    assert scalings_of(make_series({(DLLAMA, 1): ["pending"], (DLLAMA, 2): ["unavailable"]})) == ()


def test_series_are_named_by_what_varies_and_by_nothing_else() -> None:
    series = make_series(
        {
            (DLLAMA, "kept", 1): [1.0],
            (DLLAMA, "fresh", 1): [1.0],
            ("llama.cpp", "fresh", 1): [1.0],
        },
        axes=("engine", "workers", "nodes"),
    )
    assert [one.label for one in series] == [
        "distributed-llama, workers kept",
        "distributed-llama, workers fresh",
        "llama.cpp, workers fresh",
    ]


def test_a_lone_series_is_named_by_its_engine() -> None:
    (series,) = make_series({("llama.cpp", 1): [1.0], ("llama.cpp", 2): [1.0]})
    assert series.label == "llama.cpp"
