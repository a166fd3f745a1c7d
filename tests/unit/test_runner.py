"""A run on the scripted herd: what is measured, retried, left out, refused and continued."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from collect.account import Account
from collect.attempt import AttemptRecord, load_attempt
from core.errors import HerdError
from experiments.disk.ledger import find_run, run_status, runs
from experiments.nodes.owner import Owner, own_results
from experiments.trials import lookout
from tests.doubles.scripted import ScriptedLauncher, World, cluster
from tests.doubles.scripted_run import matrix, run, world

ONE_NODE = {
    "engine": ("distributed-llama",),
    "model": matrix().axes["model"],
    "weights": ("q4_0",),
    "nodes": (1,),
}
TWO_COUNTS = {**ONE_NODE, "nodes": (1, 2)}


def attempts(folder: Path) -> list[AttemptRecord]:
    (only,) = runs(folder / "results")
    found = [load_attempt(path) for path in (only / "attempts").iterdir()]
    return sorted(found, key=lambda record: record.started_at)


def roots(the_world: World) -> list[str]:
    return [line["unit"] for line in the_world.journal() if line["event"] == "measured"]


def test_every_trial_is_measured_once_and_the_impossible_cell_is_accounted_for(
    tmp_path: Path,
) -> None:
    result = run(tmp_path, world(tmp_path))

    assert result.counts == {
        "planned": 6,
        "done": 4,
        "failed": 0,
        "unavailable": 2,
        "pending": 0,
    }
    assert result.exit_code == 0
    assert run_status(result.folder)["run"] == result.folder.name
    reasons = [t.reason for t in Account.read(result.folder).trials if t.state == "unavailable"]
    assert all("3 nodes" in str(reason) for reason in reasons)


def test_a_complete_run_is_not_measured_again_and_says_so(tmp_path: Path) -> None:
    first = run(tmp_path, world(tmp_path))
    before = roots(world(tmp_path))

    again = run(tmp_path, world(tmp_path))

    assert again.already_complete
    assert again.folder == first.folder
    assert roots(world(tmp_path)) == before


def test_a_new_run_can_be_asked_for(tmp_path: Path) -> None:
    first = run(tmp_path, world(tmp_path))

    second = run(tmp_path, world(tmp_path), new=True)

    assert second.folder != first.folder
    assert find_run(tmp_path / "results") == second.folder


def test_another_plan_is_another_run(tmp_path: Path) -> None:
    run(tmp_path, world(tmp_path))

    run(tmp_path, world(tmp_path), asked=matrix(repeats=3))

    assert len(runs(tmp_path / "results")) == 2


def test_a_failed_attempt_is_kept_with_its_logs_and_cause_and_tried_again(tmp_path: Path) -> None:
    the_world = world(tmp_path, fails=lambda unit: unit.endswith("-r1-a1-root"))

    result = run(tmp_path, the_world, asked=matrix(axes=ONE_NODE, repeats=1))

    failed, done = attempts(tmp_path)
    assert (failed.outcome, failed.attempt) == ("failed", 1)
    assert "Connection reset by peer" in str(failed.cause)
    assert failed.file_bytes["pi1.root.out"] > 10_000
    assert (done.outcome, done.attempt, done.samples) == ("done", 2, 21)
    assert result.counts["done"] == 1


def test_a_trial_without_attempts_left_is_failed_and_the_exit_code_says_so(tmp_path: Path) -> None:
    the_world = world(tmp_path, fails=lambda unit: "-r1-" in unit)

    result = run(tmp_path, the_world, asked=matrix(axes=ONE_NODE, repeats=2))

    assert result.counts["failed"] == 1
    assert result.counts["done"] == 1
    assert result.exit_code == 1
    assert len(attempts(tmp_path)) == 3


def test_an_attempt_during_which_a_node_swapped_is_invalid_and_repeated(tmp_path: Path) -> None:
    the_world = world(tmp_path, swapped=lambda unit: 5000 * unit.endswith("-r1-a1-root"))

    run(tmp_path, the_world, asked=matrix(axes=ONE_NODE, repeats=1))

    invalid, done = attempts(tmp_path)
    assert (invalid.outcome, invalid.cause) == ("invalid", "pi1: it swapped 20000 KiB")
    assert done.outcome == "done"


def test_a_link_slower_than_when_the_run_began_is_seen_by_a_later_session(tmp_path: Path) -> None:
    def interrupt(unit: str) -> None:
        if "-r1-" in unit:
            raise KeyboardInterrupt

    asked = matrix(axes=ONE_NODE, repeats=1, max_attempts=1)
    assert run(tmp_path, world(tmp_path, on_root=interrupt), asked=asked).interrupted

    run(tmp_path, world(tmp_path, link_mbit=lambda node: 100), asked=asked)

    (only,) = attempts(tmp_path)
    assert only.cause == "pi1: its link was at 100 instead of 1000 Mbit/s"


def test_each_cell_is_warmed_up_once_in_each_session(tmp_path: Path) -> None:
    asked = matrix(axes=TWO_COUNTS, repeats=3, warmup=2)

    run(tmp_path, world(tmp_path), asked=asked)

    warm_ups = [unit for unit in roots(world(tmp_path)) if "-w" in unit]
    assert len(warm_ups) == len(set(warm_ups)) == 4


def test_the_warm_up_is_redone_when_a_run_goes_on(tmp_path: Path) -> None:
    def interrupt(unit: str) -> None:
        if unit.endswith("-r2-a1-root"):
            raise KeyboardInterrupt

    asked = matrix(axes=ONE_NODE, repeats=2)
    run(tmp_path, world(tmp_path, on_root=interrupt), asked=asked)

    run(tmp_path, world(tmp_path), asked=asked)

    assert [unit.split("-")[2] for unit in roots(world(tmp_path))] == ["w1", "r1", "w1", "r2"]


def test_ctrl_c_keeps_the_ledger_stops_all_units_and_exits_130(tmp_path: Path) -> None:
    def interrupt(unit: str) -> None:
        if unit.endswith("-r2-a1-root"):
            raise KeyboardInterrupt

    the_world = world(tmp_path, on_root=interrupt)

    result = run(tmp_path, the_world, asked=matrix(axes=TWO_COUNTS))

    assert (result.interrupted, result.exit_code) == (True, 130)
    assert result.counts["done"] == 2
    assert the_world.units() == []


def test_cells_that_do_not_need_a_lost_node_are_measured_and_the_others_wait(
    tmp_path: Path,
) -> None:
    the_world = world(tmp_path)

    def unplug(unit: str) -> None:
        if "-r1-a1" in unit and len(attempts_of(tmp_path, "done")) == 1:
            the_world.silent.add("pi2")

    the_world.on_root = unplug
    result = run(tmp_path, the_world, asked=matrix(axes=TWO_COUNTS, repeats=3, seed=3))

    assert result.counts["failed"] == 0
    assert result.counts["pending"] > 0
    assert {a.params["nodes"] for a in attempts(tmp_path) if a.outcome == "done"} >= {1}
    one_node = [a for a in attempts(tmp_path) if a.outcome == "done" and a.params["nodes"] == 1]
    assert len(one_node) == 3
    assert any("pi2" in note for note in result.notes)
    assert result.exit_code == 1


def attempts_of(folder: Path, outcome: str) -> list[AttemptRecord]:
    return [record for record in attempts(folder) if record.outcome == outcome]


def test_a_run_goes_on_when_the_lost_node_is_back(tmp_path: Path) -> None:
    the_world = world(tmp_path)
    the_world.on_root = lambda unit: the_world.silent.add("pi2") if "-r2-a1" in unit else None
    asked = matrix(axes=TWO_COUNTS)
    assert run(tmp_path, the_world, asked=asked).counts["pending"] > 0

    result = run(tmp_path, world(tmp_path), asked=asked)

    assert result.counts == {
        "planned": 4,
        "done": 4,
        "failed": 0,
        "unavailable": 0,
        "pending": 0,
    }


def test_a_worker_node_that_freezes_ends_the_attempt_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "LOOK_S", 0.01)
    monkeypatch.setattr(lookout, "PULSE_S", 0.02)
    the_world = world(tmp_path, hangs=lambda unit: unit.endswith("-r1-a1-root"))
    the_world.on_root = lambda unit: the_world.silent.add("pi2") if "-r1-a1" in unit else None

    run(tmp_path, the_world, asked=matrix(axes={**ONE_NODE, "nodes": (2,)}, repeats=1))

    (failed,) = attempts(tmp_path)
    assert failed.outcome == "failed"
    assert "pi2 did not answer" in str(failed.cause)
    assert "while the root was running" in str(failed.cause)


def test_a_worker_that_is_frozen_ends_the_attempt_before_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "LOOK_S", 0.01)
    monkeypatch.setattr(lookout, "PULSE_S", 0.02)
    the_world = world(tmp_path, hangs=lambda unit: unit.endswith("-r1-a1-root"))
    the_world.frozen = lambda node: node == "pi2"

    run(tmp_path, the_world, asked=matrix(axes={**ONE_NODE, "nodes": (2,)}, repeats=1))

    failed, done = attempts(tmp_path)
    assert "worker on pi2 was frozen while the root was running" in str(failed.cause)
    assert done.outcome == "done"


def test_a_root_node_that_freezes_ends_the_attempt_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "LOOK_S", 0.01)
    monkeypatch.setattr(lookout, "PULSE_S", 0.02)
    the_world = world(tmp_path, hangs=lambda unit: unit.endswith("-r1-a1-root"))
    the_world.on_root = lambda unit: the_world.silent.add("pi1") if "-r1-a1" in unit else None

    result = run(tmp_path, the_world, asked=matrix(axes=ONE_NODE, repeats=1))

    (failed,) = attempts(tmp_path)
    assert "pi1 stopped answering" in str(failed.cause)
    assert result.counts["pending"] == 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"binary_sha256": "beef" * 16}, "dllama on pi1 was rebuilt or replaced"),
        ({"machine_id": lambda node: f"other-{node}"}, "pi1 is another machine"),
    ],
)
def test_a_run_does_not_go_on_in_another_world(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    def interrupt(unit: str) -> None:
        if unit.endswith("-r2-a1-root"):
            raise KeyboardInterrupt

    run(tmp_path, world(tmp_path, on_root=interrupt))
    other = world(tmp_path)
    for name, value in changed.items():
        setattr(other, name, value)

    with pytest.raises(HerdError, match=told):
        run(tmp_path, other)


def test_an_engine_that_is_not_installed_makes_its_cells_unavailable_with_the_reason(
    tmp_path: Path,
) -> None:
    the_world = world(tmp_path, installed=lambda node: node != "pi2")

    result = run(tmp_path, the_world)

    assert result.counts["unavailable"] == 4
    reasons = {t.reason for t in Account.read(result.folder).trials if t.state == "unavailable"}
    assert any("pi2: its source could not be fetched" in str(reason) for reason in reasons)


def test_results_that_another_runner_owns_are_refused_by_its_name(tmp_path: Path) -> None:
    other = Owner("ada", "attic", 4711, "2026-11-23T05:00:00")

    with own_results(tmp_path / "results", other), pytest.raises(HerdError) as caught:
        run(tmp_path, world(tmp_path))

    assert "ada@attic (process 4711, since 2026-11-23 05:00:00)" in str(caught.value)


def test_a_cluster_that_another_runner_owns_is_refused_by_its_name(tmp_path: Path) -> None:
    the_world = world(tmp_path)
    taken = ScriptedLauncher(the_world).open(cluster(2).nodes[1])
    from experiments.nodes.launcher import Request  # noqa: PLC0415 - one test needs it

    taken.send(Request("own", (("who", "user=ada host=attic pid=4711 since=now"),)))

    with pytest.raises(HerdError, match=r"pi2: the cluster is in use by the runner of ada@attic"):
        run(tmp_path, the_world, asked=matrix(axes={**ONE_NODE, "nodes": (2,)}))


def test_a_full_disk_of_this_machine_stops_cleanly_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write = os.write
    written: list[int] = []

    def full(descriptor: int, content: bytes) -> int:
        written.append(len(content))
        if 8 <= len(written) < 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, content)

    the_world = world(tmp_path)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(HerdError, match="the disk of this machine is full") as caught:
        run(tmp_path, the_world)
    monkeypatch.undo()

    assert "Free some space" in str(caught.value)
    assert the_world.units() == []
    assert list((tmp_path / "results").rglob(".tmp-*")) == []
    assert run(tmp_path, the_world).counts["done"] == 4


def test_a_full_disk_of_a_node_is_the_cause_of_a_failed_attempt(tmp_path: Path) -> None:
    the_world = world(tmp_path, fails=lambda unit: "-r1-" in unit, free_kib=12)

    run(tmp_path, the_world, asked=matrix(axes=ONE_NODE, repeats=1))

    assert all("the disk of pi1 is full" in str(record.cause) for record in attempts(tmp_path))


def test_kept_workers_are_started_once_and_serve_other_node_counts(tmp_path: Path) -> None:
    axes = {**ONE_NODE, "nodes": (2, 4), "workers": ("kept",)}
    the_world = world(tmp_path)
    started: list[str] = []
    the_world.on_root = lambda unit: started.append(",".join(the_world.units()))

    run(tmp_path, the_world, nodes=4, asked=matrix(axes=axes, repeats=3))

    workers = {name for names in started for name in names.split(",") if "worker" in name}
    assert len(workers) == 3
    assert the_world.units() == []
    kept = [p.kept for record in attempts(tmp_path) for p in record.processes if p.role != "root"]
    assert kept
    assert all(kept)


def test_a_failed_attempt_of_kept_workers_starts_them_anew_and_warm(tmp_path: Path) -> None:
    axes = {**ONE_NODE, "nodes": (2,), "workers": ("kept",)}
    the_world = world(tmp_path, fails=lambda unit: unit.endswith("-r1-a1-root"))

    run(tmp_path, the_world, asked=matrix(axes=axes, repeats=1))

    steps = [unit.split("-", 2)[2].removesuffix("-root") for unit in roots(the_world)]
    assert steps == ["w1", "r1-a1", "w1", "r1-a2"]


def test_the_run_tells_its_provenance(tmp_path: Path) -> None:
    result = run(tmp_path, world(tmp_path), command=("fab", "run-matrix"), toolkit="v1")

    told = json.loads((result.folder / "run.json").read_text())
    assert told["command"] == ["fab", "run-matrix"]
    assert told["toolkit"] == "v1"
    assert told["nodes"]["pi2"]["cpu_model"] == "Cortex-A76"
    assert told["engines"]["distributed-llama"]["version"] == "v0.16.4"
    assert len(told["models"]) == 2


def test_a_model_file_that_is_not_what_its_manifest_says_is_refused(tmp_path: Path) -> None:
    the_world = world(tmp_path, model_bytes=8, model_sha256="bad" * 21 + "b")

    with pytest.raises(HerdError) as caught:
        run(tmp_path, the_world)

    assert "q4_0.m on pi1: its sha256 is badbadbadbad" in str(caught.value)
    assert "ansible pi1 -b -K -m raw -a 'rm /opt/llama-herd/models/" in str(caught.value)


def test_a_model_file_is_read_once_and_again_only_when_it_was_touched(tmp_path: Path) -> None:
    def hashed() -> list[str]:
        journal = world(tmp_path).journal()
        return [line["unit"].rpartition(".")[2] for line in journal if line["event"] == "hashed"]

    run(tmp_path, world(tmp_path))
    assert hashed() == ["m"]  # the weights, before the first trial

    run(tmp_path, world(tmp_path, model_bytes=8), new=True)
    assert sorted(hashed()[1:]) == ["m", "m", "t"]
