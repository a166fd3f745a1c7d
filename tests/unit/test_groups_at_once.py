"""The axis `groups`: several deployments of one cell at once, and what is made of them."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from collect.account import Account
from collect.attempt import AttemptRecord, NodeEnergy, check_logs
from collect.cells import CellRecord
from collect.energy import trial_energy
from collect.measurement import Measurement, Phase
from collect.parsers.at_once import measured_at_once
from collect.tables import build_tables
from collect.workloads import Perplexity
from core.errors import HerdError
from experiments.engines import ENGINES
from experiments.engines.several import deploy_all, deployed_cells, identity_of, obstacle
from experiments.nodes.facts import ask_facts
from experiments.planning.describe import describe
from experiments.planning.lacks import lacks_of
from experiments.planning.matrix import Matrix, load_matrix
from experiments.planning.plan import make_plan, trim
from experiments.sessions import session
from tests.doubles.absent_run import attempts, measure
from tests.doubles.scripted import ScriptedLauncher, World, cluster
from tests.doubles.scripted_run import matrix, world
from tests.unit.test_engines import cell as cell_of
from tests.unit.test_engines import cluster as provisioned

ALL = ("4x1", "2x2", "1x4")


def study(*groups: str, **changed: object) -> Matrix:
    axes = {**matrix().axes, "nodes": (1, 2), "groups": groups or ALL}
    return matrix(**{"axes": {**axes, **changed.pop("axes", {})}, **changed})  # type: ignore[dict-item]


def everywhere(folder: Path, **changed: object) -> World:
    return world(folder, **{"has_model": lambda _: True, **changed})


# -- which nodes


def test_a_cell_takes_the_nodes_of_all_its_deployments() -> None:
    cells = study().cells(cluster(4))

    assert [(cell.params["groups"], cell.nodes) for cell in cells] == [
        ("4x1", 4),
        ("2x2", 4),
        ("1x4", 4),
    ]
    found = {
        cell.params["groups"]: [one.on for one in deployed_cells(cell, cluster(4))]
        for cell in cells
    }
    assert found == {
        "4x1": [("pi1",), ("pi2",), ("pi3",), ("pi4",)],
        "2x2": [("pi1", "pi2"), ("pi3", "pi4")],
        "1x4": [("pi1", "pi2", "pi3", "pi4")],
    }


def test_named_machines_are_divided_in_their_order() -> None:
    (cell,) = study("2x2", axes={"on": ("pi4+pi3+pi2+pi1",)}).cells(cluster(4))

    assert [one.on for one in deployed_cells(cell, cluster(4))] == [("pi4", "pi3"), ("pi2", "pi1")]
    with pytest.raises(HerdError, match="groups has 2x2, which takes 4 nodes, and axis on has pi1"):
        study("2x2", axes={"on": ("each",)}).cells(cluster(4))


def test_a_system_of_another_number_is_refused_where_the_matrix_names_it(tmp_path: Path) -> None:
    path = tmp_path / "systems.yml"
    path.write_text("title: T\naxes:\n  system: distributed-llama\n  groups: [2x2, 1x2]\n")

    with pytest.raises(HerdError) as raised:
        load_matrix(path).cells(cluster(4))

    assert str(raised.value).startswith(
        f"{path}, line 4: The system distributed-llama runs on 4 nodes, and axis groups has 1x2 "
        "for it, which is 2: take as many nodes"
    )


@pytest.mark.parametrize("engine", ["distributed-llama", "llama.cpp", "petals"])
def test_every_engine_deploys_each_on_its_own_nodes(engine: str) -> None:
    cell = cell_of(engine, nodes=4, groups="2x2")

    assert obstacle(ENGINES[engine], cell, provisioned()) is None
    one, other = deploy_all(ENGINES[engine], cell, provisioned())
    assert (one.root.node.name, other.root.node.name) == ("pi1", "pi3")
    used = [{p.node.name for p in (*d.workers, d.root)} for d in (one, other)]
    assert used == [{"pi1", "pi2"}, {"pi3", "pi4"}]


def test_ids_depend_on_how_the_nodes_are_divided_and_on_every_root() -> None:
    engine, whole = ENGINES["llama.cpp"], provisioned()
    halves = cell_of("llama.cpp", nodes=4, groups="2x2")
    before = identity_of(engine, halves, whole)
    other = replace(whole.nodes[2], model_sha256=dict.fromkeys(whole.nodes[2].model_sha256, "ef"))
    changed = replace(whole, nodes=(*whole.nodes[:2], other, whole.nodes[3]))

    assert identity_of(engine, halves, changed)["model"] != before["model"]
    plain = cell_of("llama.cpp", nodes=4)
    assert identity_of(engine, plain, whole) == engine.identity(plain, whole)


# -- what is refused


@pytest.mark.parametrize("value", ["'0x2'", "2x0", "2*2", "x2", "2x", "two", "99999x1", "'4 x 1'"])
def test_what_is_no_division_is_refused_with_its_line(tmp_path: Path, value: str) -> None:
    path = tmp_path / "groups.yml"
    path.write_text(f"title: Groups\naxes:\n  groups:\n    - 2x1\n    - {value}\n")

    with pytest.raises(HerdError) as caught:
        load_matrix(path)
    assert str(caught.value).startswith(f"{path}, line 5: ")
    assert "DEPLOYMENTSxNODES, such as 4x1" in str(caught.value)


def test_more_nodes_than_there_are_is_refused() -> None:
    with pytest.raises(HerdError, match=r"asks for 6 nodes .* and `groups` that take no more"):
        trim(cluster(4), study("3x2"))


def test_other_workloads_and_kept_workers_cannot_run_by_name() -> None:
    text = Perplexity(text="experiments/texts/alice.txt", characters=900, context_tokens=64)
    cell = replace(cell_of("llama.cpp", nodes=4, groups="4x1"), workload=text)
    assert "only the workload benchmark, and this is perplexity" in str(
        obstacle(ENGINES["llama.cpp"], cell, provisioned())
    )
    kept = cell_of("llama.cpp", nodes=4, groups="4x1", workers="kept")
    assert "start their workers afresh" in str(obstacle(ENGINES["llama.cpp"], kept, provisioned()))


def test_every_root_needs_the_model(tmp_path: Path) -> None:
    asked = study("2x2")
    told = ask_facts(trim(cluster(4), asked), ScriptedLauncher(world(tmp_path)))

    (cell,) = make_plan(asked, told).cells
    assert str(cell.unavailable).endswith("is not on pi3")
    assert list(lacks_of(asked.cells(told), told).models.values()) == [("pi3",)]


def test_a_plan_says_how_many_run_at_once(tmp_path: Path) -> None:
    asked = study()
    told = ask_facts(cluster(4), ScriptedLauncher(everywhere(tmp_path)))
    said = "\n".join(describe(make_plan(asked, told)))
    assert "4 nodes, 4 at once, each of 1 node" in said
    assert "4 nodes, 2 at once, each of 2 nodes" in said
    assert "4 nodes, 1 deployment of 4 nodes" in said


# -- runs


def test_a_trial_runs_all_deployments_and_keeps_their_logs(tmp_path: Path) -> None:
    result, _ = measure(tmp_path, everywhere(tmp_path), study())

    assert result.counts == {"planned": 6, "done": 6, "failed": 0, "unavailable": 0, "pending": 0}
    four = [one for one in attempts(tmp_path) if one.params["groups"] == "4x1"]
    assert [one.nodes for one in four[0].deployments] == [("pi1",), ("pi2",), ("pi3",), ("pi4",)]
    assert {process.node for process in four[0].processes} == {"pi1", "pi2", "pi3", "pi4"}
    for record in attempts(tmp_path):
        folder = result.folder / "attempts" / record.attempt_id
        check_logs(folder, record)
        roots = record.roots()
        assert all(
            root is not None and (folder / str(root.out_file)).stat().st_size for root in roots
        )
    (account,) = [Account.read(result.folder)]
    assert account.counts()["done"] == 6
    rows = build_tables(result.folder).trials.set_index("groups")
    assert rows.loc["4x1", "deployments"].tolist() == [4, 4]
    assert rows.loc["1x4", "all_overlap"].tolist() == [1.0, 1.0]
    alone = rows.loc["1x4"]
    assert alone["all_tokens_per_s"].tolist() == alone["decode_tokens_per_s"].tolist()
    assert (rows["all_tokens_per_s"] > 0).all()
    assert (rows["sum_tokens_per_s"] >= rows["slowest_tokens_per_s"]).all()


def test_energy_of_all_nodes_is_divided_by_the_tokens_of_all_users(tmp_path: Path) -> None:
    result, _ = measure(tmp_path, everywhere(tmp_path), study("4x1"))
    run = Account.read(result.folder).manifest
    apart = {name: {**facts, "boot_id": name} for name, facts in run.nodes.items()}
    run = run.model_copy(update={"nodes": apart})
    record = attempts(tmp_path)[0]
    used = {
        name: NodeEnergy(joules={"RAPL package-0": 10.0 + place}, window_s=2.0 + place)
        for place, name in enumerate(("pi1", "pi2", "pi3", "pi4"))
    }
    measured = measured_at_once([alone(100, 10.0)] * 4, [10.0, 10.5, 11.0, 12.0])
    found = trial_energy(
        run, run.cells[0].nodes, record.model_copy(update={"energy": used}), measured
    )
    assert found["energy_j"] == pytest.approx(46.0)
    assert found["energy_j_per_token"] == pytest.approx(46.0 / 400)
    assert found["energy_window_s"] == pytest.approx(5.0)
    missing = record.model_copy(update={"energy": {"pi1": used["pi1"]}})
    assert "energy_j" not in trial_energy(run, run.cells[0].nodes, missing, measured)


def test_they_run_at_the_same_time(tmp_path: Path) -> None:
    meeting = threading.Barrier(4, timeout=20)  # breaks unless all four roots run at once
    the_world = everywhere(tmp_path, on_root=lambda _: meeting.wait())
    result, _ = measure(tmp_path, the_world, study("4x1"))
    assert result.counts["done"] == 2


def test_one_that_dies_fails_the_attempt_and_all_logs_are_kept(tmp_path: Path) -> None:
    lock, count = threading.Lock(), [0]
    meeting = threading.Barrier(4, timeout=20)

    def fails(unit: str) -> bool:
        meeting.wait()  # all four run
        with lock:
            count[0] += "-r1-" in unit
            return "-r1-" in unit and count[0] == 2

    result, said = measure(tmp_path, everywhere(tmp_path, fails=fails), study("4x1"))
    assert result.counts["done"] == 2
    first = [one for one in attempts(tmp_path) if one.trial_id.endswith("-r1")]
    assert [one.outcome for one in first] == ["failed", "done"]
    assert len([p for p in first[0].processes if p.role == "root"]) == 4
    assert len(first[0].file_bytes) >= 4
    assert "failed: " in said


def test_ctrl_c_ends_all_deployments_soon_and_the_run_goes_on_later(tmp_path: Path) -> None:
    the_world = everywhere(tmp_path, hangs=lambda unit: "-r1-" in unit)
    timer = threading.Timer(3.0, _thread.interrupt_main)
    timer.start()
    begun = time.monotonic()
    result, _ = measure(tmp_path, the_world, study("4x1"))
    timer.cancel()
    assert result.interrupted
    assert time.monotonic() - begun < 40
    the_world.hangs = lambda _: False
    again, _ = measure(tmp_path, the_world, study("4x1"))
    assert again.folder == result.folder
    assert again.counts["done"] == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.test_groups_at_once import everywhere, measure, study
folder, count = Path(sys.argv[1]), [0]
def on_root(unit):
    count[0] += 1
    if count[0] == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
measure(folder, everywhere(folder, on_root=on_root), study("4x1", "2x2"))
"""


@pytest.mark.parametrize("at", [1, 6, 11, 20])
def test_a_run_that_is_killed_within_a_trial_goes_on(tmp_path: Path, at: int) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(at)], check=False)
    result, _ = measure(tmp_path, everywhere(tmp_path), study("4x1", "2x2"))
    assert result.counts == {"planned": 4, "done": 4, "failed": 0, "unavailable": 0, "pending": 0}
    assert len(list((tmp_path / "results").glob("*/run.json"))) == 1


def test_where_a_node_is_away_the_whole_cell_waits_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_AGAIN_S", 0.0)
    the_world = everywhere(tmp_path, silent={"pi4"})
    asked = study("4x1", "2x1")
    result, _ = measure(tmp_path, the_world, asked)
    assert (result.counts["done"], result.counts["pending"]) == (2, 2)
    the_world.silent.clear()
    again, _ = measure(tmp_path, the_world, asked)
    assert again.folder == result.folder
    assert again.counts["done"] == 4


def test_a_node_that_is_lost_in_between_fails_or_pauses_the_trial_and_it_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_AGAIN_S", 0.0)
    the_world = everywhere(tmp_path)
    the_world.on_root = lambda unit: the_world.silent.add("pi3") if "-r1-" in unit else None
    result, _ = measure(tmp_path, the_world, study("4x1"))
    assert result.counts["done"] < 2
    assert result.counts["planned"] == sum(
        result.counts[state] for state in ("done", "failed", "unavailable", "pending")
    )
    the_world.silent.clear()
    the_world.on_root = lambda _: None
    again, _ = measure(tmp_path, the_world, study("4x1"))
    assert again.counts["done"] == 2
    assert not the_world.units()


# -- what they measured


def alone(tokens: int, seconds: float) -> Measurement:
    return Measurement(
        samples=tokens, decode=Phase(tokens, 1000 * seconds), prefill=Phase(8, 400.0)
    )


def test_the_window_is_from_the_first_token_to_the_last() -> None:
    found = measured_at_once([alone(100, 10.0), alone(100, 20.0), alone(100, 25.0)], [12, 22, 26])

    at_once = found.at_once
    assert at_once is not None
    assert at_once.window_s == 25.0  # begun at 2, 2 and 1; ended at 26
    assert at_once.tokens_per_s == pytest.approx(300 / 25)
    assert at_once.sum_tokens_per_s == pytest.approx(10 + 5 + 4)
    assert at_once.overlap == pytest.approx((12 - 2) / 25)
    assert at_once.slowest_tokens_per_s == 4.0
    assert found.decode is not None
    assert found.decode.tokens_per_s == pytest.approx(5.0)  # the median user
    assert found.samples == 300


def test_the_median_of_an_even_number_is_between_the_two() -> None:
    found = measured_at_once([alone(100, 10.0), alone(100, 20.0)], [10, 20])
    assert found.decode is not None
    assert found.decode.tokens_per_s == pytest.approx(7.5)


def test_deployments_that_never_ran_together_do_not_overlap() -> None:
    found = measured_at_once([alone(10, 5.0), alone(10, 5.0)], [5.0, 60.0])
    assert found.at_once is not None
    assert found.at_once.overlap == 0.0
    assert found.at_once.window_s == 60.0


def test_one_without_a_figure_is_no_measurement() -> None:
    with pytest.raises(HerdError, match="did not report"):
        measured_at_once([alone(10, 5.0), Measurement(samples=1)], [5.0, 5.0])


def test_records_of_before_have_no_deployments_and_tables_no_such_column(tmp_path: Path) -> None:
    result, _ = measure(tmp_path, world(tmp_path))
    record: AttemptRecord = attempts(tmp_path)[0]
    assert record.deployments == ()
    assert record.roots() == (record.root(),)
    trials: pd.DataFrame = build_tables(result.folder).trials
    assert "all_tokens_per_s" not in trials


@pytest.mark.parametrize("value", ["abc", "0x1", "2x0", "9" * 5000 + "x1", "1x" + "9" * 5000])
def test_a_record_with_another_division_is_refused(value: str) -> None:
    params = {"engine": "llama.cpp", "model": "m", "nodes": 1, "weights": "f32", "groups": value}
    record = {"cell_id": "c", "params": params, "identity": {}, "nodes": ["a", "b"]}
    with pytest.raises(ValidationError, match=r"such as 4x1|at most"):
        CellRecord.model_validate(record)
