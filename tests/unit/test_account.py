"""planned = done + failed + unavailable + pending, whatever lies in a run's folder."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collect.account import Account, State
from collect.attempt import ATTEMPT_FILE, TEMPORARY_PREFIX
from collect.run import ATTEMPTS_FOLDER, RUN_FILE
from core.errors import HerdError
from tests.doubles.run_folder import make_run


def one_trial(tmp_path: Path) -> tuple[Path, Path]:
    """A run of one trial that is done: its folder and its attempt's."""
    run = make_run(
        tmp_path, engines=("distributed-llama",), nodes=(2,), repeats=1, failed=(), retried=()
    )
    (attempt,) = (run / ATTEMPTS_FOLDER).iterdir()
    return run, attempt


def edit(attempt: Path, /, **changes: object) -> None:
    path = attempt / ATTEMPT_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def only(run: Path) -> tuple[State, str | None]:
    (trial,) = Account.read(run).trials
    return trial.state, trial.reason


def test_every_state_is_counted_and_they_sum_up(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        failed=[("llama.cpp", 2, 1), ("llama.cpp", 4, 3)],
        retried=[("distributed-llama", 1, 1)],
        pending=[("llama.cpp", 8, 3)],
    )
    account = Account.read(run)
    assert account.counts() == {
        "planned": 24,
        "done": 18,
        "failed": 2,
        "unavailable": 3,
        "pending": 1,
    }
    assert account.warnings == ()
    assert [state.trial.order for state in account.trials] == list(range(1, 25))


def test_a_trial_that_needed_two_attempts_is_done_by_the_second(tmp_path: Path) -> None:
    run = make_run(tmp_path, failed=(), retried=[("llama.cpp", 1, 1)])
    (trial,) = (state for state in Account.read(run).trials if len(state.attempts) > 1)
    assert trial.state == "done"
    assert trial.chosen is trial.attempts[1]
    assert trial.attempts[0].reason == "the root on pi1 ended with status 1"
    assert trial.reason is None


def test_a_trial_with_attempts_left_is_pending_and_without_is_failed(tmp_path: Path) -> None:
    run, attempt = one_trial(tmp_path)
    edit(attempt, outcome="failed", cause="the worker on pi2 was killed")
    assert only(run) == ("pending", "the worker on pi2 was killed")
    shutil.copytree(attempt, attempt.with_name(attempt.name[:-1] + "2"))
    edit(attempt.with_name(attempt.name[:-1] + "2"), attempt_id=attempt.name[:-1] + "2", attempt=2)
    assert only(run) == ("failed", "the worker on pi2 was killed")


def test_an_invalid_attempt_does_not_count_as_done(tmp_path: Path) -> None:
    run, attempt = one_trial(tmp_path)
    edit(attempt, outcome="invalid", cause="pi2 was throttled")
    assert only(run) == ("pending", "pi2 was throttled")


def test_an_attempt_counts_only_while_its_logs_are_whole(tmp_path: Path) -> None:
    run, attempt = one_trial(tmp_path)
    assert only(run) == ("done", None)
    log = attempt / "pi1.root.out"
    whole = log.read_bytes()
    log.write_bytes(whole[:-1])
    state, reason = only(run)
    assert state == "pending"
    assert reason is not None
    assert "pi1.root.out is missing or not the" in reason
    # A log that was torn before it was recorded has the right length and no summary.
    torn = whole[: whole.index(b"Evaluation\n")]
    log.write_bytes(torn)
    sizes = json.loads((attempt / ATTEMPT_FILE).read_text())["file_bytes"]
    edit(attempt, file_bytes=sizes | {"pi1.root.out": len(torn)})
    state, reason = only(run)
    assert state == "pending"
    assert reason is not None
    assert "ends without its summary" in reason


def test_an_attempt_with_too_few_samples_does_not_count(tmp_path: Path) -> None:
    run, attempt = one_trial(tmp_path)
    edit(attempt, expected_samples=17)
    assert only(run) == ("pending", "The logs hold 16 measured values and 17 were asked for.")


@pytest.mark.parametrize("record", ["", "{}", "[1]", '{"schema_version": 2}', "\x00"])
def test_a_damaged_record_is_a_failed_attempt(tmp_path: Path, record: str) -> None:
    run, attempt = one_trial(tmp_path)
    (attempt / ATTEMPT_FILE).write_text(record)
    state, reason = only(run)
    assert state == "pending"
    assert reason is not None
    assert f"{run.name}/{ATTEMPTS_FOLDER}/{attempt.name}/{ATTEMPT_FILE} is damaged" in reason
    assert str(tmp_path) not in reason, "reports print it"


def test_an_attempt_in_the_folder_of_another_does_not_count(tmp_path: Path) -> None:
    run, attempt = one_trial(tmp_path)
    shutil.move(attempt, attempt.with_name(attempt.name[:-1] + "7"))
    state, reason = only(run)
    assert state == "pending"
    assert reason is not None
    assert "holds the attempt" in reason


def test_of_two_measured_attempts_the_first_counts_and_it_is_said(tmp_path: Path) -> None:
    run, attempt = one_trial(tmp_path)
    second = attempt.with_name(attempt.name[:-1] + "10")
    shutil.copytree(attempt, second)
    edit(second, attempt_id=second.name, attempt=10)
    account = Account.read(run)
    assert account.counts()["done"] == 1
    assert account.trials[0].chosen is not None
    assert account.trials[0].chosen.attempt_id == attempt.name
    (warning,) = account.warnings
    assert warning.endswith(
        f"was measured more than once: {attempt.name} counts, {second.name} does not."
    )


def test_what_is_no_attempt_is_left_out_and_what_is_unfinished_is_not_even_mentioned(
    tmp_path: Path,
) -> None:
    run, attempt = one_trial(tmp_path)
    before = Account.read(run).counts()
    shutil.copytree(attempt, attempt.with_name(TEMPORARY_PREFIX + attempt.name))
    (run / ATTEMPTS_FOLDER / "notes.txt").write_text("mine")
    (run / ATTEMPTS_FOLDER / "backup").mkdir()
    (run / ATTEMPTS_FOLDER / "000000000000-r1-a1").mkdir()
    account = Account.read(run)
    assert account.counts() == before
    assert account.warnings == (
        "000000000000-r1-a1 is not an attempt of a trial of this run and is left out.",
        "backup is not an attempt of a trial of this run and is left out.",
    )


def test_a_run_that_was_only_planned_is_pending_but_for_what_cannot_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    shutil.rmtree(run / ATTEMPTS_FOLDER)
    counts = Account.read(run).counts()
    assert (counts["pending"], counts["unavailable"]) == (21, 3)


def test_a_folder_without_a_plan_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(HerdError, match=r"run\.json does not exist"):
        Account.read(tmp_path)
    (tmp_path / RUN_FILE).write_text("{")
    with pytest.raises(HerdError, match="is damaged or from another version"):
        Account.read(tmp_path)


DAMAGES = ("keep", "remove", "no record", "torn record", "torn log", "no log", "renamed", "garbage")


def damage(attempt: Path, how: str) -> None:
    log, record = attempt / "pi1.root.out", attempt / ATTEMPT_FILE
    if how == "remove":
        shutil.rmtree(attempt)
    elif how == "no record":
        record.unlink()
    elif how == "torn record":
        record.write_bytes(record.read_bytes()[: len(record.read_bytes()) // 2])
    elif how == "torn log":
        log.write_bytes(log.read_bytes()[:-20])
    elif how == "no log":
        log.unlink()
    elif how == "renamed":
        shutil.move(attempt, attempt.with_name(attempt.name + "9"))
    elif how == "garbage":
        content = log.read_bytes()
        log.write_bytes(content[::-1])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(DAMAGES), min_size=11, max_size=11))
def test_whatever_happens_to_a_folder_the_account_is_even_and_no_damaged_attempt_counts(
    tmp_path_factory: pytest.TempPathFactory, damages: list[str]
) -> None:
    run = make_run(tmp_path_factory.mktemp("run"), nodes=(1, 2, 4), repeats=2, retried=())
    whole = Account.read(run).counts()
    attempts = sorted((run / ATTEMPTS_FOLDER).iterdir())
    for attempt, how in zip(attempts, damages, strict=False):
        damage(attempt, how)
    account = Account.read(run)
    counts = account.counts()
    assert counts["planned"] == whole["planned"] == sum(counts.values()) - counts["planned"]
    kept = {a.name for a, how in zip(attempts, damages, strict=False) if how == "keep"}
    untouched = {attempt.name for attempt in attempts[len(damages) :]}
    chosen = {state.chosen.attempt_id for state in account.trials if state.chosen}
    assert chosen <= kept | untouched
