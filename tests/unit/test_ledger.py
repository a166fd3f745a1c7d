"""What is on disk is whole or not there."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections import Counter
from pathlib import Path

import pytest

from collect.account import Account
from collect.attempt import ATTEMPT_FILE, AttemptRecord, load_attempt
from core.errors import HerdError
from experiments.disk.ledger import Ledger, find_run, new_run_name, run_status, runs
from experiments.nodes.owner import Owner, own_results
from experiments.planning.plan import seconds_per_trial
from tests.doubles.scripted_run import run, world


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return run(tmp_path, world(tmp_path)).folder


def an_attempt(folder: Path) -> Path:
    return min((folder / "attempts").iterdir())


def test_a_whole_attempt_under_its_temporary_name_gets_its_name(finished: Path) -> None:
    attempt = an_attempt(finished)
    before = Account.read(finished).counts()
    attempt.rename(attempt.with_name(f".tmp-{attempt.name}"))
    assert Account.read(finished).counts()["pending"] == 1

    Ledger(finished).recover()

    assert attempt.is_dir()
    assert Account.read(finished).counts() == before


@pytest.mark.parametrize("tear", ["record", "log", "no record", "empty"])
def test_a_torn_attempt_under_its_temporary_name_goes(finished: Path, tear: str) -> None:
    attempt = an_attempt(finished)
    torn = attempt.rename(attempt.with_name(f".tmp-{attempt.name}"))
    if tear == "record":
        (torn / ATTEMPT_FILE).write_bytes((torn / ATTEMPT_FILE).read_bytes()[:-20])
    elif tear == "log":
        os.truncate(torn / "pi1.root.out", 100)
    elif tear == "no record":
        (torn / ATTEMPT_FILE).unlink()
    else:
        shutil.rmtree(torn)
        torn.mkdir()

    Ledger(finished).recover()

    assert not torn.exists()
    assert Account.read(finished).counts()["pending"] == 1


def test_a_trial_whose_attempt_was_damaged_later_is_measured_again(
    finished: Path, tmp_path: Path
) -> None:
    os.truncate(an_attempt(finished) / "pi1.root.out", 100)

    result = run(tmp_path, world(tmp_path))

    assert result.folder == finished
    assert result.counts["done"] == 4
    assert an_attempt(finished).name.endswith("-a1"), "the damaged one is kept, not overwritten"


def test_the_latest_run_is_found_and_any_by_name(finished: Path, tmp_path: Path) -> None:
    second = run(tmp_path, world(tmp_path), new=True).folder

    assert runs(tmp_path / "results") == [finished, second]
    assert find_run(tmp_path / "results") == second
    assert find_run(tmp_path / "results", finished.name) == finished


def test_no_run_and_an_unknown_run_are_told(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="there are none yet"):
        find_run(tmp_path)
    with pytest.raises(HerdError, match=r"no run `nonesuch`"):
        find_run(tmp_path, "nonesuch")


def test_a_folder_that_is_no_run_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / ".tmp-half").mkdir()
    (tmp_path / ".tmp-half" / "run.json").write_text("{}")

    assert runs(tmp_path) == []


def test_a_name_is_never_given_twice(tmp_path: Path) -> None:
    first = new_run_name(tmp_path, "study")
    (tmp_path / first).mkdir()

    assert new_run_name(tmp_path, "study") != first


def test_the_results_are_free_again_when_their_owner_is_gone(tmp_path: Path) -> None:
    with own_results(tmp_path, Owner.me()):
        pass
    with own_results(tmp_path, Owner.me()):
        assert json.dumps((tmp_path / ".lock").read_text()).count(socket.gethostname()) == 1


def test_a_link_in_the_place_of_the_lock_is_refused_and_what_it_leads_to_stays(
    tmp_path: Path,
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("thesis")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / ".lock").symlink_to(precious)

    with (
        pytest.raises(HerdError, match="the lock of the results"),
        own_results(tmp_path / "results", Owner.me()),
    ):
        pass
    assert precious.read_text() == "thesis"


def test_an_owner_that_died_on_this_machine_is_known_to_be_gone() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    me = Owner.me()

    dead = Owner(me.user, me.host, pid, "2026-11-23T05:00:00")
    elsewhere = Owner(me.user, "another-machine", pid, "2026-11-23T05:00:00")

    assert me.outlived(dead.line())
    assert not me.outlived(elsewhere.line()), "another machine's processes cannot be seen"
    assert not me.outlived("")


def test_an_owner_that_lives_is_not_outlived() -> None:
    me = Owner.me()
    parent = Owner(me.user, me.host, os.getppid(), "now")
    # A number that belongs to something that is no runner was given to it after the runner died.
    assert me.outlived(Owner(me.user, me.host, 1, "now").line())
    assert Owner.parse(parent.line()) == parent


def test_a_resume_reads_each_record_once_before_its_first_trial(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()

    def counted(folder: Path, *, closely: bool = True) -> AttemptRecord:
        read[folder.name] += 1
        return load_attempt(folder, closely=closely)

    monkeypatch.setattr("collect.account.load_attempt", counted)
    monkeypatch.setattr("experiments.planning.plan.load_attempt", counted)
    account = Ledger(finished).account()
    cells = {cell.cell_id for cell in account.manifest.cells}
    assert seconds_per_trial(finished.parent, cells, account)
    assert set(read.values()) == {1}
    assert seconds_per_trial(finished.parent, cells) == seconds_per_trial(
        finished.parent, cells, account
    )


def test_the_status_does_not_read_logs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a log was read")

    for name in ("collect.parsers.of_attempt.parse_attempt", "collect.account.check_logs"):
        monkeypatch.setattr(name, never)
    counts = run_status(finished)
    assert counts["done"] + counts["unavailable"] == counts["planned"]
