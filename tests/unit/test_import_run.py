"""A foreign archive is refused by name, or taken in whole: nothing of it is visible before that."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.report import write_report
from collect.account import Account
from collect.sharing import imported, reports
from collect.sharing.exported import export_run
from collect.sharing.imported import WAITING, import_run
from collect.sharing.renamed import plan_hash
from core.errors import HerdError
from tests.doubles.run_folder import make_run

Files = dict[str, bytes]
RUN = "scaling-20260101-000000"


def no_report(_run: Path, folder: Path) -> None:
    """Make a report without any file."""
    (folder / _run.name).mkdir(parents=True)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Every file of an honest archive."""
    folder = tmp_path_factory.mktemp("base")
    run = make_run(folder / "results", nodes=(1, 2), engines=("distributed-llama",))
    made = export_run(run, folder / "a.tar.gz", write_report, "0.1.0")
    with tarfile.open(made.archive) as tar:
        return {
            member.name.removeprefix("./"): tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isreg()
        }


def run_of(files: Files) -> str:
    return str(json.loads(files["export.json"])["run"])


def summed(files: Files) -> Files:
    """The files with right hashes: who lies can count."""
    rest = {name: content for name, content in files.items() if name != "SHA256SUMS"}
    lines = [f"{hashlib.sha256(rest[name]).hexdigest()}  {name}\n" for name in sorted(rest)]
    return {**rest, "SHA256SUMS": "".join(lines).encode()}


def tarred(files: Files, *more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for entry, content in more:
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def member(
    name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    entry.size = len(content) if kind == tarfile.REGTYPE else 0
    return entry, content


def take(folder: Path, content: bytes, name: str = "x.tar.gz") -> imported.Imported:
    (folder / name).write_bytes(content)
    return import_run(folder / name, folder / "results", write_report, "0.1.0")


def nothing_is_visible(folder: Path) -> bool:
    results = folder / "results"
    left = [path.name for path in results.iterdir()] if results.exists() else []
    return set(left) <= {f"{WAITING}.lock"}


PLACES = {
    "above": member("../outside"),
    "above, below": member("results/../../outside"),
    "absolute": member("/var/outside"),
    "backslash": member("results\\x"),
    "hidden": member("results/.ssh"),
    "option": member("results/-rf"),
    "git": member(".git/config"),
    "control": member("results/a\x1b[2J"),
    "bidi": member("results/a\u202etxt"),
    "empty part": member("results//x"),
    "long": member("results/" + "a" * 300),
    "deep": member("results/a/attempts/b/c/d/e/f"),
    "unknown at the top": member("setup.py"),
    "unknown in the run": member("results/a/conftest.py"),
    "forged mark": member("results/a/imported.json"),
    "a folder as a file": member("results"),
    "link": member("results/l", b"", tarfile.SYMTYPE, "/etc/passwd"),
    "link inside": member("results/l", b"", tarfile.SYMTYPE, "a"),
    "hard link": member("results/l", b"", tarfile.LNKTYPE, "export.json"),
    "device": member("results/d", b"", tarfile.CHRTYPE),
    "disk": member("results/d", b"", tarfile.BLKTYPE),
    "pipe": member("results/p", b"", tarfile.FIFOTYPE),
    "twice": member("export.json"),
    "capitals": member("EXPORT.json"),
    "another form of a letter": member("e\uff58port.json"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_member_that_may_not_be_there_is_named(name: str, base: Files, tmp_path: Path) -> None:
    with pytest.raises(HerdError, match="its member") as told:
        take(tmp_path, tarred(base, PLACES[name]))
    assert "Nothing was imported." in str(told.value)
    assert nothing_is_visible(tmp_path)
    assert not list(tmp_path.parent.glob("outside"))
    assert not Path("/var/outside").exists()


def changed(
    name: str, change: Callable[[dict], None], *, of_attempt: str = ""
) -> Callable[[Files], Files]:
    """Lie in a record, and count the hashes again."""

    def make(files: Files) -> Files:
        run = run_of(files)
        path = f"results/{run}/{name}"
        if of_attempt:
            path = next(
                p
                for p in sorted(files)
                if p.endswith("attempt.json") and of_attempt in files[p].decode()
            )
        record = json.loads(files[path])
        change(record)
        if (
            name == "run.json"
            and not of_attempt
            and record.get("plan_id", "").startswith("shared-")
        ):
            record["plan_id"] = plan_hash(record)
        return summed({**files, path: json.dumps(record).encode()})

    return make


def with_other_log(files: Files) -> Files:
    """A log that says another time of each token, with a record that vouches for it."""
    path = next(p for p in sorted(files) if p.endswith("root.out") and b"Pred" in files[p])
    content = re.sub(rb"(Pred +)\d+", rb"\g<1>7", files[path])
    assert content != files[path]
    record_path = path.rpartition("/")[0] + "/attempt.json"
    record = json.loads(files[record_path])
    name = path.rpartition("/")[2]
    record["file_sha256"][name] = hashlib.sha256(content).hexdigest()
    record["file_bytes"][name] = len(content)
    return {**files, path: content, record_path: json.dumps(record).encode()}


def edited(ending: str, before: bytes, after: bytes) -> Callable[[Files], Files]:
    def make(files: Files) -> Files:
        path = next(p for p in sorted(files) if p.endswith(ending))
        assert before in files[path], path
        return summed({**files, path: files[path].replace(before, after, 1)})

    return make


def renamed(to: str) -> Callable[[Files], Files]:
    def make(files: Files) -> Files:
        run = run_of(files)
        moved = {
            name.replace(f"/{run}/", f"/{to}/").replace(f"/{run}", f"/{to}"): content
            for name, content in files.items()
        }
        export = json.loads(files["export.json"]) | {"run": to}
        return summed({**moved, "export.json": json.dumps(export).encode()})

    return make


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {
        path: content for path, content in files.items() if not path.endswith(name)
    }


def without_line(content: bytes, word: bytes) -> bytes:
    return b"\n".join(line for line in content.split(b"\n") if word not in line)


def also(name: str, content: bytes) -> Callable[[Files], Files]:
    return lambda files: summed({**files, name.format(run=run_of(files)): content})


def first_attempt(files: Files) -> str:
    return next(p for p in sorted(files) if p.endswith("attempt.json")).rpartition("/")[0]


def longer(ending: str, *, counted: bool = False) -> Callable[[Files], Files]:
    def make(files: Files) -> Files:
        path = next(p for p in sorted(files) if p.endswith(ending))
        made = {**files, path: files[path] + b" "}
        return summed(made) if counted else made

    return make


def described(before: bytes, after: bytes) -> Callable[[Files], Files]:
    return edited("export.json", before, after)


def of_attempt(change: Callable[[dict], None], outcome: str = "done") -> Callable[[Files], Files]:
    return changed("", change, of_attempt=f'"outcome": "{outcome}"')


LIES: dict[str, tuple[Callable[[Files], Files], str]] = {
    "no hashes": (without("SHA256SUMS"), "SHA256SUMS"),
    "no description": (without("export.json"), "export.json"),
    "a file without a hash": (
        lambda f: {**f, "README.md": b"x", f"{first_attempt(f)}/more.out": b"x"},
        "README.md|has no hash",
    ),
    "a hash without a file": (without("README.md"), "README.md is missing"),
    "another hash": (longer("CITATION.cff"), "CITATION.cff was changed"),
    "a log changed": (longer("root.out"), "root.out was changed"),
    "hashes that are none": (lambda f: {**f, "SHA256SUMS": b"abc"}, "is not a hash"),
    "hashes that are no text": (lambda f: {**f, "SHA256SUMS": b"\xff\xfe"}, "cannot be read"),
    "a log changed, hashes counted again": (
        longer("root.out", counted=True),
        r"does not fit|not the",
    ),
    "description of another version": (described(b'_version": 1', b'_version": 2'), "export.json"),
    "description with a further field": (described(b"{", b'{"x": 1,'), "export.json"),
    "description with a key twice": (described(b"{", b'{"run": "a",'), "twice"),
    "a name that is a path": (described(b'"run": "', b'"run": "../'), "export.json"),
    "a name that is another run's": (renamed("other"), "run's name|is of the run"),
    "a name that is a folder of ours": (renamed("probes"), "no run can be called"),
    "no plan": (lambda f: summed(without("run.json")(f)), "run.json"),
    "plan that is no JSON": (edited("run.json", b"{", b"["), "run.json"),
    "plan with NaN": (edited("run.json", b'"seed": ', b'"seed": NaN, "x": '), "run.json"),
    "plan that is deep": (also("results/{run}/run.json", b"[" * 100_000), "run.json"),
    "plan changed, its hash not": (
        edited("run.json", b'"title": "', b'"title": "My '),
        "plan_id is not its hash",
    ),
    "plan with an id of its own": (
        changed("run.json", lambda r: r.update(plan_id="a" * 64, title="Mine")),
        "plan_id is not its hash",
    ),
    "more nodes than there are": (
        changed("run.json", lambda r: r["cells"][0].update(nodes=["nowhere"])),
        "nowhere",
    ),
    "an attempt of no trial": (
        lambda f: summed({n.replace("-r1-a1/", "-r77-a1/"): c for n, c in f.items()}),
        "attempt",
    ),
    "more samples than the log has": (
        of_attempt(lambda r: r.update(samples=999, expected_samples=999)),
        "does not fit",
    ),
    "a failure told as success": (
        of_attempt(lambda r: r.update(outcome="done", cause=None), "failed"),
        "does not fit",
    ),
    "an attempt of another run": (of_attempt(lambda r: r.update(run="x")), "does not fit"),
    "a log that is not there": (
        of_attempt(lambda r: r["file_bytes"].update({"gone.out": 1})),
        "does not fit",
    ),
    "a log without a hash": (of_attempt(lambda r: r.update(file_sha256={})), "lacks the hash"),
    "a log elsewhere": (
        of_attempt(lambda r: r["processes"][0].update(out_file="../run.json")),
        "does not fit",
    ),
    "a file that no record names": (
        lambda f: summed({**f, f"{first_attempt(f)}/more.out": b"x"}),
        "does not name",
    ),
    "a later that does not fit": (also("results/{run}/later/0001.json", b"{}"), "later"),
    "ratings that are none": (also("results/{run}/ratings/kim.jsonl", b"{]\n{]\n"), "kim|ratings"),
    "logs of another engine": (
        of_attempt(lambda r: r["params"].update(engine="llama.cpp")),
        "does not fit|of another cell",
    ),
    "settings that the plan does not have": (
        of_attempt(lambda r: r["params"].update(threads=64)),
        "of another cell than the plan says",
    ),
    "a failure that the text leaves out": (
        lambda f: summed(
            {n: without_line(c, b"failed") if n.endswith("report.md") else c for n, c in f.items()}
        ),
        "report.md leaves out",
    ),
    "a report without a table": (
        lambda f: summed(without("failures.csv")(f)),
        "failures.csv, .* is missing",
    ),
    "a figure of a table": (edited("cells.csv", b"0.75", b"0.99"), "cells.csv, line"),
    "a sentence of the text": (
        edited("report.md", b"tokens/s", b"tokens/s (ten times as fast)"),
        "report.md says",
    ),
    "a sentence of the page": (
        edited("index.html", b"</h1>", b" in truth, faster</h1>"),
        "index.html says",
    ),
    "a report with a further file": (
        also("reports/{run}/more.csv", b"a\n1\n"),
        "more.csv is not made",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_an_archive_that_lies_is_refused_and_what_lies_is_named(
    name: str, base: Files, tmp_path: Path
) -> None:
    make, told = LIES[name]
    with pytest.raises(HerdError, match=told):
        take(tmp_path, tarred(make(base)))
    assert nothing_is_visible(tmp_path)


HARMS: dict[str, Callable[[Files], Files]] = {
    "plan": edited("run.json", b'"repeats": 3', b'"repeats": -3'),
    "attempt": of_attempt(lambda r: r.update(trial_wall_s=-1.0)),
    "ratings": also("results/{run}/ratings/kim.jsonl", b"{}\n{}\n"),
    "later": also("results/{run}/later/0001.json", b"{}"),
}


@pytest.mark.parametrize("name", HARMS)
def test_a_file_that_is_refused_has_its_name_in_the_archive_and_no_remedy(
    name: str, base: Files, tmp_path: Path
) -> None:
    with pytest.raises(HerdError) as told:
        take(tmp_path, tarred(HARMS[name](base)))
    said = str(told.value)
    assert said.startswith("Importing x.tar.gz: ")
    assert f"results/{run_of(base)}" in said or run_of(base) in said
    assert said.endswith(imported.UNTOUCHED)
    assert said.count(imported.UNTOUCHED) == 1
    assert not re.search(rf"{WAITING}|Restore|run again", said), said


def bomb(size: int) -> bytes:
    """A member of that many zeros, small when packed."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=9) as packed:
        entry = tarfile.TarInfo("README.md")
        entry.size = size
        packed.write(entry.tobuf())
        for _ in range(size >> 20):
            packed.write(bytes(1 << 20))
    return stream.getvalue()


BROKEN = {
    "nothing": b"",
    "no archive": b"hello",
    "cut off": "cut",
    "half a gzip": gzip.compress(b"x" * 5000)[:60],
    "a gzip of no tar": gzip.compress(b"not a tar" * 500),
    "a member that is cut off": gzip.compress(tarfile.TarInfo("README.md").tobuf()[:300]),
    "a size of 8 EiB": gzip.compress(
        tarfile.TarInfo("README.md").tobuf().replace(b"00000000000\0", b"\x80" + b"\xff" * 11, 1)
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_archive_is_refused(name: str, base: Files, tmp_path: Path) -> None:
    content = BROKEN[name]
    with pytest.raises(HerdError, match=r"Nothing was imported"):
        take(tmp_path, tarred(base)[:-4000] if content == "cut" else content)  # type: ignore[arg-type]
    assert nothing_is_visible(tmp_path)


def test_a_bomb_ends_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imported, "MOST_BYTES", 4 << 20)
    with pytest.raises(HerdError, match="more than 4 MiB"):
        take(tmp_path, bomb(64 << 20))
    assert nothing_is_visible(tmp_path)


def test_more_members_than_may_be_are_refused(
    base: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imported, "MOST_MEMBERS", 20)
    with pytest.raises(HerdError, match="more than 20 files"):
        take(tmp_path, tarred(base))


def test_a_zip_is_held_to_the_same(base: Files, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, content in base.items():
            packed.writestr(name, content)
        packed.writestr("../outside", b"x")
    with pytest.raises(HerdError, match="its member"):
        take(tmp_path, stream.getvalue(), "x.zip")
    assert nothing_is_visible(tmp_path)


def test_an_honest_archive_is_taken_in_and_its_report_is_not(base: Files, tmp_path: Path) -> None:
    forged = also("results/{run}/tables/forged.parquet", b"PAR1")(base)
    taken = take(tmp_path, tarred(forged))
    assert taken.folder == tmp_path / "results" / run_of(base)
    assert Account.read(taken.folder).counts()["done"] > 0
    assert not (taken.folder / "tables" / "forged.parquet").exists()
    assert not list((tmp_path / "results").rglob("index.html"))
    assert not list((tmp_path / "results").glob(f"{WAITING}"))


def test_a_log_that_was_made_up_changes_figures_that_the_report_does_not_have(
    base: Files, tmp_path: Path
) -> None:
    files = summed(with_other_log(base))
    with pytest.raises(HerdError, match=r"does not fit|logs give"):
        take(tmp_path, tarred(files))


def test_another_version_may_give_other_figures_and_the_run_says_so(
    base: Files, tmp_path: Path
) -> None:
    files = edited("cells.csv", b"0.75", b"0.99")(base)
    export = json.loads(files["export.json"]) | {"toolkit": "0.0.9"}
    taken = take(tmp_path, tarred(summed({**files, "export.json": json.dumps(export).encode()})))
    assert any("cells.csv, line" in told for told in taken.record.notes)


def test_a_file_that_changes_while_it_is_read_is_refused(base: Files, tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(tarred(base))

    def report_and_change(run: Path, folder: Path) -> None:
        write_report(run, folder)
        archive.write_bytes(b"another archive, whose hash would be noted")

    with pytest.raises(HerdError, match="changed while it was read"):
        import_run(archive, tmp_path / "results", report_and_change, "0.1.0")
    assert nothing_is_visible(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [("cells.csv", b"a\n"), ("index.html", b"<"), ("report.md", b"1.5 2.5\n")],
)
def test_a_file_of_a_report_that_is_too_long_is_not_read(
    name: str, content: bytes, base: Files, tmp_path: Path
) -> None:
    files = summed({**base, f"reports/{run_of(base)}/{name}": content * (8 << 20)})
    begun = time.process_time()
    with pytest.raises(HerdError, match=f"{name} is several times as long"):
        take(tmp_path, tarred(files))
    assert time.process_time() - begun < 60
    assert nothing_is_visible(tmp_path)


def test_a_run_that_is_there_is_not_touched(base: Files, tmp_path: Path) -> None:
    there = tmp_path / "results" / run_of(base)
    there.mkdir(parents=True)
    (there / "mine.txt").write_text("mine")
    with pytest.raises(HerdError, match=f"the run {run_of(base)} exists already"):
        take(tmp_path, tarred(base))
    assert [path.name for path in there.iterdir()] == ["mine.txt"]


def test_a_kill_at_any_moment_leaves_all_or_nothing(base: Files, tmp_path: Path) -> None:
    archive, results = tmp_path / "x.tar.gz", tmp_path / "results"
    logs = {name: content for name, content in base.items() if not name.startswith("reports/")}
    archive.write_bytes(tarred(summed(logs)))
    run, moments = run_of(base), random.Random(1)  # noqa: S311
    begun = time.monotonic()
    import_run(archive, results, no_report, "0.1.0")
    took_s = time.monotonic() - begun
    whole = sorted(p.relative_to(results).as_posix() for p in (results / run).rglob("*"))
    seen = {"all": 0, "nothing": 0}
    for _ in range(60):
        shutil.rmtree(results / run, ignore_errors=True)
        child = os.fork()
        if child == 0:
            try:
                import_run(archive, results, no_report, "0.1.0")
            finally:
                os._exit(0)
        time.sleep(moments.uniform(0, 1.3 * took_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        visible = {p.name for p in results.iterdir()} - {f"{WAITING}.lock", WAITING}
        if visible:
            assert visible == {run}
            assert (
                sorted(p.relative_to(results).as_posix() for p in (results / run).rglob("*"))
                == whole
            )
            seen["all"] += 1
        else:
            seen["nothing"] += 1
    assert seen["nothing"] > 0
    shutil.rmtree(results / run, ignore_errors=True)
    import_run(archive, results, no_report, "0.1.0")
    assert not (results / WAITING).exists()


def test_the_last_digits_of_another_processor_are_no_lie(base: Files, tmp_path: Path) -> None:
    figure = re.search(rb",(\d+\.\d{4,}),", base[f"reports/{run_of(base)}/cells.csv"])
    assert figure is not None
    value = float(figure[1])
    for name, factor, is_taken in (("near", 1 + 1e-7, True), ("far", 1 + 1e-3, False)):
        folder = tmp_path / name
        folder.mkdir()
        files = edited("cells.csv", figure[1], repr(value * factor).encode())(base)
        if is_taken:
            assert take(folder, tarred(files)).record.notes == ()
            continue
        with pytest.raises(HerdError, match=r"cells\.csv, line"):
            take(folder, tarred(files))


@pytest.mark.parametrize(
    ("theirs", "ours", "is_same"),
    [
        ("12.3", "12.4", True),
        ("12.3", "12.5", False),
        ("12.30", "12.3", False),
        ("1.0", "1.1", True),
    ],
)
def test_rounded_figures_may_differ_in_the_last_digit(
    theirs: str, ours: str, *, is_same: bool
) -> None:
    assert reports._rounds_alike(theirs, ours) is is_same
