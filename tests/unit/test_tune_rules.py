"""The rules of `fab tune`: halving, what is left out, the budget, the judgement, the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from analysis.settings.judgement import judge
from collect.search import Arm, Confirmation, TriedSetting, TuningResult
from collect.workloads import Benchmark, Questions
from core.errors import HerdError
from experiments.engines import ON_NODES
from experiments.fleet.cluster import Cluster, Node
from experiments.planning.axes import axis_problems
from experiments.planning.matrix import Matrix
from experiments.tune.budget import parse_budget, parse_pairs, share_out
from experiments.tune.halving import Outcome, RungStep, SearchBudget, halve, plain_trials, rungs_for
from experiments.tune.measuring import matrix_of
from experiments.tune.ranking import rank_settings
from experiments.tune.settings import default_matrix, sample, space_of, without_doubles
from tests.benchmarks.tune_findings import World, alike, one_better, simulate
from tests.unit.test_engines import cell, cluster

RUNS = 60


def outcome(speeds: Mapping[int, list[float]], **changed: object) -> Outcome:
    blocks = {n: {(1, b): v for b, v in enumerate(values)} for n, values in speeds.items()}
    return replace(Outcome("run", blocks), **changed)  # type: ignore[arg-type]


# -- ranking


def test_a_slow_block_hits_all_settings_and_changes_no_order() -> None:
    fast, slow = [11.0, 1.1, 110.0], [10.0, 1.0, 100.0]
    found = rank_settings(outcome({0: slow, 1: fast, 2: slow}).speeds)

    assert found.order == (1, 0, 2)
    assert found.like_the_best == {1}


def test_settings_within_the_noise_are_like_the_best() -> None:
    found = rank_settings(
        outcome({0: [10, 11, 10, 12], 1: [11, 10, 12, 10], 2: [1, 1, 1, 1]}).speeds
    )

    assert found.like_the_best == {0, 1}


def test_a_missing_trial_is_no_zero() -> None:
    speeds = {0: {(1, 1): 1.0, (1, 2): 10.0}, 1: {(1, 2): 12.0}}

    assert rank_settings(speeds).order == (1, 0)
    assert rank_settings({0: {}}).order == ()


# -- halving


def search(
    speeds: list[float], most: float = 1e6, **changed: Mapping[int, object]
) -> list[RungStep]:
    def measure(number: int, alive: tuple[int, ...], trials: int) -> Outcome:
        blocks = {n: {(number, b): speeds[n] for b in range(trials)} for n in alive}
        return replace(Outcome(f"run {number}", blocks), **changed)  # type: ignore[arg-type]

    return halve(len(speeds), SearchBudget(most), measure)


def test_the_better_half_gets_twice_as_many_trials() -> None:
    steps = search([1, 2, 3, 4, 5, 6, 7, 8])

    assert [(len(step.began), step.trials) for step in steps] == [(8, 2), (4, 4), (2, 8)]
    assert steps[-1].kept == (7,)
    assert sum(len(step.began) * step.trials for step in steps) == plain_trials(8) == 48
    assert [rungs_for(n) for n in (2, 3, 4, 5, 48)] == [3, 3, 3, 3, 6]


def test_what_is_alike_is_kept_until_the_budget_demands_otherwise() -> None:
    whole, short = search([1.0] * 8), search([1.0] * 8, most=48)

    assert [len(step.began) for step in whole] == [8, 8, 8]
    assert [len(step.kept) for step in short] == [4, 2, 1]
    assert [step.is_short_of_budget for step in short] == [True, True, False]
    assert short[0].undecided == (4, 5, 6, 7)


def test_a_setting_whose_trial_failed_never_wins() -> None:
    steps = search([1.0, 9.0], failed={1: "no memory"})

    assert steps[-1].kept == (0,)
    assert steps[-1].failed == {1: "no memory"}


def test_a_setting_may_fail_once_and_not_in_a_quarter_of_its_attempts() -> None:
    once = search([1.0, 9.0], crashes={1: 1}, causes={1: "it broke"})
    often = search([1.0, 9.0], crashes={1: 2}, causes={1: "it broke"})

    assert once[-1].kept == (1,)
    assert often[-1].failed == {1: "it broke"}


def test_a_search_in_which_all_fail_ends() -> None:
    steps = search([1.0, 2.0, 3.0], failed={0: "a", 1: "b", 2: "c"})

    assert len(steps) == 1
    assert steps[0].kept == ()


# -- budget


@pytest.mark.parametrize(
    ("text", "trials", "seconds"),
    [("200", 200, None), ("60 trials", 60, None), ("30min", None, 1800.0), ("2 h", None, 7200.0)],
)
def test_a_budget_is_time_or_trials(text: str, trials: int | None, seconds: float | None) -> None:
    found = parse_budget(text)

    assert (found.trials, found.seconds) == (trials, seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5", "0", "1.5 trials", "30 minutes"])
def test_another_budget_is_refused(text: str) -> None:
    with pytest.raises(HerdError, match=r"--budget"):
        parse_budget(text)


@pytest.mark.parametrize("text", ["9", "1001", "ten"])
def test_fewer_than_ten_pairs_are_refused(text: str) -> None:
    with pytest.raises(HerdError, match=r"--pairs"):
        parse_pairs(text)


def test_a_budget_decides_how_many_settings_are_tried() -> None:
    assert share_out(parse_budget("70"), 24, 10, 1, 5.0).settings == 8
    assert share_out(parse_budget("350s"), 24, 10, 1, 5.0).settings == 8
    assert share_out(parse_budget(None), 24, 10, 1, 5.0).search == 1.5 * plain_trials(24)
    with pytest.raises(HerdError, match="the confirmation alone takes 22 trials"):
        share_out(parse_budget("20"), 24, 10, 1, 5.0)


def test_a_sample_has_the_default_and_each_value() -> None:
    settings = [{"a": a, "b": b} for a in range(4) for b in range(4)]
    chosen = sample(settings, 8, seed=3)

    assert len(chosen) == 8
    assert chosen[0] == settings[0]
    assert {one["a"] for one in chosen} == {one["b"] for one in chosen} == {0, 1, 2, 3}
    assert chosen == sample(settings, 8, seed=3)


# -- judgement


def confirmed(ratios: list[float], **changed: object) -> TuningResult:
    """A search whose confirmation gave these ratios; its best side may be changed."""
    blocks = dict(enumerate(ratios, start=1))
    ours = {"answer": blocks, "decode": blocks, "prefill": dict.fromkeys(blocks, 0.5)}
    ones = dict.fromkeys(blocks, 1.0)
    default = Arm("b", {}, {"answer": ones, "decode": ones, "prefill": ones}, len(blocks))
    best = replace(Arm("a", {}, ours, len(blocks)), **changed)  # type: ignore[arg-type]
    return TuningResult(
        name="tune-1",
        speed="answer",
        workload="",
        fixed={},
        axes={"threads": (0, 2)},
        combinations=2,
        budget="",
        rungs=(),
        tried=(TriedSetting({"threads": 2}, is_default=False, fate="best"),),
        confirmation=Confirmation("run", 10, best, default),
    )


GAIN = [1.4, 1.38, 1.42, 1.4, 1.39, 1.41, 1.4, 1.43, 1.37, 1.4]
NOISE = [1.2, 0.8, 1.1, 0.9, 1.3, 0.7, 1.0, 1.1, 0.9, 1.0]


def test_a_gain_is_told_with_its_interval_and_what_it_costs() -> None:
    found = judge(confirmed(GAIN))

    assert found.is_gain
    assert found.answer == "2 threads is 1.40 times as fast as the default (1.39 to 1.41)."
    assert "But reading the prompt is slower: 0.5" in found.details[-1]


def test_a_gain_within_the_margin_is_none() -> None:
    found = judge(confirmed([1.01 + one / 1000 for one in range(10)]))

    assert not found.is_gain
    assert "differ by less than ±3 %: keep the default." in found.answer


def test_noise_is_no_gain_and_its_size_is_told() -> None:
    found = judge(confirmed(NOISE))

    assert found.answer == "Nothing above the noise floor: keep the default."
    assert "of 10 pairs." in found.details[0]


def test_a_slower_setting_is_not_recommended() -> None:
    found = judge(confirmed([1 / one for one in GAIN]))

    assert not found.is_gain
    assert "is slower than the default (0.71" in found.answer


def test_a_setting_that_crashes_in_the_confirmation_is_not_recommended() -> None:
    found = judge(confirmed(GAIN, crashes=2, cause="it broke"))

    assert found.answer == (
        "2 threads failed in 2 of 12 attempts of the confirmation (it broke): keep the default."
    )
    assert judge(confirmed(GAIN, crashes=1, cause="it broke")).is_gain


def test_fewer_than_ten_whole_pairs_confirm_nothing() -> None:
    found = judge(confirmed(GAIN[:9]))

    assert found.answer == (
        "2 threads was not confirmed: only 9 of 10 pairs were whole, and 10 are needed."
    )


# -- settings


def asked(engine: str, nodes: int = 2, **axes: tuple[object, ...]) -> Matrix:
    return Matrix(
        title="Tuning",
        workload=Benchmark(),
        axes={
            "engine": (engine,),
            "model": ("stories15m+kv16",),
            "nodes": (nodes,),
            "weights": ("f32",),
            **axes,
        },
        file="tune.yml",
    )


def machines(*cores: int) -> Cluster:
    """Nodes with so many cores; those with as many are of one kind."""
    return Cluster(
        tuple(
            Node(f"n{place}", "", "", cores=count, memory_mib=1024 * count)
            for place, count in enumerate(cores)
        )
    )


@pytest.mark.parametrize("name", ON_NODES)
def test_what_engines_propose_are_values_of_their_axes(name: str) -> None:
    engine, nodes = ON_NODES[name], machines(4, 8).nodes
    proposed = engine.candidates(cell(name, nodes=2), nodes)

    assert proposed
    assert set(proposed) <= {axis.name for axis in engine.axes}
    assert not list(axis_problems({axis: tuple(values) for axis, values in proposed.items()}))


def test_threads_and_roots_are_those_that_differ_on_these_nodes() -> None:
    alike, mixed = space_of(asked("llama.cpp"), machines(4, 4)), None
    mixed = space_of(asked("llama.cpp"), machines(4, 8))

    assert alike.axes["threads"] == (0, 3, 2, 1)
    assert "on" not in alike.axes
    assert alike.axes["shares"] == ("free", "even")
    assert mixed.axes["threads"] == (0, 4, 3, 2, 1)
    assert mixed.axes["on"] == ("first", "n1+n0")
    assert mixed.axes["shares"] == ("free", "even", "memory")


def test_an_axis_that_is_named_has_these_values_and_with_one_it_is_fixed() -> None:
    space = space_of(asked("llama.cpp", threads=(2, 4), shares=("even",)), machines(4, 4))

    assert space.axes == {"split_mode": ("layer", "tensor"), "threads": (0, 2, 4)}
    assert space.default == {"split_mode": "layer", "threads": 0}
    assert len(space.combinations()) == 6


def test_settings_that_name_the_same_nodes_are_one() -> None:
    nodes = machines(4, 4)
    space = space_of(asked("llama.cpp", threads=(0,), on=("first", "n0+n1", "n1+n0")), nodes)
    matrix = matrix_of(space.base, (), title="", repeats=1, seed=1)
    found = without_doubles(matrix, space.combinations(), nodes)

    assert {one["on"] for one in found} == {"first", "n1+n0"}


@pytest.mark.parametrize(
    ("on", "names"),
    [
        (("first", "each_root"), ("first", "n0+n1", "n1+n0")),
        (("each_root",), ("first", "n0+n1", "n1+n0")),
        (("each",), ("first", "n0", "n1")),
    ],
)
def test_a_word_for_several_becomes_names(on: tuple[str, ...], names: tuple[str, ...]) -> None:
    """One such word is several values, so the axis is not fixed by it."""
    space = space_of(asked("llama.cpp", threads=(0,), on=on), machines(4, 4))

    assert space.axes["on"] == names
    assert "on" not in space.base.axes or space.base.axes["on"] == ("first",)


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"model": ("stories15m", "stories15m+kv16")}, "axis model has several values"),
        ({"device": ("cpu", "gpu")}, "axis device has several values, and it can only be fixed"),
        ({"threads": (2,), "split_mode": ("layer",), "shares": ("even",)}, "no axis has a second"),
    ],
)
def test_what_cannot_be_tuned_is_refused(axes: dict[str, tuple[object, ...]], told: str) -> None:
    with pytest.raises(HerdError, match=told):
        space_of(asked("llama.cpp", **axes), machines(4, 4))


def test_a_matrix_of_questions_is_refused() -> None:
    matrix = asked("llama.cpp").model_copy(update={"workload": Questions(file="six.yml")})

    with pytest.raises(HerdError, match="its workload is questions, and settings are compared"):
        default_matrix(matrix)


def test_a_matrix_with_two_arms_is_refused() -> None:
    with pytest.raises(HerdError, match="`noise: true` makes two cells of each setting"):
        default_matrix(asked("llama.cpp").model_copy(update={"noise": True}))


def test_engines_refuse_settings_that_cannot_be() -> None:
    """What an engine refuses is known before anything runs."""
    assert ON_NODES["llama.cpp"].check(cell("llama.cpp", nodes=2, shares="9-9"), cluster())


# -- known truth


def test_where_all_are_alike_hardly_any_search_claims_a_gain() -> None:
    counts = simulate(World(alike(8), 0.03, drift=0.05), RUNS)

    assert counts.false <= 0.1


def test_the_best_of_several_is_found_and_one_that_crashes_is_not() -> None:
    sound = simulate(World(one_better(8), 0.05), RUNS)
    frail = simulate(World((*one_better(7), 2.0), 0.03, crashes={7: 0.5}), RUNS)

    assert sound.best > 0.95
    assert sound.claimed > 0.95
    assert frail.frail <= 0.02
    assert frail.best > 0.9


@pytest.mark.parametrize("who", [0, 1])
def test_a_setting_that_slows_the_next_trial_makes_no_gain(who: int) -> None:
    """In random order a trial follows the other setting three times as often as its own."""
    same = simulate(World(alike(2), 0.01, leaves={who: 0.15}), RUNS)
    faster = simulate(World(one_better(2, 1.1), 0.01, leaves={who: 0.08}), RUNS)

    assert same.false <= 0.05
    assert faster.claimed > 0.95


def test_two_settings_are_measured_in_turn_and_more_in_random_order() -> None:
    settings = [{"threads": count} for count in (0, 1, 2)]
    pair, more = (
        matrix_of(asked("llama.cpp"), chosen, title="", repeats=2, seed=1)
        for chosen in (settings[:2], settings)
    )

    assert pair.in_turn
    assert not more.in_turn
