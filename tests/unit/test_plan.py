"""A plan: blocks, identities, what is impossible, how long it will take."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.nodes.facts import ask_facts
from experiments.planning.describe import describe
from experiments.planning.plan import Plan, make_plan, order_trials, plan_id, trim
from tests.doubles.scripted import ScriptedLauncher, cluster
from tests.doubles.scripted_run import matrix, run, world


def planned(folder: Path, **changed: object) -> Plan:
    the_world = world(folder)
    for name, value in changed.items():
        setattr(the_world, name, value)
    asked = ask_facts(cluster(3), ScriptedLauncher(the_world))
    return make_plan(matrix(), asked, folder / "results")


def test_every_block_holds_every_cell_once() -> None:
    trials = order_trials(["a", "b", "c", "d"], repeats=5, seed=1)

    blocks = [[t.cell_id for t in trials if t.block == block] for block in range(1, 6)]
    assert all(sorted(block) == ["a", "b", "c", "d"] for block in blocks)
    assert [trial.order for trial in trials] == list(range(1, 21))
    assert all(trial.trial_id == f"{trial.cell_id}-r{trial.repeat}" for trial in trials)


def test_the_order_is_random_and_the_seed_repeats_it() -> None:
    orders = {tuple(t.cell_id for t in order_trials("abcd", 3, seed)) for seed in range(20)}

    assert len(orders) > 15
    assert order_trials("abcd", 3, 7) == order_trials("abcd", 3, 7)


def test_in_turn_each_of_two_cells_follows_each_equally_often() -> None:
    for seed in range(6):
        trials = order_trials("ab", 10, seed, in_turn=True)
        ids = [trial.cell_id for trial in trials]
        followed = Counter(itertools.pairwise(ids[1:]))

        assert set(ids[:2]) == set(ids[2:4]) == {"a", "b"}
        assert max(followed.values()) - min(followed.values()) <= 1
        assert len(followed) == 4
    assert len({order_trials("ab", 10, seed, in_turn=True)[0].cell_id for seed in range(20)}) == 2


def test_both_trials_of_a_pair_in_turn_follow_the_same_cell() -> None:
    ids = [trial.cell_id for trial in order_trials("ab", 10, 1, in_turn=True)]

    before = [(ids[place - 1], ids[place]) for place in range(2, 20, 2)]
    assert all(one == other for one, other in before)


def test_in_turn_cells_may_end_before_others() -> None:
    trials = order_trials("ab", {"a": 4, "b": 2}, 1, in_turn=True)

    assert Counter(trial.cell_id for trial in trials) == {"a": 4, "b": 2}
    assert len({trial.trial_id for trial in trials}) == 6


def test_no_cell_is_always_first() -> None:
    firsts = Counter(order_trials("abcd", 1, seed)[0].cell_id for seed in range(400))

    assert set(firsts) == set("abcd")
    assert min(firsts.values()) > 60


def test_a_cell_is_another_one_with_another_program(tmp_path: Path) -> None:
    before = {cell.cell_id for cell in planned(tmp_path).cells}
    after = {cell.cell_id for cell in planned(tmp_path, binary_sha256="ab" * 32).cells}

    assert before.isdisjoint(after)


def test_the_same_question_has_the_same_plan_whatever_the_order_of_its_values(
    tmp_path: Path,
) -> None:
    turned = {**matrix().axes, "nodes": (3, 2, 1)}

    assert plan_id(matrix(), cluster(3)) == plan_id(matrix(axes=turned), cluster(3))
    assert plan_id(matrix(), cluster(3)) != plan_id(matrix(seed=8), cluster(3))


def test_nodes_beyond_those_that_are_needed_change_nothing(tmp_path: Path) -> None:
    assert plan_id(matrix(), cluster(3)) == plan_id(matrix(), cluster(8))


def test_more_nodes_than_the_inventory_has_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(HerdError) as caught:
        trim(cluster(2), matrix())

    assert "asks for 3 nodes" in str(caught.value)
    assert "has 2 (pi1, pi2)" in str(caught.value)


def test_the_plan_shows_the_order_and_the_reason_of_each_impossible_cell(tmp_path: Path) -> None:
    lines = describe(planned(tmp_path))

    assert sum("block 1" in line for line in lines) == 2
    impossible = lines[lines.index("Cells that cannot run:") + 1]
    assert "3 nodes" in impossible
    assert "8 KV heads" in impossible


def test_the_plan_shows_files_numbers_of_nodes_and_memory(tmp_path: Path) -> None:
    lines = describe(planned(tmp_path, available_mib=3072))

    (model,) = lines[lines.index("Models:") + 1 : lines.index("Models:") + 2]
    assert "distributed-llama: file of 69 MiB, on 1, 2, 4 or 8 nodes" in model
    memory = lines[lines.index("Memory needed / available (MiB):") + 1 :][:2]
    assert memory[0].endswith("on 1 node: root 87 / 3072 (pi1)")
    assert memory[1].endswith("on 2 nodes: root 56 / 3072 (pi1), worker 40 / 3072 (pi2)")


def test_a_plan_of_which_nothing_can_run_says_so(tmp_path: Path) -> None:
    lines = describe(planned(tmp_path, available_mib=1))

    assert lines[-1] == "No cell of this matrix can run here."
    assert sum("MiB of memory free" in line for line in lines) == 2
    assert "" not in {lines[i] + lines[i + 1] for i in range(len(lines) - 1)}


def test_a_time_that_nobody_measured_is_a_stated_guess(tmp_path: Path) -> None:
    # Two possible cells, two repeats and a warm-up each, ten seconds a trial.
    assert describe(planned(tmp_path))[-1].startswith("Estimated time: 1 min 00 s (2 of 2 cells")


def test_times_come_from_earlier_trials_of_the_same_cells(tmp_path: Path) -> None:
    run(tmp_path, world(tmp_path))

    assert describe(planned(tmp_path))[-1].endswith("(from earlier trials of these cells)")
