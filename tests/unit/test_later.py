"""What is added to a run after it began: it only adds, and whoever sent the run, it has bounds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collect.account import Account
from collect.later import LATER_FOLDER, all_later
from collect.load import load_references, load_run
from collect.reference import ReferenceSays
from collect.run import RUN_FILE
from collect.workloads import Greedy
from core.errors import HerdError
from experiments.disk.ledger import Ledger, runs
from tests.doubles.absent_run import measure
from tests.doubles.scripted import MODEL
from tests.doubles.scripted_run import matrix, world


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that saw pi3 late."""
    measure(tmp_path, world(tmp_path, silent={"pi3"}))
    return measure(tmp_path, world(tmp_path))[0].folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / LATER_FOLDER / "0001.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


def _rename_cell(told: dict[str, Any]) -> None:
    (cell,) = told["cells"].values()
    told["cells"] = {"nowhere": cell}


def _escape(told: dict[str, Any]) -> None:
    next(iter(told["cells"].values()))["cell_id"] = "../escape"


def _other_axis(cell: dict[str, Any]) -> None:
    cell["params"]["threads"] = 7


def _other_nodes(cell: dict[str, Any]) -> None:
    cell["nodes"].pop()


def _other_order(cell: dict[str, Any]) -> None:
    cell["nodes"].reverse()


def _move(told: dict[str, Any]) -> None:
    next(iter(told["cells"].values()))["nodes"] = ["pi1"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda told: told.update(run="another"), "it is of the run another"),
        (lambda told: told["nodes"].update(pi1={"cores": 8}), "cores was known before"),
        (lambda told: told["nodes"].update(pi9={"cores": 8}), "the node pi9 is none of the run"),
        (lambda told: told.update(models={"a/b": "c"}, surplus=1), "surplus"),
        (_rename_cell, "the cell nowhere is none of the run's"),
        (_move, "is none of the run's"),
        (_escape, "cell_id"),
    ],
)
def test_what_changes_or_does_not_fit_is_refused_with_the_file(
    folder: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    edit(folder, change)

    with pytest.raises(HerdError, match=told) as caught:
        load_run(folder)

    assert LATER_FOLDER in str(caught.value)


def test_no_link_is_followed_and_nothing_else_lies_there(folder: Path) -> None:
    (folder / LATER_FOLDER / "notes.txt").write_text("hello")
    with pytest.raises(HerdError, match=r"notes\.txt is not one of its files"):
        load_run(folder)
    (folder / LATER_FOLDER / "notes.txt").unlink()
    elsewhere = (folder / LATER_FOLDER).rename(folder.parent / "elsewhere")
    (folder / LATER_FOLDER).symlink_to(elsewhere)

    with pytest.raises(HerdError, match="is a link"):
        load_run(folder)


@pytest.mark.parametrize(
    ("last", "told"), [(10_000, "Start another run"), (10_001, "not one of its")]
)
def test_no_addition_is_written_that_could_not_be_read(folder: Path, last: int, told: str) -> None:
    later = folder / LATER_FOLDER / "0001.json"
    later.rename(later.with_name(f"{last}.json"))

    with pytest.raises(HerdError, match=told):
        Ledger(folder).add(all_later(folder, "Reading", "")[0])


def test_a_run_that_cannot_be_read_keeps_nobody_from_the_others(folder: Path) -> None:
    (folder / LATER_FOLDER / "0001.json").write_text("{")

    assert runs(folder.parent) == []


def test_without_what_was_added_a_run_still_loads_as_it_began(folder: Path) -> None:
    """As an earlier version of this toolkit reads it."""
    for path in (folder / LATER_FOLDER).iterdir():
        path.unlink()

    account = Account.read(folder)

    assert account.counts()["pending"] == 2
    assert all("is not an attempt of a trial of this run" in text for text in account.warnings)


def test_what_a_kill_left_of_an_addition_is_removed(folder: Path) -> None:
    (folder / LATER_FOLDER / ".tmp-0002.json").write_text("{")

    Ledger(folder).recover()

    assert [path.name for path in (folder / LATER_FOLDER).iterdir()] == ["0001.json"]


def test_whenever_the_runner_is_killed_while_it_learns_the_run_can_be_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        """Past everything that cleans up after errors."""

    real = {name: getattr(os, name) for name in ("fsync", "write", "mkdir", "rename", "replace")}
    for step in range(1, 14):
        folder = tmp_path / str(step)
        measure(folder, world(folder, silent={"pi3"}))
        before = (runs(folder / "results")[0] / RUN_FILE).read_bytes()
        made = [0]

        def counted(name: str, made: list[int] = made, step: int = step) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as `os` has it
                made[0] += LATER_FOLDER in str(args[0]) or made[0] > 0
                if made[0] == step:
                    raise KilledError
                return real[name](*args, **kwargs)

            return call

        with monkeypatch.context() as patched:
            for name in real:
                patched.setattr(os, name, counted(name))
            with pytest.raises(KilledError):
                measure(folder, world(folder))

        result, _ = measure(folder, world(folder))
        assert result.counts["done"] == 6, step
        assert (result.folder / RUN_FILE).read_bytes() == before


def test_what_new_texts_are_held_against_is_added_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = ReferenceSays(continuations=(), scored=(-1.0,))
    monkeypatch.setattr(
        "experiments.planning.references._says", lambda *_: {"f32": says, "q4_0": says}
    )
    workload = Greedy(prompts=("Once upon",), positions=8, text="Once upon a time")
    asked = matrix(workload=workload, axes={**matrix().axes, "nodes": (1,)}, max_attempts=1)
    without_model = world(tmp_path)
    without_model.files = ()
    first, _ = measure(tmp_path, without_model, asked)
    assert load_references(first.folder).models == {}

    second, _ = measure(tmp_path, world(tmp_path), asked)

    assert second.folder == first.folder
    assert load_references(second.folder).of(MODEL, "q4_0") == says
    assert second.counts["unavailable"] == 0


@pytest.mark.parametrize("change", [_other_axis, _other_nodes, _other_order])
def test_a_run_whose_cells_were_changed_does_not_go_on(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = measure(tmp_path, world(tmp_path, silent={"pi3"}))[0].folder / RUN_FILE
    told = json.loads(path.read_text())
    change(told["cells"][-1])
    path.write_text(json.dumps(told))

    with pytest.raises(HerdError, match=r"its run\.json was changed"):
        measure(tmp_path, world(tmp_path))
