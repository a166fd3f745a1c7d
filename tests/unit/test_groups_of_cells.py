"""The axis `group`: which nodes a cell takes, which one is its root, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from collect.account import Account
from collect.labels import cell_label
from core.errors import HerdError
from experiments.engines.base import Cell
from experiments.engines.common import taking_part
from experiments.fleet.cluster import Cluster
from experiments.nodes.facts import ask_facts
from experiments.planning.lacks import lacks_of
from experiments.planning.manifest import run_manifest
from experiments.planning.matrix import Matrix, load_matrix
from experiments.planning.plan import (
    Plan,
    leave_out,
    make_plan,
    plan_id,
    those_left,
    trim,
)
from experiments.prepare import steps_of
from experiments.runner import run_on
from experiments.sessions.progress import make_progress
from tests.doubles.scripted import ScriptedLauncher, cluster
from tests.doubles.scripted_run import matrix, world

GROUPS = {"pi1": {"pcs", "fast"}, "pi2": {"pis"}, "pi3": {"pis", "fast"}, "pi4": {"pis"}}
"""pi1 is a PC that the inventory lists first; the groups overlap."""


def fleet() -> Cluster:
    nodes = (
        replace(node, groups=frozenset({"all", "cluster", *GROUPS[node.name]}))
        for node in cluster(4).nodes
    )
    return Cluster(tuple(nodes))


def study(nodes: tuple[int, ...] = (1, 2), groups: tuple[str, ...] = ("cluster", "pis")) -> Matrix:
    return matrix(axes={**matrix().axes, "nodes": nodes, "group": groups})


def planned(folder: Path, asked: Matrix, whole: Cluster | None = None, **changed: Any) -> Plan:  # noqa: ANN401
    told = ask_facts(trim(whole or fleet(), asked), ScriptedLauncher(world(folder, **changed)))
    return make_plan(asked, told)


def names(asked: Matrix, whole: Cluster) -> dict[tuple[object, object], list[str]]:
    return {
        (cell.group, cell.nodes): [node.name for node in taking_part(cell, whole)]
        for cell in asked.cells()
    }


def test_a_cell_takes_the_first_nodes_of_its_group_in_the_clusters_order() -> None:
    asked = study((1, 2), ("cluster", "pis", "pcs", "fast", "all"))

    assert names(asked, fleet()) == {
        ("cluster", 1): ["pi1"],
        ("cluster", 2): ["pi1", "pi2"],
        ("pis", 1): ["pi2"],
        ("pis", 2): ["pi2", "pi3"],
        ("pcs", 1): ["pi1"],
        ("pcs", 2): ["pi1"],
        ("fast", 1): ["pi1"],
        ("fast", 2): ["pi1", "pi3"],
        ("all", 1): ["pi1"],
        ("all", 2): ["pi1", "pi2"],
    }


def test_the_whole_cluster_needs_no_groups_to_be_known() -> None:
    assert names(study((2,), ("cluster",)), cluster(2)) == {("cluster", 2): ["pi1", "pi2"]}


def test_the_nodes_of_a_plan_are_those_that_its_cells_take() -> None:
    assert [n.name for n in trim(fleet(), study((1,), ("pis",))).nodes] == ["pi2"]
    assert [n.name for n in trim(fleet(), study((1,), ("pcs", "pis"))).nodes] == ["pi1", "pi2"]
    assert [n.name for n in trim(fleet(), study((2,), ("pis",))).nodes] == ["pi2", "pi3"]


def test_a_cell_takes_the_same_nodes_of_the_plans_as_of_the_whole_cluster() -> None:
    asked = study((1, 2), ("pis", "fast"))

    assert names(asked, trim(fleet(), asked)) == names(asked, fleet())


def test_naming_the_whole_cluster_changes_no_id(tmp_path: Path) -> None:
    plain, named = matrix(), study((1, 2, 3), ("cluster",))

    assert plan_id(plain, fleet()) == plan_id(named, fleet())
    before, after = planned(tmp_path, plain), planned(tmp_path, named)
    assert [cell.cell_id for cell in before.cells] == [cell.cell_id for cell in after.cells]


def test_another_group_is_another_cell_and_another_plan(tmp_path: Path) -> None:
    pcs, pis = (planned(tmp_path, study((1,), (group,))) for group in ("pcs", "pis"))

    assert pcs.plan_id != pis.plan_id
    assert {cell.cell_id for cell in pcs.cells}.isdisjoint(cell.cell_id for cell in pis.cells)
    assert [cell.nodes for cell in pis.cells] == [("pi2",)]


def test_where_one_group_is_too_small_its_cells_are_unavailable_with_the_number(
    tmp_path: Path,
) -> None:
    plan = planned(tmp_path, study((1, 2), ("cluster", "pcs")))

    told = {cell_label(cell.params): cell.unavailable for cell in plan.cells}
    (small,) = (why for label, why in told.items() if "2 nodes of pcs" in label)
    assert small == "it needs 2 nodes, but the group pcs has 1"
    assert sum(why is None for why in told.values()) == 3


@pytest.mark.parametrize(
    ("nodes", "groups", "told"),
    [
        ((5,), ("cluster",), "asks for 5 nodes and the inventory's group cluster has 4 (pi1, "),
        ((1, 2), ("pcs",), "asks for 2 nodes and the inventory's group pcs has 1 (pi1)"),
        ((8, 2), ("pcs", "pis"), "asks for 8 nodes and the inventory's group pis, the largest"),
    ],
)
def test_what_no_group_can_supply_is_refused(
    nodes: tuple[int, ...], groups: tuple[str, ...], told: str
) -> None:
    with pytest.raises(HerdError) as caught:
        trim(fleet(), study(nodes, groups))

    assert told in str(caught.value)
    assert "`--nodes` with numbers up to" in str(caught.value)


MATRIX = """\
title: Groups
axes:
  nodes: [1]
  group:
    - pis
    - {group}
"""


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ("raspis", "the inventory has no group raspis with nodes of the cluster"),
        ("windows_hosts", "the inventory has no group windows_hosts with nodes of the cluster"),
        ("pi3", "pi3 is a node and no group"),
        ("'pis '", "has no group pis with"),
    ],
)
def test_an_unknown_group_is_refused_with_its_place_and_the_known_ones(
    tmp_path: Path, group: str, told: str
) -> None:
    path = tmp_path / "groups.yml"
    path.write_text(MATRIX.format(group=group))

    with pytest.raises(HerdError) as caught:
        trim(fleet(), load_matrix(path))

    assert str(caught.value).startswith(f"{path}, line 6: ")
    assert told in str(caught.value)
    assert "The groups that have some are all, cluster, fast, pcs, pis." in str(caught.value)


@pytest.mark.parametrize("key", ["when", "only"])
def test_an_unknown_group_of_a_constraint_is_refused_with_its_place(
    tmp_path: Path, key: str
) -> None:
    constraint = {"when": "{nodes: 1}", "only": "{nodes: 1}", key: "{group: [pis, raspis]}"}
    path = tmp_path / "groups.yml"
    path.write_text(
        "title: Groups\naxes: {nodes: [1]}\nconstraints:\n"
        f"  - when: {constraint['when']}\n    only: {constraint['only']}\n"
    )

    with pytest.raises(HerdError) as caught:
        trim(fleet(), load_matrix(path))

    line = 4 if key == "when" else 5
    assert str(caught.value).startswith(f"{path}, line {line}: the inventory has no group raspis")


def test_an_unknown_group_of_the_command_line_is_told_as_its_flag(tmp_path: Path) -> None:
    path = tmp_path / "groups.yml"
    path.write_text(MATRIX.format(group="cluster"))
    asked = load_matrix(path).override(axes={"group": "raspis"})

    with pytest.raises(HerdError, match=r"^--set group: the inventory has no group raspis"):
        trim(fleet(), asked)


def test_nodes_that_are_left_out_are_left_out_of_their_group() -> None:
    left = those_left(leave_out(fleet(), ["pi2"]), study((2,), ("pis",)))

    assert [node.name for node in left.nodes] == ["pi3", "pi4"]


def test_a_group_of_which_all_nodes_are_left_out_cannot_run(tmp_path: Path) -> None:
    asked = study((1,), ("pcs", "pis"))
    left = ask_facts(
        those_left(leave_out(fleet(), ["pi1"]), asked), ScriptedLauncher(world(tmp_path))
    )

    of_pcs, of_pis = make_plan(asked, left).cells
    assert of_pcs.unavailable == "it needs 1 node, but the group pcs has 0"
    assert of_pcs.nodes == ()
    assert of_pis.nodes == ("pi2",)


def test_a_node_that_is_away_keeps_its_place_in_its_group(tmp_path: Path) -> None:
    nodes = tuple(replace(n, away="gone" if n.name == "pi2" else None) for n in fleet().nodes)
    plan = make_plan(study((1,), ("pcs", "pis")), Cluster(nodes))

    of_pcs, of_pis = plan.cells
    assert plan.waits_for(of_pis) == ("pi2",)
    assert plan.waits_for(of_pcs) == ()


def test_each_group_has_its_own_root_with_its_models_and_stamps(tmp_path: Path) -> None:
    asked = study((1,), ("pcs", "pis"))
    plan = planned(tmp_path, asked, has_model=lambda node: node == "pi2")

    of_pcs, of_pis = plan.cells
    assert of_pcs.unavailable is not None
    assert of_pcs.unavailable.endswith("is not on pi1")
    assert of_pis.unavailable is None
    manifest = run_manifest(plan, "run", (), "")
    assert set(manifest.models.values()) == {"c0ffee" + "0" * 58}
    assert set(manifest.engines) == {"distributed-llama"}


def test_what_is_missing_goes_to_the_root_of_each_group(tmp_path: Path) -> None:
    asked = study((2,), ("cluster", "pis"))
    told = ask_facts(trim(fleet(), asked), ScriptedLauncher(world(tmp_path)))

    lacks = lacks_of(asked.cells(), told)

    assert lacks.engines == {}
    assert list(lacks.models.values()) == [("pi2",)]
    (step,) = steps_of(lacks, "pi1")
    assert step.argv()[-1] == '{"herd_roots": ["pi2"]}'
    assert steps_of(lacks, "pi2")[0].roots == ()


def test_a_run_measures_groups_side_by_side(tmp_path: Path) -> None:
    the_world = world(tmp_path, has_model=lambda node: node in {"pi1", "pi2"})
    asked = study((1, 2), ("cluster", "pis"))

    result = run_on(
        asked,
        fleet(),
        ScriptedLauncher(the_world),
        tmp_path / "results",
        progress=make_progress(Console(quiet=True)),
    )

    assert result.counts["done"] == 8
    manifest = Account.read(result.folder).manifest
    assert list(manifest.nodes) == ["pi1", "pi2", "pi3"]
    roots = {(cell.params["group"], cell.params["nodes"]): cell.nodes[0] for cell in manifest.cells}
    assert roots == {
        ("cluster", 1): "pi1",
        ("cluster", 2): "pi1",
        ("pis", 1): "pi2",
        ("pis", 2): "pi2",
    }
    measured = {line["node"] for line in the_world.journal() if line["event"] == "measured"}
    assert measured == {"pi1", "pi2"}


def test_a_label_says_of_which_group_the_nodes_are() -> None:
    cell: Cell = study((2,), ("pis",)).cells()[0]

    assert "2 nodes of pis" in cell_label(cell.params)
