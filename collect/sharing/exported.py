"""One archive of a run: logs, attempts, plan, tables, report, each with its hash.

<run>.tar.gz
    README.md  CITATION.cff  export.json (`ExportRecord`)  SHA256SUMS
    results/<run>/      as in results/, with tables, and the probe that its report uses
    reports/<run>/      the report, made of exactly these files
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from collect.account import Account
from collect.probe import PROBES_FOLDER
from collect.sharing.leftovers import leftovers, words_around
from collect.sharing.marker import EXPORT_FILE, SUMS_FILE, ExportRecord
from collect.sharing.pseudonyms import HIDDEN, Pseudonyms
from collect.sharing.renamed import Machines, copy_run, pseudonyms_of, rename_run, used_probe
from collect.tables import Tables, tables_of
from core.digest import sha256_of
from core.durable import land, writing
from core.errors import HerdError
from core.foreign import one_line, visible
from core.scratch import scratch
from models.archives import write_archive

RESULTS, REPORTS = "results", "reports"
MOST_NAMED = 5
README = """# A run of llama-herd

`results/` holds the run `{run}`: its plan, the logs of every attempt, and tables. `reports/` holds
its report: open `index.html` in a browser. `sha256sum -c SHA256SUMS` checks every file.

With llama-herd, `fab import-run FILE` checks the archive, takes the run into `results/`, and makes
the report again from the logs.

{names}
"""
REPLACED = (
    "Names of machines and people, addresses, paths and serial numbers are replaced: `node-1` is "
    "the first node of the cluster, its root."
)
KEPT = "Names of machines are as they were."
CITATION = """cff-version: 1.2.0
message: If you use these measurements, please cite them as below.
type: dataset
title: {title}
authors:
{authors}
date-released: '{date}'
references:
  - type: software
    title: llama-herd
    version: {toolkit}
    authors:
      - name: The llama-herd developers
"""

MakeReport = Callable[[Path, Path], object]
"""Writes the report of a run's folder below a folder."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was packed.

    Attributes:
        archive: the file.
        sha256: of it.
        replaced: how many names, addresses and paths were replaced.
        secrets: how many keys were removed.
        not_found: words to replace that the run does not have.
        around: words of the archive in which a short name is, which were left as they are.
    """

    archive: Path
    sha256: str
    files: int
    replaced: int
    secrets: int
    not_found: tuple[str, ...] = ()
    around: tuple[str, ...] = ()


def export_run(
    folder: Path,
    archive: Path,
    make_report: MakeReport,
    toolkit: str,
    *,
    with_names: bool = False,
    hide: Iterable[str] = (),
    authors: Iterable[str] = (),
    machines: Machines | None = None,
) -> Exported:
    """Pack a run into one file; the same run gives the same bytes.

    Args:
        folder: `results/<run>`.
        archive: the file, which must not exist.
        make_report: makes a report.
        toolkit: version of llama-herd.
        with_names: leave names of machines and people as they are.
        hide: further words to replace.
        authors: whom to cite; empty: no one by name.
        machines: of the inventory as it is now; those that the run names are replaced, too.

    Raises:
        HerdError: the run is damaged, a name would be left, or the file cannot be written.
    """
    if archive.exists() or archive.is_symlink():
        raise HerdError(f"{archive} exists already. Move it away, or name another file by --out.")
    account = Account.read(folder)
    with (
        writing(f"the run {folder.name}", archive, kept="The run itself is unchanged."),
        scratch(archive.parent, "export") as made,
    ):
        packed = made / "packed"
        names = Pseudonyms({}, hides_forms=False)
        around: tuple[str, ...] = ()
        if with_names:
            run = copy_run(folder, account, packed / RESULTS)
            _add_probe(folder, account, packed / RESULTS / run, names)
            _require_same(account, Account.read(packed / RESULTS / run))
        else:
            run, names = write_without_names(folder, account, packed / RESULTS, hide, machines)
        again = Account.read(packed / RESULTS / run)
        make_report(packed / RESULTS / run, packed / REPORTS)
        record = ExportRecord(run=run, toolkit=toolkit, names="kept" if with_names else "replaced")
        _describe(packed, record, again, _cited(authors, names))
        if not with_names:
            _require_no_name(packed, names)
            around = words_around(packed / RESULTS, names)
        files = _sum_up(packed)
        temporary = made / "archive"
        write_archive(packed, temporary)
        land(temporary, archive)
    count = len(names.used) + len(names.found)
    not_found = tuple(
        word
        for word, told in names.names.items()
        if told.startswith(HIDDEN) and told not in names.used
    )
    return Exported(archive, sha256_of(archive), files, count, names.secrets, not_found, around)


def _cited(authors: Iterable[str], names: Pseudonyms) -> list[str]:
    told = [names.text(author.strip()) for author in authors if author.strip()]
    return told or ["Anonymous"]


def write_without_names(
    folder: Path,
    account: Account,
    target: Path,
    hide: Iterable[str] = (),
    machines: Machines | None = None,
) -> tuple[str, Pseudonyms]:
    """Write a run and the probe that its report uses, with pseudonyms, into `target/<run>`.

    Args:
        folder: `results/<run>`.
        account: of it.
        target: where the run is written.
        hide: further words to replace.
        machines: of the inventory.

    Returns:
        The run's name there, and what became which.

    Raises:
        HerdError: a file cannot be read, a name is an ordinary word or would be left, or replacing
            names changes a figure.
    """
    names = pseudonyms_of(folder, account, hide, machines)
    run = rename_run(folder, account, target, names)
    _add_probe(folder, account, target / run, names)
    _require_same(account, Account.read(target / run))
    _require_no_name(target, names)
    return run, names


def _add_probe(folder: Path, account: Account, target: Path, names: Pseudonyms) -> None:
    """Add the probe that the report uses, so that it gives the same figures elsewhere."""
    found = used_probe(folder, account.manifest)
    if found.record is not None and found.path is not None:
        (target / PROBES_FOLDER).mkdir()
        content = found.record.model_dump_json(indent=1)
        (target / PROBES_FOLDER / found.path.name).write_text(names.text(content), encoding="utf-8")


def _require_same(before: Account, after: Account) -> None:
    """Check that the run has the same figures.

    Raises:
        HerdError: replacing a name changed one.
    """
    states = [[trial.state for trial in account.trials] for account in (before, after)]
    if states[0] == states[1]:
        first, second = tables_of(before), tables_of(after)
        changed = [
            one.name for one in fields(Tables) if _rows(first, one.name) != _rows(second, one.name)
        ]
        if not changed:
            return
        what = f"the table {changed[0]}"
    else:
        what = "which trials count"
    raise HerdError(
        f"Exporting {before.folder.name}: with names replaced, {what} is no longer the same. A "
        "node has a name that logs use as a word, too. Give --with-names, or measure again "
        "with another name in the inventory."
    )


def _rows(tables: Tables, name: str) -> list[int]:
    """The numbers of a table's rows without their order, which may be by name."""
    frame: pd.DataFrame = getattr(tables, name)
    numbers = frame.select_dtypes(["number", "bool"])
    return sorted(pd.util.hash_pandas_object(numbers, index=False).tolist())


def _describe(packed: Path, record: ExportRecord, account: Account, authors: Iterable[str]) -> None:
    told = README.format(run=record.run, names=REPLACED if record.names == "replaced" else KEPT)
    (packed / "README.md").write_text(told, encoding="utf-8")
    day = time.strftime("%Y-%m-%d", time.gmtime(account.manifest.created_at))
    cited = CITATION.format(
        title=json.dumps(
            f"{one_line(account.manifest.title, 200)} ({record.run})", ensure_ascii=False
        ),
        authors="\n".join(
            f"  - name: {json.dumps(one_line(author, 200), ensure_ascii=False)}"
            for author in authors
        ),
        date=day,
        toolkit=json.dumps(record.toolkit),
    )
    (packed / "CITATION.cff").write_text(cited, encoding="utf-8")
    (packed / EXPORT_FILE).write_text(record.model_dump_json(indent=1), encoding="utf-8")


def _require_no_name(packed: Path, names: Pseudonyms) -> None:
    left = list(dict.fromkeys(leftovers(packed, names)))
    if not left:
        return
    told = "; ".join(
        f"{visible(what)[:60]} in {one_line(path, 120)}" for path, what in left[:MOST_NAMED]
    )
    raise HerdError(
        f"Nothing was written: names are left ({told}). Add the word around such a name with "
        "--hide WORD, or give --with-names."
    )


def _sum_up(packed: Path) -> int:
    """Write the hash of every file; return how many there are."""
    files = sorted(path for path in packed.rglob("*") if path.is_file())
    lines = [f"{sha256_of(path)}  {path.relative_to(packed).as_posix()}\n" for path in files]
    (packed / SUMS_FILE).write_text("".join(lines), encoding="utf-8")
    return len(files)


def sums_of(content: bytes) -> dict[str, str]:
    """Path to hash, of a file of hashes. Raises ValueError for any other text."""
    found: dict[str, str] = {}
    for line in content.decode("utf-8").splitlines():
        digest, blank, path = line.partition("  ")
        if not blank or len(digest) != 2 * hashlib.sha256().digest_size or path in found:
            raise ValueError(f"`{one_line(line, 100)}` is not a hash and a path")
        found[path] = digest
    return found
