"""Cells measured as two identical arms: the noise floor, and what may not be spoken below it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from analysis.cells.arms import noise_of
from analysis.cells.cells import cell_results
from analysis.cells.family import Claim, Family, Pair, Side
from analysis.cells.scaling import speed_pairs
from analysis.cells.series import series_of
from analysis.sections import cells
from analysis.statistics.floor import HELD, noise_floor
from analysis.statistics.stats import paired_ratio
from analysis.study import Study, study_of
from analysis.verdict.noise_text import noise_sentences
from collect.arms import ARM, first_arms, has_arms
from collect.questions import Question
from core.errors import HerdError
from experiments.planning.identity import canonical
from experiments.planning.matrix import Matrix, load_matrix
from tests.benchmarks.floor_findings import OWN_DRIFT, UNEVEN, simulate
from tests.doubles.asked import Asked, make_asked
from tests.doubles.noisy_run import noisy_frames
from tests.doubles.shared_kinds import study_of_kind

RNG = np.random.default_rng(7)


def arms(cells: int, blocks: int, spread: float = 0.03) -> list[list[float]]:
    """Logarithms of the ratios of identical arms."""
    return [list(row) for row in spread * RNG.normal(size=(cells, blocks))]


# -- the floor


def test_identical_arms_stay_below_the_floor_in_95_percent() -> None:
    runs = 1500
    beyond = 0
    for _ in range(runs):
        floor = noise_floor(arms(3, 8))
        assert floor is not None
        beyond += abs(np.mean(arms(1, 8)[0])) > math.log(floor.ratio)
    assert 0.02 < beyond / runs < 0.075


def test_its_interval_holds_the_bound_of_many_arms() -> None:
    truth = 1.96 * 0.03 / math.sqrt(8)
    floors = [noise_floor(arms(3, 8)) for _ in range(800)]
    held = [f and math.log(f.low) <= truth <= math.log(f.high) for f in floors]
    assert 0.92 < np.mean(held) < 0.98


def test_it_is_never_below_the_largest_difference_seen() -> None:
    quiet = [[0.001, -0.001] * 4] * 4
    floor = noise_floor([*quiet, [0.2, 0.21, 0.19, 0.2, 0.22, 0.2]])
    assert floor is not None
    assert floor.ratio >= floor.largest == pytest.approx(math.exp(0.2033), rel=1e-3)


def test_what_lasts_over_blocks_widens_it() -> None:
    steady = [[0.05, -0.05, 0.05, -0.05, 0.05, -0.05, 0.05, -0.05]] * 3
    lasting = [[0.05, 0.05, 0.05, 0.05, -0.05, -0.05, -0.05, -0.05]] * 3
    one, other = noise_floor(steady), noise_floor(lasting)
    assert one is not None
    assert other is not None
    assert one.alike == 0
    assert other.alike > 0.5
    assert other.ratio > one.ratio**1.5


def test_five_pairs_are_too_few() -> None:
    assert noise_floor([[0.01] * 5, []]) is None


# -- comparisons


def pair(ratio: float, spread: float, n: int = 6) -> Pair:
    steps = np.random.default_rng(2).permutation(np.linspace(-1, 1, n))
    values = ratio * np.exp(spread * steps / steps.std(ddof=1))
    found = paired_ratio(dict(enumerate(values)), dict.fromkeys(range(n), 1.0))
    return Pair("tokens/s", Side("x", "x"), Side("y", "y"), n, found)


def floor_of(ratio: float):  # noqa: ANN201 - a floor, never none
    floor = noise_floor([[math.log(ratio)] * 6])
    assert floor is not None
    return {"tokens/s": floor}


def test_a_difference_below_the_floor_is_not_spoken_and_the_reason_is() -> None:
    (free,) = Family([pair(1.1, 0.01)]).rows
    floors = floor_of(1.2)
    (held,) = Family([pair(1.1, 0.01)], floors=floors).rows
    (above,) = Family([pair(9.0, 0.01)], floors=floors).rows
    assert (free.finding, free.why) == (Claim.FASTER, "")
    assert held.finding is Claim.UNKNOWN
    assert "below the noise floor" in held.why
    assert (above.finding, above.why) == (Claim.FASTER, "")


def test_the_floor_counts_from_both_sides_and_for_its_quantity_alone() -> None:
    floors = floor_of(1.2)
    (slower,) = Family([pair(1 / 1.1, 0.01)], floors=floors).rows
    (other,) = Family([pair(1.1, 0.01)], floors={"first token": floors["tokens/s"]}).rows
    assert slower.finding is Claim.UNKNOWN
    assert slower.turned().why == slower.why
    assert other.finding is Claim.FASTER


def test_nothing_is_called_the_same_where_the_floor_is_wider_than_the_margin() -> None:
    (row,) = Family([pair(1.0, 0.005)], floors=floor_of(1.2)).rows
    assert row.finding is Claim.UNKNOWN
    assert "is wider than ±3 %" in row.why


def test_the_file_has_the_reason_only_where_there_is_one() -> None:
    floors = floor_of(1.2)
    assert "why" in Family([pair(1.1, 0.01)], floors=floors).frame()
    assert "why" not in Family([pair(9.0, 0.01)], floors=floors).frame()


# -- the report


def noisy(**options: object) -> Study:
    return study_of(*noisy_frames({1: 10.0, 2: 10.2, 4: 25.0}, **options))  # type: ignore[arg-type]


def test_the_second_arm_is_in_nothing_but_the_noise_section() -> None:
    study = noisy()
    assert [series.label for series in study.all_series] == ["distributed-llama"]
    assert all(ARM not in series.params for series in study.all_series)
    assert len(study.cells) == 3
    assert len(study.family.rows) == 3
    assert len(study.steadiness.course.frame) == 18
    assert ARM not in study.tables.trials
    assert study.noise is not None
    assert len(study.noise.twice) == 3


def test_every_trial_stays_in_the_account() -> None:
    study = noisy()
    assert study.counts["done"] == 36
    assert sum(study.counts.values()) == 36


def test_a_failed_second_arm_is_among_what_did_not_work() -> None:
    run, tables = noisy_frames({1: 10.0, 2: 20.0})
    second = next(cell for cell in run.cells if cell.params[ARM] == "b")
    trials = tables.trials.copy()
    rows = trials["cell_id"] == second.cell_id
    trials.loc[rows, "state"] = "failed"
    tables.attempts.loc[tables.attempts["trial_id"].isin(trials[rows]["trial_id"]), "outcome"] = (
        "failed"
    )
    study = study_of(run, replace(tables, trials=trials))
    assert study.counts["failed"] == 6
    failures = list(cells.sections(study))[1]
    assert "arm b" in str(failures)
    assert study.noise is not None
    *_, told = noise_sentences(study.noise)
    who = "distributed-llama on one node (arm b has no trial that is done)"
    assert told == f"Nothing is known of the noise of {who}."
    assert not any("Nothing is known" in one for one in noise_sentences(noisy().noise))


def test_identical_arms_that_differ_are_said_loudly() -> None:
    study = study_of_kind("noise, broken")
    assert study.verdict.caveats[0].startswith("Identical arms differ: ")
    assert "dentical arms differ, see Noise" in study.verdict.spoken


def test_of_400_honest_runs_at_most_5_percent_speak_of_a_difference() -> None:
    """One seed after another; a true share of 5 % appears as 3 to 7 %."""
    broken = spoken = 0
    for seed in range(400, 800):
        run, tables = noisy_frames({1: 10.0, 2: 10.0}, seed=seed)
        study_run, first = first_arms(run, tables)
        assert len(cell_results(study_run, first.trials)) == 2
        noise = noise_of(run, tables)
        assert noise is not None
        series = series_of(cell_results(study_run, first.trials))
        family = Family(speed_pairs(series), floors=noise.floors)
        broken += bool(noise.broken)
        spoken += any(row.finding in (Claim.FASTER, Claim.SLOWER) for row in family.rows)
    assert broken <= 0.075 * 400
    assert spoken <= 0.05 * 400


def test_a_run_without_arms_is_left_as_it_is() -> None:
    run, tables = noisy_frames({1: 10.0})
    first, rest = first_arms(run, tables)
    assert has_arms(run)
    assert not has_arms(first)
    again, same = first_arms(first, rest)
    assert again is first
    assert same is rest


# -- the matrix


def test_each_cell_is_two_and_the_first_has_the_id_of_old() -> None:
    plain = Matrix(title="t", axes={"nodes": (1, 2)})
    twice = Matrix(title="t", axes={"nodes": (1, 2)}, noise=True)
    assert len(twice.cells()) == 2 * len(plain.cells())
    assert [cell.params[ARM] for cell in twice.cells()] == ["a", "b", "a", "b"]
    first = [canonical(cell.params) for cell in twice.cells() if cell.params[ARM] == "a"]
    assert first == [canonical(cell.params) for cell in plain.cells()]
    assert all(ARM not in cell.params for cell in plain.cells())


@pytest.mark.parametrize("kind", ["perplexity", "documents", "greedy"])
def test_workloads_without_a_speed_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    text = {
        "perplexity": "{kind: perplexity, text: experiments/texts/alice.txt}",
        "documents": "{kind: documents, file: experiments/texts/alice.txt}",
        "greedy": "{kind: greedy, prompts: [One day], text: Once}",
    }[kind]
    path = tmp_path / "m.yml"
    repeats = "repeats: 2\n" if kind == "greedy" else ""
    path.write_text(f"title: t\nworkload: {text}\n{repeats}noise: true\n")
    with pytest.raises(HerdError, match=rf"m.yml, line \d+: .*workload {kind}"):
        load_matrix(path)


def test_of_parts_those_with_a_speed_have_arms() -> None:
    matrix = Matrix.model_validate(
        {
            "title": "t",
            "noise": True,
            "parts": {
                "speed": {"workload": {"kind": "benchmark"}},
                "text": {"workload": {"kind": "perplexity", "text": "experiments/texts/alice.txt"}},
            },
        }
    )
    found = [(cell.params["part"], cell.params.get(ARM)) for cell in matrix.cells()]
    assert sorted(found, key=str) == [("speed", "a"), ("speed", "b"), ("text", None)]


def test_apis_alone_have_no_noise_of_this_cluster() -> None:
    matrix = Matrix.model_validate(
        {
            "title": "t",
            "noise": True,
            "workload": {"kind": "questions", "file": "experiments/questions/six.yml"},
            "axes": {"system": ["chatgpt"]},
        }
    )
    with pytest.raises(HerdError, match="all are APIs"):
        matrix.cells()


@pytest.mark.parametrize(
    ("cells", "told"), [(1, "1 cell held in 72 %"), (3, "3 cells held in 86 %"), (7, "in 88 %")]
)
def test_a_floor_of_few_cells_is_told_to_be_less_sure(cells: int, told: str) -> None:
    assert told in floor_told(cells)


def test_a_floor_of_eight_cells_is_told_without_reserve() -> None:
    assert "It comes from 8 cells." in floor_told(8)
    assert "simulations" not in floor_told(8)


def floor_told(cells: int) -> str:
    """The sentences of a floor of so many cells."""
    noise = study_of(*noisy_frames({2**place: 10.0 for place in range(cells)})).noise
    assert noise is not None
    return " ".join(noise_sentences(noise))


@pytest.mark.parametrize("cells", sorted(HELD))
@pytest.mark.parametrize("kind", ["outliers", OWN_DRIFT, UNEVEN])
def test_a_floor_of_few_cells_holds_as_often_as_is_told(cells: int, kind: str) -> None:
    """The share that is told is the least of 1000 runs; here is room for the chance of 150."""
    assert 1 - simulate(cells, 6, kind, 150).beyond > HELD[cells] - 0.09


def test_an_arm_is_no_axis_to_write() -> None:
    with pytest.raises(ValidationError, match="noise: true"):
        Matrix(title="t", axes={"arm": ("a",)})
    with pytest.raises(HerdError, match="noise: true"):
        Matrix(title="t").override(axes={"arm": "a"})


# -- questions


def asked(*, other: str = "four", slower: float = 1.0) -> Study:
    questions = [Question(id=f"q{n}", text=f"What is {n}?") for n in range(30)]

    def answers(text: str, factor: float) -> list[list[dict[str, object]]]:
        return [
            [
                {"text": text, "total_ms": factor * ms, "ttft_ms": 0.1 * factor * ms}
                for ms in 2000 * np.exp(0.02 * RNG.normal(size=30))
            ]
        ]

    params = {"engine": "llama.cpp", "model": "m", "nodes": 1, "weights": "q4_0"}
    first = Asked("mine", answers("four", 1.0), {**params, ARM: "a"})
    second = Asked("mine", answers(other, slower), {**params, ARM: "b"})
    rival = Asked("yours", answers("four", 1.003), {**params, "model": "n", ARM: "a"})
    twin = Asked("yours", answers("four", 1.003), {**params, "model": "n", ARM: "b"})
    run, tables = make_asked(questions, [first, second, rival, twin])
    trials = tables.trials.assign(
        arm=tables.trials["cell_id"].map({c.cell_id: c.params[ARM] for c in run.cells})
    )
    return study_of(run, replace(tables, trials=trials))


def test_times_of_answers_have_floors_and_texts_must_be_the_same() -> None:
    study = asked()
    assert study.noise is not None
    assert {"first token", "whole answer"} <= study.noise.floors.keys()
    assert not study.noise.broken
    assert study.comparison is not None
    assert [one.name for one in study.comparison.systems] == ["mine", "yours"]
    said = " ".join(noise_sentences(study.noise))
    assert "Both arms gave the same texts: 60 answers of 2 cells." in said


def test_other_texts_of_the_same_arm_are_said() -> None:
    study = asked(other="five")
    assert study.noise is not None
    assert "different texts: 30 of 30 answers of mine" in " ".join(noise_sentences(study.noise))


def test_arms_that_answer_at_another_speed_are_said_loudly() -> None:
    study = asked(slower=1.3)
    assert study.noise is not None
    assert {one.what for one in study.noise.broken} == {"first token", "whole answer"}
    assert study.verdict.caveats[0].startswith("Identical arms differ")
