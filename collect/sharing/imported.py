"""A run taken from an archive that anyone may have made: checked in full before it is visible.

Nothing of it is used before every file has the hash that the archive lists, the plan and all
attempts fit each other, every log gives what its record says, and the report that is made here has
the figures of the archive's. The archive's report is compared and thrown away.
"""

from __future__ import annotations

import json
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from collect.account import Account, AttemptState
from collect.attempt import TEMPORARY_PREFIX, check_logs
from collect.cells import CellRecord
from collect.probe import PROBES_FOLDER
from collect.run import RUN_FILE, RunManifest
from collect.sharing.exported import REPORTS, RESULTS, sums_of
from collect.sharing.marker import (
    EXPORT_FILE,
    IMPORTED_FILE,
    SUMS_FILE,
    ExportRecord,
    ImportedRecord,
)
from collect.sharing.renamed import PLAN_PREFIX, plan_hash
from collect.sharing.reports import lies
from core.digest import sha256_of
from core.durable import disk_errors, land, remove_folder, sync, write_file
from core.errors import HerdError
from core.foreign import as_file_name, one_line
from core.record import UnfitError, parse_record, read_file
from models.archives import Budget, Member, UnpackError, members_of_archive
from models.unpack import lay_out

MOST_BYTES = 1 << 32
MOST_MEMBERS = 500_000
MOST_PACKED_BYTES = 1 << 32
"""4 GiB, packed and unpacked: some thousand times what a large run has."""
DEEPEST = 6
"""Names in a path: results/<run>/ratings/judges/<file>."""
TOP_FILES = frozenset({"README.md", "CITATION.cff", EXPORT_FILE, SUMS_FILE})
PLACE = re.compile(
    r"results/[^/]+(?:/(?:run\.json|reference\.json"
    r"|(?:later|tables|probes|ratings|attempts)(?:/[^/]+(?:/[^/]+)?)?))?"
    r"|reports/[^/]+(?:/[^/]+)?|results|reports"
)
"""What may be in an archive, and where."""
RESERVED = frozenset({PROBES_FOLDER, "cassettes"})
"""Folders in `results/` that are no runs."""
WAITING = ".tmp-import"
"""Folder in `results/` where an archive is laid out; no run has such a name."""
MOST_NOTES = 20
WAIT_S = 1.0

MakeReport = Callable[[Path, Path], object]
PlanIdOf = Callable[[RunManifest], str]
OTHER_PLAN = (
    f"plan_id in its {RUN_FILE} is not the one that its title, workloads, cells, seed and nodes "
    "give."
)
UNTOUCHED = "Nothing was imported."
REMEDY = re.compile(r" (?:Restore (?:it|the file)\b|Its trial can be run again\b)[^.]{0,200}\.")
"""What helps where the run is there. One that is refused is removed again."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A run that was taken in.

    Attributes:
        folder: `results/<run>`.
        record: how it came.
    """

    folder: Path
    record: ImportedRecord


def import_run(
    archive: Path,
    results: Path,
    make_report: MakeReport,
    toolkit: str,
    plan_id_of: PlanIdOf | None = None,
) -> Imported:
    """Take a run from an archive into `results/`, whole or not at all.

    Args:
        archive: made by `export_run`, or by anyone.
        results: folder of all runs.
        make_report: makes a report, to compare it with that of the archive.
        toolkit: version of llama-herd here; another one may give other figures.
        plan_id_of: gives the id of a run's plan; None leaves the id of a run with names unchecked.

    Raises:
        HerdError: it is no such archive, it contradicts itself, or a run of its name exists.
    """
    doing = f"Importing {one_line(archive.name, 200)}"
    with disk_errors(doing, kept=UNTOUCHED):
        results.mkdir(parents=True, exist_ok=True)
        with _alone(results, doing):
            place = results / WAITING
            remove_folder(place)  # what a killed import left
            place.mkdir()
            try:
                return _taken(archive, results, place, make_report, toolkit, plan_id_of, doing)
            except UnpackError as error:
                raise HerdError(f"{doing}: {one_line(str(error), 400)}. {UNTOUCHED}") from None
            finally:
                remove_folder(place)


class _alone:  # noqa: N801 - used as a statement
    """One import at a time in a folder of results."""

    def __init__(self, results: Path, doing: str) -> None:
        self._lock = FileLock(results / f"{WAITING}.lock", timeout=WAIT_S)
        self._doing = doing

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise HerdError(f"{self._doing}: another import is at work. Wait for it.") from None

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _taken(
    archive: Path,
    results: Path,
    place: Path,
    make_report: MakeReport,
    toolkit: str,
    plan_id_of: PlanIdOf | None,
    doing: str,
) -> Imported:
    laid = place / "packed"
    laid.mkdir()
    digest = sha256_of(archive) if archive.is_file() else ""
    _unpack(archive, laid)
    export = _read_export(laid, doing)
    if export.run in RESERVED or export.run.startswith(TEMPORARY_PREFIX):
        raise HerdError(f"{doing}: no run can be called {export.run}. {UNTOUCHED}")
    final = results / export.run
    if os.path.lexists(final):
        raise HerdError(
            f"{doing}: the run {export.run} exists already in {results}. {UNTOUCHED} Move that run "
            "away first, if you want this one."
        )
    files = _check_sums(laid, doing)
    run_folder = laid / RESULTS / export.run
    rebuilt = place / "rebuilt"
    with _named_as_in_the_archive(laid, doing):
        planned = _check_run(run_folder, export, plan_id_of, doing)
        _drop_tables(run_folder)
        make_report(run_folder, rebuilt)
    notes = (*planned, *_notes(laid, rebuilt, export, toolkit, doing))
    record = ImportedRecord(
        archive=one_line(archive.name, 200),
        sha256=digest,
        at=round(time.time(), 3),
        toolkit=export.toolkit,
        names=export.names,
        notes=notes[:MOST_NOTES],
        files=files,
    )
    write_file(run_folder / IMPORTED_FILE, record.model_dump_json(indent=1).encode())
    _sync_all(run_folder)
    if sha256_of(archive) != digest:
        raise HerdError(f"{doing}: the file was changed while it was read. {UNTOUCHED}")
    if os.path.lexists(final):
        raise HerdError(f"{doing}: meanwhile the run {export.run} appeared. {UNTOUCHED}")
    land(run_folder, final)
    return Imported(final, record)


@contextmanager
def _named_as_in_the_archive(laid: Path, doing: str) -> Iterator[None]:
    """Say what is wrong with a file by its name in the archive: where it was laid, it is removed.

    Args:
        laid: where the archive was laid out.
        doing: which archive it is, as the beginning of a message.
    """
    try:
        yield
    except HerdError as error:
        told = REMEDY.sub("", str(error).removeprefix(f"{doing}: ").replace(f"{laid}/", ""))
        raise HerdError(f"{doing}: {told.removesuffix(UNTOUCHED).strip()} {UNTOUCHED}") from None


def _unpack(archive: Path, folder: Path) -> None:
    """Write the members of an archive that may be in one, and nothing else."""
    if not archive.is_file():
        raise UnpackError("it is not a file")
    if archive.stat().st_size > MOST_PACKED_BYTES:
        raise UnpackError(f"it is larger than {MOST_PACKED_BYTES >> 20} MiB")
    budget = Budget(most_bytes=MOST_BYTES, most_members=MOST_MEMBERS)
    with members_of_archive(archive, budget) as members:
        lay_out(_allowed(members), folder, budget)


def _allowed(members: Iterable[Member]) -> Iterator[Member]:
    """Members as they are, if they may be in an archive of a run.

    Raises:
        UnpackError: one may not; with its name.
    """
    seen: dict[str, str] = {}
    for member in members:
        shown = one_line(member.name, 120)
        plain = member.name.removeprefix("./").removesuffix("/")
        if not plain and member.kind == "folder":
            continue
        if member.kind not in {"file", "folder"}:
            what = {"copy": "a hard link"}.get(member.kind, member.kind)
            raise UnpackError(f"its member `{shown}` is {what}; a run has only files and folders")
        _require_place(plain, shown, member.kind)
        folded = unicodedata.normalize("NFKC", plain).casefold()
        before = seen.setdefault(folded, plain)
        if before != plain:
            raise UnpackError(
                f"its members `{one_line(before, 120)}` and `{shown}` are one file where capitals "
                "do not count"
            )
        if member.kind == "file" and f"{folded}/" in seen:
            raise UnpackError(f"its member `{shown}` is there twice")
        seen[f"{folded}/"] = plain
        yield member


def _require_place(plain: str, shown: str, kind: str) -> None:
    parts = plain.split("/")
    try:
        for part in parts:
            as_file_name(part)
    except ValueError as error:
        raise UnpackError(f"its member `{shown}` is not a path below a folder: {error}") from None
    is_known = plain in TOP_FILES if len(parts) == 1 and kind == "file" else PLACE.fullmatch(plain)
    if not is_known or len(parts) > DEEPEST:
        raise UnpackError(f"its member `{shown}` is no part of a run that was exported")


def _read_export(laid: Path, doing: str) -> ExportRecord:
    try:
        content = read_file(laid, EXPORT_FILE, 1 << 16)
        return parse_record(content, ExportRecord)
    except (OSError, UnfitError) as error:
        raise HerdError(
            f"{doing}: its {EXPORT_FILE} is missing or damaged ({one_line(str(error), 200)}), so "
            f"it is not an archive of `fab export-run`. {UNTOUCHED}"
        ) from None


def _check_sums(laid: Path, doing: str) -> int:
    """Check that every file is listed with its hash, and every listed one is there."""
    try:
        listed = sums_of(read_file(laid, SUMS_FILE, 1 << 27))
    except (OSError, ValueError) as error:
        raise HerdError(f"{doing}: its {SUMS_FILE} cannot be read: {error}. {UNTOUCHED}") from None
    there = {path.relative_to(laid).as_posix() for path in laid.rglob("*") if path.is_file()}
    there.discard(SUMS_FILE)
    for name in sorted(there ^ listed.keys()):
        what = "has no hash" if name in there else "is missing"
        raise HerdError(f"{doing}: its file {one_line(name, 200)} {what}. {UNTOUCHED}")
    for name, expected in sorted(listed.items()):
        if sha256_of(laid / name) != expected:
            raise HerdError(
                f"{doing}: its file {one_line(name, 200)} was changed after the export: its sha256 "
                f"is another one. {UNTOUCHED}"
            )
    return len(there)


def _check_run(
    folder: Path, export: ExportRecord, plan_id_of: PlanIdOf | None, doing: str
) -> list[str]:
    """Check that plan, attempts and logs fit each other.

    Returns:
        What is not right and no reason to refuse the run, a sentence each.

    Raises:
        HerdError: one says what another does not.
    """
    account = Account.read(folder)
    if account.warnings:
        raise HerdError(f"{doing}: {one_line(account.warnings[0], 400)} {UNTOUCHED}")
    plan_id = account.manifest.plan_id
    is_hash = export.names == "replaced" or plan_id.startswith(PLAN_PREFIX)
    if is_hash and plan_id != _hash_of_plan(folder):
        raise HerdError(
            f"{doing}: its {RUN_FILE} was changed after the export: plan_id is not its hash. "
            f"{UNTOUCHED}"
        )
    for trial in account.trials:
        for attempt in trial.attempts:
            _check_attempt(attempt, trial.cell, doing)
    is_other = not is_hash and plan_id_of is not None and plan_id_of(account.manifest) != plan_id
    return [OTHER_PLAN] if is_other else []


def _check_attempt(attempt: AttemptState, cell: CellRecord, doing: str) -> None:
    record, name = attempt.record, one_line(attempt.attempt_id, 100)
    if record is None or (record.outcome == "done" and not attempt.done):
        told = one_line(attempt.reason or "", 400)
        raise HerdError(f"{doing}: its record of {name} does not fit its logs. {told} {UNTOUCHED}")
    if record.params != cell.params:
        raise HerdError(
            f"{doing}: its record of {name} is of another cell than the plan says. {UNTOUCHED}"
        )
    if record.file_bytes.keys() != record.file_sha256.keys():
        raise HerdError(f"{doing}: its record of {name} lacks the hash of every log. {UNTOUCHED}")
    check_logs(attempt.folder, record)
    _require_only_logs(attempt.folder, {*record.file_bytes, "attempt.json"}, doing)


def _require_only_logs(folder: Path, known: set[str], doing: str) -> None:
    for path in sorted(folder.iterdir()):
        if path.name not in known:
            raise HerdError(
                f"{doing}: its attempt {one_line(folder.name, 100)} has a file that its record "
                f"does not name: {one_line(path.name, 100)}. {UNTOUCHED}"
            )


def _hash_of_plan(folder: Path) -> str:
    return plan_hash(json.loads((folder / RUN_FILE).read_bytes()))


def _drop_tables(folder: Path) -> None:
    """Remove the archive's tables: they are made again from the logs."""
    remove_folder(folder / "tables")


def _notes(
    laid: Path, rebuilt: Path, export: ExportRecord, toolkit: str, doing: str
) -> Iterator[str]:
    """What the archive's report says and its logs do not give.

    Raises:
        HerdError: it says other things although the same version made it.
    """
    for told in lies(laid / REPORTS / export.run, rebuilt / export.run):
        if export.toolkit == toolkit:
            raise HerdError(f"{doing}: its report is not what its logs give. {told} {UNTOUCHED}")
        yield told


def _sync_all(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)
