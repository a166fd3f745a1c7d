"""A run's folder that somebody sent: names in it are no paths, and nothing outside is touched."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.report import write_report
from collect.account import Account, Scrutiny
from collect.attempt import ATTEMPT_FILE
from collect.load import load_run
from collect.ratings import RATINGS_FOLDER, read_ratings
from collect.reference import References
from collect.run import ATTEMPTS_FOLDER, RUN_FILE, TABLES_FOLDER
from collect.tables import build_tables
from core.durable import remove_folder, replace_file
from core.errors import HerdError
from core.record import UnfitError, parse_record
from experiments.disk.ledger import Ledger, find_planned, find_run, new_run_name
from experiments.planning.plan import seconds_per_trial
from experiments.rating.sheet import find_asked
from experiments.rating.store import judgements_of
from tests.doubles.asked_run import make_asked_run
from tests.doubles.run_folder import make_run

NAMES = (
    "../../precious", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "a\0b", "a\nb", "-rf", ".tmp-x",
    "\x1b[2J", "\u202egnp", "n" * 256,
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    return make_run(tmp_path / "results", name="shared", nodes=(1, 2), repeats=1)


def attempts(run: Path) -> list[Path]:
    return sorted((run / ATTEMPTS_FOLDER).iterdir())


def edit(file: Path, change: Callable[[Any], None]) -> None:
    told = json.loads(file.read_text())
    change(told)
    file.write_text(json.dumps(told))


def reasons(run: Path) -> str:
    return " ".join(a.reason or "" for t in Account.read(run).trials for a in t.attempts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["run", "cell", "trial", "node", "model", "engine", "system"])
def test_a_name_in_the_plan_is_no_path(run: Path, field: str, name: str) -> None:
    def change(plan: Any) -> None:  # noqa: ANN401 - JSON
        if field == "run":
            plan["run"] = name
        elif field == "cell":
            plan["cells"][0]["cell_id"] = name
        elif field == "trial":
            plan["trials"][0]["trial_id"] = name
        elif field == "node":
            plan["cells"][0]["nodes"] = [name]
        elif field == "model" and name != "a/b":  # a model's file lies below the folder of models
            plan["models"] = {name: "0" * 64}
        elif field == "engine":
            plan["engines"] = {name: {}}
        else:
            plan["systems"] = {name: {"url": "u", "model": "m"}}

    edit(run / RUN_FILE, change)
    with pytest.raises(HerdError, match=r"Reading the run shared: .*run\.json"):
        write_report(run, run.parents[1] / "reports")
    assert (run.parents[1] / "precious" / "thesis.txt").exists()
    assert not (run.parents[1] / "reports").exists()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("field", ["out_file", "err_file", "node", "file_bytes", "file_sha256"])
def test_a_name_in_an_attempt_is_no_path(run: Path, field: str, name: str) -> None:
    def change(record: Any) -> None:  # noqa: ANN401 - JSON
        if field in {"file_bytes", "file_sha256"}:
            record[field] = {name: 1 if field == "file_bytes" else "0" * 64}
        else:
            record["processes"][0][field] = name

    edit(attempts(run)[0] / ATTEMPT_FILE, change)
    assert f"{ATTEMPT_FILE} is damaged" in reasons(run)


def test_a_log_elsewhere_is_not_quoted(run: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("hf_FAKEtoken")

    def change(record: Any) -> None:  # noqa: ANN401 - JSON
        record["file_bytes"] = {}
        for process in record["processes"]:
            process.update(role="client", argv=["x"], out_file=str(secret))

    edit(attempts(run)[0] / ATTEMPT_FILE, change)
    report = write_report(run, tmp_path / "reports").index.parent
    for file in report.glob("*.*"):
        assert b"FAKE" not in file.read_bytes(), file


@pytest.mark.parametrize("target", ["/", "/dev/zero", "precious", "the attempt beside"])
@pytest.mark.parametrize("place", ["attempts", "attempt", "record", "log"])
def test_no_link_below_a_run_is_followed(
    run: Path, tmp_path: Path, place: str, target: str
) -> None:
    one, other, *_ = attempts(run)
    log = next(one.glob("*.out"))
    path = {"attempts": run / ATTEMPTS_FOLDER, "attempt": one, "record": one / ATTEMPT_FILE}
    link = path.get(place, log)
    aim = {"precious": tmp_path / "precious", "the attempt beside": other}.get(target, Path(target))
    link.rename(tmp_path / "moved")
    link.symlink_to(aim)
    if place == "attempts":
        with pytest.raises(HerdError, match="attempts is a link"):
            Account.read(run)
        with pytest.raises(HerdError, match="attempts is a link"):
            Ledger(run)
        return
    account = Account.read(run)
    told = " ".join((*account.warnings, reasons(run)))
    assert "is a link" in told or "is missing" in told
    write_report(run, tmp_path / "reports")
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_a_plan_that_is_a_device_or_a_pipe_is_refused_and_nobody_waits(run: Path) -> None:
    (run / RUN_FILE).unlink()
    (run / RUN_FILE).symlink_to("/dev/zero")
    with pytest.raises(HerdError, match="it is a link"):
        load_run(run)
    (run / RUN_FILE).unlink()
    os.mkfifo(run / RUN_FILE)
    with pytest.raises(HerdError, match="not a regular file"):
        load_run(run)


def test_a_log_that_is_a_pipe_is_refused_and_nobody_waits(run: Path) -> None:
    log = next(attempts(run)[0].glob("*.out"))
    log.unlink()
    os.mkfifo(log)
    assert f"{log.name} is missing or not the" in reasons(run)


def test_a_plan_larger_than_any_is_not_read(run: Path) -> None:
    with (run / RUN_FILE).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(HerdError, match="bytes, but at most 67108864 are read"):
        load_run(run)


def test_tables_are_not_written_elsewhere(run: Path, tmp_path: Path) -> None:
    (run / TABLES_FOLDER).symlink_to(tmp_path / "precious")
    with pytest.raises(HerdError, match="tables is a link"):
        build_tables(run).write(run)
    (run / TABLES_FOLDER).unlink()
    (run / TABLES_FOLDER).mkdir()
    kept = tmp_path / "precious" / "thesis.txt"
    (run / TABLES_FOLDER / ".tmp-trials.parquet").symlink_to(kept)
    os.mkfifo(run / TABLES_FOLDER / ".tmp-nodes.parquet")
    (run / TABLES_FOLDER / "tokens.parquet").symlink_to(kept)
    build_tables(run).write(run)
    assert kept.read_text() == "years of work"
    assert not (run / TABLES_FOLDER / "tokens.parquet").is_symlink()


def test_ratings_are_neither_read_nor_written_elsewhere(run: Path, tmp_path: Path) -> None:
    kept = tmp_path / "precious" / "thesis.txt"
    (run / RATINGS_FOLDER).symlink_to(tmp_path / "precious")
    with pytest.raises(HerdError, match="ratings is a link"):
        read_ratings(run)
    with pytest.raises(HerdError, match="ratings is a link"), judgements_of(run, "kim"):
        pass
    (run / RATINGS_FOLDER).unlink()
    (run / RATINGS_FOLDER).mkdir()
    (run / RATINGS_FOLDER / "kim.jsonl").symlink_to(kept)
    with pytest.raises(HerdError, match="it is a link"):
        read_ratings(run)
    with pytest.raises(HerdError, match="points outside"), judgements_of(run, "kim"):
        pass
    (run / RATINGS_FOLDER / ".tmp-kim.key.json").symlink_to(kept)
    with pytest.raises(OSError, match="symbolic"):
        replace_file(run / RATINGS_FOLDER / "kim.key.json", b"{}")
    assert kept.read_text() == "years of work"


def test_of_a_link_that_is_removed_only_the_link_goes(tmp_path: Path, run: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    remove_folder(tmp_path / "link")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "precious" / "thesis.txt").exists()


@pytest.mark.parametrize("name", ["../..", "..", ".", "", "/", "../precious", "/etc", "results"])
def test_a_run_that_is_asked_for_is_one_of_the_results(run: Path, name: str) -> None:
    with pytest.raises(HerdError, match=r"cannot be a run|There is no run"):
        find_run(run.parent, name)
    assert find_run(run.parent, "shared") == run
    assert find_run(run.parent, f"{run}/") == run


def damage(run: Path, kind: str) -> None:
    """A run that somebody sent, newer than any other and not one that can be read."""
    plan = run / RUN_FILE
    if kind == "torn":
        plan.write_bytes(plan.read_bytes()[:-20])
    elif kind == "of another run":
        edit(plan, lambda told: told.update(run="../../precious"))
    elif kind == "a link to nothing":
        plan.rename(plan.with_name("elsewhere"))
        plan.symlink_to("nothing")
    elif kind == "a folder":
        plan.unlink()
        plan.mkdir()
    elif kind == "no UTF-8":
        plan.write_bytes(b"\xff" * 100)
    else:
        attempts = run / ATTEMPTS_FOLDER
        attempts.rename(run.parent.parent / "attempts")
        attempts.symlink_to(run.parent.parent / "attempts")


DAMAGES = ("torn", "of another run", "a link to nothing", "a folder", "no UTF-8", "linked attempts")


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_run_that_cannot_be_read_keeps_nobody_from_the_others(
    run: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run.parent
    asked = make_asked_run(results, {"q1": "Why?"}, {1: [{"q1": "a"}]})
    edit(asked / RUN_FILE, lambda told: told.update(created_at=0.0))
    odd = make_run(results, name="odd", nodes=(1, 2), repeats=1)
    edit(odd / RUN_FILE, lambda told: told.update(created_at=9e9))
    damage(odd, kind)
    plan = load_run(run)

    assert find_run(results) == run
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("The run odd is left out. ")
    assert "odd" in told.partition(". ")[2]

    assert find_planned(results, plan.plan_id) == run
    assert find_asked(results, None) == asked
    assert seconds_per_trial(results, {cell.cell_id for cell in plan.cells})
    with pytest.raises(HerdError, match="odd"):
        find_run(results, "odd")
    with pytest.raises(HerdError, match="odd"):
        find_asked(results, "odd")


def test_a_run_that_is_left_out_is_told_on_one_line(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = run.parent / "odd\n\x1b[2J"
    odd.mkdir()
    (odd / RUN_FILE).write_text("{}")
    assert find_run(run.parent) == run
    told = capsys.readouterr().err
    assert told.startswith("The run odd \\x1b[2J is left out. ")
    assert told.count("\n") == 1


def test_where_no_run_can_be_read_that_is_told(run: Path) -> None:
    damage(run, "torn")
    with pytest.raises(HerdError, match="none can be read"):
        find_run(run.parent)


def test_what_trials_took_is_read_of_every_run_that_can_be(run: Path, tmp_path: Path) -> None:
    plan = load_run(run)
    cells = {cell.cell_id for cell in plan.cells}
    expected = seconds_per_trial(run.parent, cells)
    for name in ("file", "link", "locked"):
        (run.parent / name).mkdir()
    (run.parent / "file" / ATTEMPTS_FOLDER).write_text("none")
    (run.parent / "link" / ATTEMPTS_FOLDER).symlink_to(run / ATTEMPTS_FOLDER)
    locked = run.parent / "locked" / ATTEMPTS_FOLDER
    locked.mkdir()
    (locked / f"{min(cells)}-r1-a1").write_text("no folder")
    long = attempts(run)[0]
    edit(long / ATTEMPT_FILE, lambda told: told.update(trial_wall_s=1e308))

    found = seconds_per_trial(run.parent, cells)
    assert found == {cell: wall for cell, wall in expected.items() if cell in found}
    assert len(found) == len(expected) - 1, "the attempt that took for ever does not count"


def test_a_run_is_what_its_folder_is_called(run: Path) -> None:
    moved = run.rename(run.with_name("other"))
    with pytest.raises(HerdError, match="rename it to shared"):
        load_run(moved)


def test_attempts_of_another_run_or_trial_do_not_count(run: Path) -> None:
    edit(attempts(run)[0] / ATTEMPT_FILE, lambda record: record.update(run="other"))
    assert "holds an attempt of" in reasons(run)


def test_a_file_of_a_matrix_may_be_called_anything(tmp_path: Path) -> None:
    for stem in ("scaling", "-x", ".hidden", "a b/c", "\x1b[2J", "ä" * 200, "…", "김"):
        made = make_run(tmp_path, name=new_run_name(tmp_path, stem), nodes=(1,), repeats=1)
        assert load_run(made).run == made.name


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"models": {}, "models": {}}', "the key models appears twice"),
        (b'{"models": NaN}', "NaN is not a number"),
        (b'{"models": {}, "schema_version": 1' + b"0" * 400 + b"}", "schema_version"),
        (b'{"models": {}, "schema_version": ' + b"9" * 5000 + b"}", "digits"),
        (b"[" * 200_000, "nested too deeply"),
        (b"\xff\xfe", "decode"),
        (b"", "Expecting value"),
        (b"{}", "models: Field required"),
        (b'{"models": {"\\ud800": {}}}', "models"),
    ],
)
def test_json_that_is_none_is_told_in_one_line(content: bytes, told: str) -> None:
    with pytest.raises(UnfitError, match=told) as caught:
        parse_record(content, References)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_log_that_was_changed_is_told_and_one_of_before_hashes_counts(run: Path) -> None:
    one = attempts(run)[0]
    log = next(one.glob("*.root.out"))
    content = log.read_bytes()
    hashed = hashlib.sha256(content).hexdigest()
    assert "sha256" not in reasons(run)
    edit(one / ATTEMPT_FILE, lambda record: record.update(file_sha256={log.name: hashed}))
    assert "sha256" not in reasons(run)
    digit = next(place for place, byte in enumerate(content) if chr(byte).isdigit())
    log.write_bytes(content[:digit] + b"7" + content[digit + 1 :])
    assert "not what was collected" in reasons(run) or content[digit : digit + 1] == b"7"
    assert Account.read(run, Scrutiny.RECORDS).counts()["planned"] == 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda p: p["trials"][0].update(cell_id="other"), "is of the cell other, which does"),
        (lambda p: p["cells"][0].update(nodes=["pi9"]), "is of the node pi9, which does not exist"),
        (lambda p: p["trials"].append(p["trials"][0]), "appears twice"),
        (lambda p: p["cells"].append(p["cells"][0]), "appears twice"),
        (lambda p: p["trials"][1].update(order=p["trials"][0]["order"]), "the same order"),
        (lambda p: p["trials"][0].update(order=2**70), r"trials\.0\.order"),
        (lambda p: p["cells"][0]["params"].update(threads=2**70), r"params\.threads"),
        (lambda p: p["cells"][0]["params"].update(nodes="two"), "its axis nodes must be a whole"),
        (lambda p: p["cells"][0]["params"].pop("engine"), "its axis engine must be there"),
        (lambda p: p["cells"][0]["params"].update(state="x"), "is a column of every run, not"),
        (lambda p: p["cells"][0]["params"].update(threads="x"), "threads must be a whole number"),
        (lambda p: p["cells"][0]["params"].update(nodes=-1), "nodes must be a whole number"),
        (lambda p: p["cells"][0]["params"].update(workers=1), "workers must be a text"),
        (lambda p: p["axes"].update(threads=["x"]), "threads must be a whole number"),
        (lambda p: p.update(created_at=1e300), "created_at"),
        (lambda p: p.update(created_at=-1), "created_at"),
        (lambda p: p.update(title="x" * 5000), "title"),
        (lambda p: p.update(matrix_file=""), "must be the path of a file"),
        (lambda p: p.update(max_attempts=0), "max_attempts"),
        (lambda p: p.update(seed=True), "seed"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_its_field(
    run: Path, change: Callable[[Any], None], told: str
) -> None:
    edit(run / RUN_FILE, change)
    with pytest.raises(HerdError, match=told):
        Account.read(run)
