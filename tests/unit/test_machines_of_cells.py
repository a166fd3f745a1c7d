"""The axis `on`: which machines a cell takes, in which order, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from collect.account import Account
from collect.labels import cell_label
from core.errors import HerdError
from experiments.engines import ENGINES, ON_NODES
from experiments.engines.common import taking_part
from experiments.fleet.cluster import Cluster
from experiments.nodes.facts import ask_facts
from experiments.planning.describe import describe
from experiments.planning.lacks import lacks_of
from experiments.planning.matrix import Matrix, load_matrix
from experiments.planning.plan import leave_out, make_plan, needed, plan_id, those_left, trim
from experiments.prepare import steps_of
from experiments.sessions import session
from experiments.sessions.again import held_against
from tests.doubles.absent_run import measure
from tests.doubles.scripted import ScriptedLauncher, cluster
from tests.doubles.scripted_run import matrix, world
from tests.unit.test_engines import cell as cell_of
from tests.unit.test_engines import cluster as provisioned
from tests.unit.test_engines import option
from tests.unit.test_groups_of_cells import fleet


def study(*on: str, nodes: tuple[int, ...] = (1,), **axes: tuple[object, ...]) -> Matrix:
    return matrix(axes={**matrix().axes, "nodes": nodes, "on": on, **axes})


def places(asked: Matrix, whole: Cluster) -> list[tuple[str, ...]]:
    return [tuple(node.name for node in taking_part(cell, whole)) for cell in asked.cells(whole)]


def written(folder: Path, axes: str, more: str = "") -> Path:
    path = folder / "machines.yml"
    path.write_text(f"title: Machines\naxes:\n{axes}{more}")
    return path


# -- which machines


def test_each_is_every_machine_alone() -> None:
    asked = study("each", nodes=(1, 2, 4))

    assert places(asked, cluster(3)) == [("pi1",), ("pi2",), ("pi3",)]
    assert [cell.params["nodes"] for cell in asked.cells(cluster(3))] == [1, 1, 1]
    assert [cell.params["on"] for cell in asked.cells(cluster(3))] == ["pi1", "pi2", "pi3"]


def test_each_root_is_all_machines_with_each_in_turn_first() -> None:
    assert places(study("each_root"), cluster(3)) == [
        ("pi1", "pi2", "pi3"),
        ("pi2", "pi1", "pi3"),
        ("pi3", "pi1", "pi2"),
    ]


def test_names_are_taken_in_their_order_whatever_the_clusters_is() -> None:
    asked = study("pi3+pi1", "pi2", nodes=(1, 2))

    assert places(asked, cluster(4)) == [("pi3", "pi1"), ("pi2",)]
    assert [cell.nodes for cell in asked.cells(cluster(4))] == [2, 1]


def test_the_number_of_nodes_counts_only_for_the_first_ones() -> None:
    assert places(study("first", "pi4+pi3", nodes=(1, 2)), cluster(4)) == [
        ("pi1",),
        ("pi4", "pi3"),
        ("pi1", "pi2"),
    ]


def test_the_same_machines_in_the_same_order_are_one_cell() -> None:
    both = study("each", "first", "pi1", "each_root", nodes=(1, 2))

    assert places(both, cluster(2)) == [("pi2",), ("pi1",), ("pi2", "pi1"), ("pi1", "pi2")]
    assert places(study("each", "each_root", "pi1+pi2"), cluster(2)) == [
        ("pi1",),
        ("pi2",),
        ("pi1", "pi2"),
        ("pi2", "pi1"),
    ]
    assert places(study("each", "each_root"), cluster(1)) == [("pi1",)]


def test_words_stand_for_the_machines_of_the_cells_group() -> None:
    asked = study("each", "each_root", group=("pcs", "pis"))

    assert places(asked, fleet()) == [
        ("pi1",),
        ("pi2",),
        ("pi3",),
        ("pi4",),
        ("pi2", "pi3", "pi4"),
        ("pi3", "pi2", "pi4"),
        ("pi4", "pi2", "pi3"),
    ]


def test_a_cell_on_each_node_matches_the_word_and_its_name_in_constraints() -> None:
    asked = matrix(
        axes={
            **matrix().axes,
            "nodes": (2,),
            "on": ("first", "each"),
            "workers": ("fresh", "kept"),
        },
        constraints=(
            {"when": {"on": ("each",)}, "only": {"workers": ("fresh",)}},
            {"when": {"on": ("pi2",)}, "only": {"workers": ("kept",)}},
        ),
    )

    assert [(cell.params["on"], cell.params["workers"]) for cell in asked.cells(cluster(3))] == [
        ("first", "fresh"),
        ("pi1", "fresh"),
        ("pi3", "fresh"),
        ("first", "kept"),
    ]


def test_first_changes_no_id_and_other_words_do(tmp_path: Path) -> None:
    plain = matrix()
    assert plan_id(plain, cluster(4)) == plan_id(study("first", nodes=(1, 2, 3)), cluster(4))
    assert plan_id(plain, cluster(4)) != plan_id(study("each", nodes=(1, 2, 3)), cluster(4))
    the_world = world(tmp_path, has_model=lambda _: True)
    told = ask_facts(cluster(3), ScriptedLauncher(the_world))
    firsts = make_plan(study("first", nodes=(1, 2)), told).cells
    assert {c.cell_id for c in firsts} <= {c.cell_id for c in make_plan(plain, told).cells}
    roots = make_plan(study("each_root"), told).cells
    assert len({cell.cell_id for cell in roots}) == 3


def test_a_plan_needs_the_machines_that_its_cells_take() -> None:
    asked = study("pi4+pi2", "first", nodes=(1,))

    few = trim(cluster(4), asked)
    assert [node.name for node in few.nodes] == ["pi1", "pi2", "pi4"]
    assert places(asked, few) == places(asked, cluster(4))
    assert plan_id(asked, few) == plan_id(asked, cluster(4))
    assert [node.name for node in needed(study("pi3").cells(cluster(4)), cluster(4)).nodes] == [
        "pi3"
    ]


# -- what is refused


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("desk+pi1+desk", "it names the node desk twice"),
        ("desk++pi1", "names of nodes, root first, such as desk+pi1"),
        ("+desk", "names of nodes, root first"),
        ("desk+", "names of nodes, root first"),
        ("''", "names of nodes, root first"),
        ("true", "give a word"),
    ],
)
def test_what_can_be_no_list_of_names_is_refused_with_its_line(
    tmp_path: Path, value: str, told: str
) -> None:
    path = written(tmp_path, f"  nodes: [1]\n  on:\n    - first\n    - {value}\n")

    with pytest.raises(HerdError) as caught:
        load_matrix(path)

    assert str(caught.value).startswith(f"{path}, line 6: ")
    assert told in str(caught.value)


@pytest.mark.parametrize("value", ["pi9", "pi1+pi9", "first+pi1", "'pi 1'", "Each"])
def test_an_unknown_machine_is_refused_with_its_line_and_those_that_exist(
    tmp_path: Path, value: str
) -> None:
    path = written(tmp_path, f"  nodes: [1]\n  on: [each,\n       {value}]\n")

    with pytest.raises(HerdError) as caught:
        trim(cluster(3), load_matrix(path))

    assert str(caught.value).startswith(
        f"{path}, line 5: the inventory's group cluster has no node"
    )
    assert "Its nodes are pi1, pi2, pi3." in str(caught.value)
    assert "or first, each or each_root" in str(caught.value)


def test_a_machine_outside_the_group_of_its_cell_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "  group: [pis]\n  on: [pi2+pi1]\n")

    with pytest.raises(HerdError) as caught:
        trim(fleet(), load_matrix(path))

    assert str(caught.value).startswith(
        f"{path}, line 4: the inventory's group pis has no node pi1; did you mean pi"
    )
    assert "Its nodes are pi2, pi3, pi4." in str(caught.value)


@pytest.mark.parametrize("key", ["when", "only"])
def test_an_unknown_machine_of_a_constraint_is_refused_with_its_line(
    tmp_path: Path, key: str
) -> None:
    constraint = {"when": "{nodes: 1}", "only": "{nodes: 1}", key: "{on: [each, pi1+pi8]}"}
    more = f"constraints:\n  - when: {constraint['when']}\n    only: {constraint['only']}\n"
    path = written(tmp_path, "  on: [each]\n", more)

    with pytest.raises(HerdError) as caught:
        trim(cluster(3), load_matrix(path))

    line = 5 if key == "when" else 6
    assert str(caught.value).startswith(
        f"{path}, line {line}: the inventory's group cluster has no"
    )


def test_an_unknown_machine_of_the_command_line_is_told_as_its_flag(tmp_path: Path) -> None:
    path = written(tmp_path, "  nodes: [1]\n")
    asked = load_matrix(path).override(axes={"on": "pi1+pi7"})

    with pytest.raises(
        HerdError, match=r"^--set on: the inventory's group cluster has no node pi7"
    ):
        trim(cluster(3), asked)
    with pytest.raises(
        HerdError, match=r"^Reading the command line: --set on: invalid value 'a\+a'"
    ):
        load_matrix(path).override(axes={"on": "a+a"})
    assert places(load_matrix(path).override(axes={"on": "pi2,pi3+pi1"}), cluster(3)) == [
        ("pi2",),
        ("pi3", "pi1"),
    ]


@pytest.mark.parametrize("name", ["pi+1", "first", "each", "each_root"])
def test_a_machine_whose_name_reads_as_something_else_is_refused(name: str) -> None:
    (one, other) = cluster(2).nodes
    odd = Cluster((replace(one, name=name), other))

    with pytest.raises(HerdError, match="Rename the node in the inventory"):
        trim(odd, study("each"))
    trim(odd, matrix(axes={**matrix().axes, "nodes": (2,)}))  # the axis is not used


@pytest.mark.parametrize(
    "name", ["pi-1", "pi_1.lan", "pi 1", "π", "1", "a,b", "[x]", "100%", "{n}"]
)
def test_other_odd_names_are_names(name: str) -> None:
    (one, other) = cluster(2).nodes
    odd = Cluster((replace(one, name=name), other))

    assert places(study("each", f"pi2+{name}"), trim(odd, study("each"))) == [
        (name,),
        ("pi2",),
        ("pi2", name),
    ]


def test_a_number_in_a_file_is_the_name_of_a_machine(tmp_path: Path) -> None:
    (one, other) = cluster(2).nodes
    asked = load_matrix(written(tmp_path, "  on: [7]\n"))

    assert places(asked, Cluster((replace(one, name="7"), other))) == [("7",)]


def test_a_system_is_on_as_many_machines_as_it_says(tmp_path: Path) -> None:
    systems = tmp_path / "systems.yml"
    two = "{engine: llama.cpp, model: stories15m, nodes: 2, weights: f32"
    systems.write_text(f"systems:\n  a: {two}}}\n  b: {two}, axes: {{on: pi3+pi1}}}}\n")
    named = matrix(axes={"system": ("b",)}, systems_file=str(systems))
    assert places(named, cluster(3)) == [("pi3", "pi1")]
    with pytest.raises(HerdError, match="system a runs on 2 nodes, and axis on has pi1 for it"):
        matrix(axes={"system": ("a",), "on": ("each",)}, systems_file=str(systems)).cells(
            cluster(3)
        )
    other = tmp_path / "others.yml"
    other.write_text(f"systems:\n  a: {two}, axes: {{on: each}}}}\n")
    with pytest.raises(HerdError, match=r"line 2: .*a system is one cell"):
        matrix(axes={"system": ("a",)}, systems_file=str(other)).cells(cluster(3))


# -- what engines and preparing make of it


@pytest.mark.parametrize("engine", ON_NODES)
def test_every_engine_begins_on_the_first_that_is_named(engine: str) -> None:
    cell = cell_of(engine, nodes=2, on="pi3+pi1")
    deployment = ENGINES[engine].deploy(cell, provisioned())

    assert ENGINES[engine].check(cell, provisioned()) is None
    assert deployment.root.node.name == "pi3"
    assert {worker.node.name for worker in deployment.workers} | {"pi3"} == {"pi3", "pi1"}


@pytest.mark.parametrize("split", ["layer", "tensor"])
def test_llama_cpp_names_its_workers_in_order(split: str) -> None:
    cell = cell_of("llama.cpp", nodes=2, on="pi3+pi1", split_mode=split)

    argv = ENGINES["llama.cpp"].deploy(cell, provisioned()).root.argv
    assert option(argv, "--rpc") == "10.0.0.3:50052,10.0.0.1:50052"


def test_a_swarm_is_found_at_the_root() -> None:
    deployment = ENGINES["petals"].deploy(cell_of("petals", nodes=2, on="pi4+pi2"), provisioned())

    assert option(deployment.root.argv, "--first").startswith("10.0.0.4:")
    assert [option(one.argv, "--first") for one in deployment.workers] == ["10.0.0.4:9995"] * 2
    assert option(deployment.workers[0].argv, "--blocks").startswith("0:")
    assert deployment.workers[0].node.name == "pi4"


def test_a_root_without_the_model_is_named_and_prepared(tmp_path: Path) -> None:
    asked = study("each_root", "pi2")
    told = ask_facts(trim(cluster(2), asked), ScriptedLauncher(world(tmp_path)))
    plan = make_plan(asked, told)

    reasons = {cell.nodes: cell.unavailable for cell in plan.cells}
    assert reasons["pi1", "pi2"] is None
    assert all(str(reasons[one]).endswith("is not on pi2") for one in (("pi2", "pi1"), ("pi2",)))
    (step,) = steps_of(lacks_of(asked.cells(told), told), "pi1")
    assert '"herd_roots": ["pi2"]' in step.argv()[-1]


def test_the_identity_of_a_cell_is_of_its_own_root() -> None:
    whole = provisioned(2)
    other = replace(whole.nodes[1], model_sha256=dict.fromkeys(whole.nodes[1].model_sha256, "ef"))
    mixed = Cluster((whole.nodes[0], other))
    engine = ENGINES["llama.cpp"]

    one, two = (engine.identity(cell_of("llama.cpp", on=name), mixed) for name in ("pi1", "pi2"))
    assert one["model"] != two["model"]
    assert one == engine.identity(cell_of("llama.cpp"), mixed)


def test_a_plan_shows_the_machines(tmp_path: Path) -> None:
    asked = study("first", "each", "each_root", nodes=(2,))
    told = ask_facts(cluster(2), ScriptedLauncher(world(tmp_path, has_model=lambda _: True)))

    said = "\n".join(describe(make_plan(asked, told)))
    for label in ("the first 2 nodes", "1 node (pi1)", "1 node (pi2)", "2 nodes (pi2+pi1)"):
        assert f" {label} " in said
    assert "(pi1+pi2)" not in said  # these are the first two


def test_labels_say_where() -> None:
    def label(**params: object) -> str:
        return cell_label({**cell_of("llama.cpp").params, **params})  # type: ignore[dict-item]

    assert " the first node " in label(on="first", nodes=1)
    assert " the first 4 nodes of pis " in label(on="first", nodes=4, group="pis")
    assert " 2 nodes of pis (a+b) " in label(on="a+b", nodes=2, group="pis")


# -- runs


def test_a_run_goes_on_where_a_machine_is_away_and_only_its_cells_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_AGAIN_S", 0.0)
    the_world = world(tmp_path, has_model=lambda _: True, silent={"pi3"})
    asked = study("each", "each_root", nodes=(1,))

    result, said = measure(tmp_path, the_world, asked, nodes=4)
    assert (result.counts["done"], result.counts["pending"]) == (6, 10)
    assert "1 node (pi3)" in said.partition("Cells waiting for them:")[2]
    the_world.silent.clear()
    again, _ = measure(tmp_path, the_world, asked, nodes=4)
    assert again.folder == result.folder
    assert (again.counts["done"], again.counts["pending"]) == (16, 0)
    roots = {cell.nodes[0] for cell in Account.read(again.folder).manifest.cells}
    assert roots == {"pi1", "pi2", "pi3", "pi4"}


def test_leaving_a_machine_out_is_as_though_the_inventory_had_it_not(tmp_path: Path) -> None:
    asked = study("each", "each_root")
    left = those_left(leave_out(cluster(3), ["pi2"]), asked)

    assert places(asked, left) == [("pi1",), ("pi3",), ("pi1", "pi3"), ("pi3", "pi1")]
    the_world = world(tmp_path, has_model=lambda _: True)
    result, _ = measure(tmp_path, the_world, asked, without=("pi2",), nodes=3)
    assert result.counts["done"] == 8
    again, _ = measure(tmp_path, the_world, asked, without=("pi2",), nodes=3)
    assert (again.folder, again.already_complete) == (result.folder, True)


def test_a_machine_that_is_named_and_left_out_is_missed(tmp_path: Path) -> None:
    asked = study("pi1", "pi3+pi1")
    the_world = world(tmp_path, has_model=lambda _: True)
    left = ask_facts(those_left(leave_out(cluster(3), ["pi3"]), asked), ScriptedLauncher(the_world))

    alone, both = make_plan(asked, left).cells
    assert alone.unavailable is None
    assert both.unavailable == "it needs pi3, but of its nodes the cluster has pi1"


def test_a_group_without_a_machine_that_is_left_cannot_run(tmp_path: Path) -> None:
    asked = study("each", group=("pcs", "pis"))
    the_world = world(tmp_path, has_model=lambda _: True)
    left = ask_facts(those_left(leave_out(fleet(), ["pi1"]), asked), ScriptedLauncher(the_world))

    told = [(cell.nodes, cell.unavailable) for cell in make_plan(asked, left).cells]
    assert told[0] == ((), "it needs 1 node, but the group pcs has 0")
    assert told[1:] == [(("pi2",), None), (("pi3",), None), (("pi4",), None)]


def test_a_model_that_changed_on_any_root_keeps_its_cells_waiting(tmp_path: Path) -> None:
    asked = study("each")
    result, _ = measure(tmp_path, world(tmp_path, has_model=lambda _: True), asked, nodes=3)
    manifest = Account.read(result.folder).manifest
    told = ask_facts(cluster(3), ScriptedLauncher(world(tmp_path, has_model=lambda _: True)))
    changed = replace(told.nodes[1], model_sha256=dict.fromkeys(told.nodes[1].model_sha256, "ab"))

    now = held_against(manifest, Cluster((told.nodes[0], changed, told.nodes[2])))

    assert [node.away is None for node in now.nodes] == [True, False, True]
    assert "the model file" in str(now.nodes[1].away)


def test_more_names_than_a_run_can_keep_are_refused() -> None:
    (one,) = cluster(1).nodes
    many = Cluster(tuple(replace(one, name=f"machine-{n:0100}") for n in range(40)))

    with pytest.raises(HerdError, match="a cell names 40 nodes, whose names have more than"):
        trim(many, study("each_root"))
    assert len(trim(many, study("each")).nodes) == 40


def test_kept_workers_serve_each_root_in_turn(tmp_path: Path) -> None:
    the_world = world(tmp_path, has_model=lambda _: True)
    asked = study("each_root", nodes=(1,), workers=("kept", "fresh"))
    result, _ = measure(tmp_path, the_world, asked, nodes=2)
    assert result.counts["done"] == 8
    assert not the_world.units()
