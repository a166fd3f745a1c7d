"""A run that adds blocks until intervals are narrow, and goes on wherever it was killed."""

from __future__ import annotations

import random
import signal
import zlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.reading import study_in
from collect.account import Account, Scrutiny
from collect.attempt import AttemptRecord
from collect.run import RunManifest
from collect.workloads import Benchmark, Perplexity
from core.errors import HerdError
from core.median import half_width
from experiments.planning.plan import make_plan
from experiments.planning.precision import (
    USUAL_MOST,
    Pilot,
    precision_lines,
    repeats_for,
    require_speed,
    share_of,
)
from experiments.sessions import until
from experiments.sessions.until import Until, is_narrow, next_block, until_of, wanting
from tests.benchmarks.repeats import covered, false_findings, reached
from tests.doubles import scripted, scripted_run
from tests.doubles.run_frames import make_frames
from tests.unit.test_crash_safety import ended, forked

NARROW = Until(0.03)
FEWEST_KILLS = 8


def rate(_folder: Path, record: AttemptRecord) -> float:
    """Tokens/s that depend on the trial alone: two nodes vary by 8 %, one by 1 %."""
    spread = 0.08 if record.cell_id == WIDE else 0.01
    draw = random.Random(zlib.crc32(record.trial_id.encode()))  # noqa: S311
    return 10 * float(np.exp(spread * draw.gauss(0, 1)))


WIDE = ""


@pytest.fixture
def varied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder; trials of the cell on two nodes vary much."""
    plain = scripted_run.run(tmp_path / "plain", scripted_run.world(tmp_path / "plain"))
    cells = Account.read(plain.folder, Scrutiny.RECORDS).manifest.cells
    monkeypatch.setattr(f"{__name__}.WIDE", cells[1].cell_id)
    monkeypatch.setattr(until, "rate_of_attempt", rate)
    return tmp_path


def stopped_early(account: Account) -> set[bool]:
    """What a report takes its comparisons for."""
    return {row.pair.is_stopped for row in study_in(account.folder).family.rows}


def measured(folder: Path, **options: object) -> Account:
    world = scripted_run.world(folder)
    asked = scripted_run.matrix(repeats=6)
    result = scripted_run.run(folder, world, asked=asked, until=Until(0.05, 30), **options)
    return Account.read(result.folder, Scrutiny.RECORDS)


def by_cell(account: Account) -> dict[int, int]:
    """Number of nodes to trials that are done."""
    return Counter(int(t.cell.params["nodes"]) for t in account.trials if t.state == "done")


# -- the rule


def test_an_interval_must_be_narrow_twice() -> None:
    steady = [10.0, 10.1, 9.9, 10.05, 9.95, 10.0]
    assert (half_width(steady) or 1) < 0.03
    assert not is_narrow(steady, 0.03)
    assert is_narrow([*steady, 10.0], 0.03)
    assert not is_narrow([*steady[:5], 12.0, 10.0], 0.03)


def manifest(outcomes: dict[tuple[str, int], list[float]]) -> RunManifest:
    run, _ = make_frames(outcomes)
    return run


def test_cells_that_are_compared_go_on_together() -> None:
    run = manifest({("distributed-llama", n): [10.0] * 7 for n in (1, 2)})
    one, two = run.cells
    rates = {one.cell_id: dict.fromkeys(range(7), 10.0)}
    rates[two.cell_id] = {n: 10.0 + n for n in range(7)}
    assert wanting(run, rates, NARROW) == (one, two)
    rates[two.cell_id] = rates[one.cell_id]
    assert wanting(run, rates, NARROW) == ()


def test_nothing_is_added_beyond_the_ceiling_or_while_a_compared_cell_waits() -> None:
    run = manifest({("distributed-llama", n): [10.0] * 7 for n in (1, 2)})
    wide = {cell.cell_id: {n: 10.0 + n for n in range(7)} for cell in run.cells}
    assert wanting(run, wide, Until(0.03, 8))
    assert wanting(run, wide, Until(0.03, 7)) == ()
    assert wanting(run, wide, NARROW, {run.cells[0].cell_id}) == ()


def test_a_cell_whose_last_three_trials_failed_gets_no_more_and_the_others_do() -> None:
    run = manifest({("distributed-llama", n): [10.0] * 9 for n in (1, 2)})
    one, two = run.cells
    blocks = sorted({trial.block for trial in run.trials})
    wide = {cell.cell_id: {block: 10.0 + block for block in blocks} for cell in run.cells}
    for block in blocks[-2:]:
        del wide[two.cell_id][block]
    assert wanting(run, wide, NARROW) == (one, two)
    del wide[two.cell_id][blocks[-3]]
    assert wanting(run, wide, NARROW) == (one,)


def test_a_further_block_has_new_places_and_an_order_of_its_own() -> None:
    run = manifest({("distributed-llama", n): [10.0] * 7 for n in range(1, 9)})
    block = next_block(run, run.cells)
    assert {trial.block for trial in block} == {8}
    assert {trial.repeat for trial in block} == {8}
    assert [trial.order for trial in block] == list(range(57, 65))
    assert [trial.cell_id for trial in block] != [cell.cell_id for cell in run.cells]
    assert next_block(run, run.cells) == block


@pytest.mark.parametrize("text", ["3", "0%", "60%", "-3%", "three", "3 %%", "0.03"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(HerdError, match=r"from 0.1% to 50%"):
        share_of(text, "until")


def test_flags_that_do_not_go_together_are_refused() -> None:
    assert until_of("3%", None) == Until(0.03, 60)
    assert until_of(None, None) is None
    with pytest.raises(HerdError, match="give --until, too"):
        until_of(None, "20")


@pytest.mark.parametrize("words", ["6", "x", "", "-7", "1e3", "\uff17", "10001", "9" * 5000])
def test_a_ceiling_that_is_none_is_refused(words: str) -> None:
    assert until_of("3%", " 20 ") == Until(0.03, 20)
    with pytest.raises(HerdError, match="give 7 to 10000") as raised:
        until_of("3%", words)
    assert len(str(raised.value)) < 300


def test_the_precision_of_a_matrix_without_a_speed_is_refused() -> None:
    """Or the command that is advised next would be refused."""
    workloads = [Perplexity(text="a.txt")]
    require_speed(workloads, None, "precision")
    require_speed([*workloads, Benchmark()], 0.03, "precision")
    with pytest.raises(HerdError, match=r"--precision 3%: .* has perplexity\. Leave out"):
        require_speed(workloads, 0.03, "precision")


def test_the_pilot_that_is_advised_is_of_the_same_cells(tmp_path: Path) -> None:
    for noise, flags in ((True, ("--nodes", "1", "--noise")), (False, ("--nodes", "1"))):
        asked = scripted_run.matrix(noise=noise, flags=("--nodes", "1"))
        plan = make_plan(asked, scripted.cluster(3), tmp_path)
        [*_, told] = precision_lines(plan, {}, 0.03)
        assert told == "No cell with a speed can run.", "so nothing is advised"
        cells = tuple(cell.model_copy(update={"unavailable": None}) for cell in plan.cells)
        [*_, pilot, told] = precision_lines(replace(plan, cells=cells), {}, 0.03)
        assert pilot == "To measure a pilot:"
        assert told.partition(" run-matrix ")[2].split() == list(flags)


def test_the_command_that_is_advised_can_reach_the_precision(tmp_path: Path) -> None:
    """Without `--most` a cell that takes more than 60 trials would stop before."""
    made = make_plan(scripted_run.matrix(flags=("--nodes", "1")), scripted.cluster(3), tmp_path)
    cells = tuple(cell.model_copy(update={"unavailable": None}) for cell in made.cells)
    plan = replace(made, cells=cells)

    def advice(spread: float) -> str:
        rates = tuple(10 * float(np.exp(spread * step)) for step in (-1, 0, 1) * 2)
        pilots = {cell.cell_id: Pilot("run", rates) for cell in plan.cells}
        number = repeats_for(rates, 0.03)
        told = precision_lines(plan, pilots, 0.03)[-1]
        assert (number is None) == ("ask for less" in told)
        assert ("--most" in told) == (number is not None and number > USUAL_MOST)
        return told.replace(str(number), "NUMBER")

    assert advice(0.01).endswith("--until 3%")
    assert advice(0.1).endswith("--until 3% --most NUMBER")
    assert "run-matrix" not in advice(5.0)


# -- the runner


def test_cells_stop_when_all_are_narrow(varied: Path) -> None:
    account = measured(varied)
    done = by_cell(account)
    assert done[1] == done[2]
    assert 7 < done[1] <= 30
    counts = account.counts()
    assert counts["planned"] == sum(n for state, n in counts.items() if state != "planned")
    assert counts["pending"] == 0
    assert stopped_early(account) == {True}


def test_the_same_command_again_adds_nothing_and_a_narrower_one_does(varied: Path) -> None:
    first = measured(varied)
    again = measured(varied)
    assert again.folder == first.folder
    assert again.counts() == first.counts()
    asked = scripted_run.matrix(repeats=6)
    world = scripted_run.world(varied)
    scripted_run.run(varied, world, asked=asked, until=Until(0.02, 40))
    assert by_cell(Account.read(first.folder, Scrutiny.RECORDS))[1] > by_cell(first)[1]


def test_a_run_that_was_complete_goes_on(varied: Path) -> None:
    asked = scripted_run.matrix(repeats=6)
    plain = scripted_run.run(varied, scripted_run.world(varied), asked=asked)
    assert stopped_early(Account.read(plain.folder, Scrutiny.RECORDS)) == {False}
    assert plain.counts["done"] == 12
    account = measured(varied)
    assert account.folder == plain.folder
    assert account.counts()["done"] > 12


def test_nothing_is_added_to_a_cell_that_cannot_run_any_more(varied: Path) -> None:
    asked = scripted_run.matrix(repeats=6)
    before = scripted_run.run(varied, scripted_run.world(varied), asked=asked)
    world = scripted_run.world(varied, has_model=lambda _: False)
    result = scripted_run.run(varied, world, asked=asked, until=Until(0.05, 30))
    assert result.folder == before.folder
    assert result.counts == before.counts


def test_the_ceiling_holds(varied: Path) -> None:
    asked = scripted_run.matrix(repeats=6)
    world = scripted_run.world(varied)
    result = scripted_run.run(varied, world, asked=asked, until=Until(0.001, 9))
    assert by_cell(Account.read(result.folder, Scrutiny.RECORDS)) == {1: 9, 2: 9}


def test_a_matrix_without_a_speed_is_refused(tmp_path: Path) -> None:
    asked = scripted_run.matrix(workload=Perplexity(text="experiments/texts/alice.txt"))
    with pytest.raises(HerdError, match="this matrix has perplexity"):
        scripted_run.run(tmp_path, scripted_run.world(tmp_path), asked=asked, until=NARROW)


def test_killed_anywhere_it_ends_with_the_same_trials(varied: Path) -> None:
    whole = measured(varied / "whole")
    wanted = [trial.trial for trial in whole.trials]
    draw = random.Random(5)  # noqa: S311
    folder = varied / "killed"
    kills = 0
    for kill_at in (draw.randrange(1, 90) for _ in range(40)):

        def body(step: int = kill_at) -> None:
            scripted_run.die_at(step)
            measured(folder)

        if ended(forked(body)) != -signal.SIGKILL:
            break
        kills += 1
        for run in (folder / "results").glob("scripted-*"):
            counts = Account.read(run, Scrutiny.RECORDS).counts()
            assert counts["planned"] == sum(n for name, n in counts.items() if name != "planned")
    account = measured(folder)
    assert [trial.trial for trial in account.trials] == wanted
    assert account.counts() == whole.counts()
    assert kills >= FEWEST_KILLS


# -- how often it is right


def test_after_stopping_intervals_still_cover_95_percent() -> None:
    share, number = covered("normal, 4 %", 500)
    assert share > 0.93
    assert 7 <= number < 60


def test_after_stopping_at_most_5_percent_claim_a_difference() -> None:
    """Of 300 runs a true share of 5 % appears as 2.5 to 7.5 %."""
    assert false_findings("normal, 4 %", 2, 300, together=True) <= 0.075


def test_the_repeats_of_a_pilot_reach_the_precision_in_80_to_90_percent() -> None:
    share, number = reached("normal, 4 %", 6, 500)
    assert 0.80 <= share <= 0.92
    assert 20 <= number <= 40


def test_steady_pilots_take_six_and_wild_ones_more_than_anyone_measures() -> None:
    assert repeats_for([10.0, 10.01, 9.99, 10.0, 10.02, 9.98], 0.03) == 6
    assert repeats_for([1.0, 10.0, 100.0], 0.001) is None
