"""Verbs for runs that are sent to others, and taken from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from core.errors import HerdError
from verbs.outcome import print_status, write_report_of
from verbs.run_names import LATEST_RUN
from verbs.verb import PROJECT, say, say_besides, verb

if TYPE_CHECKING:
    from collect.sharing.marker import ImportedRecord


LOOK = (
    "Look through it before you send it: what nothing marks as a name is left, such as people in "
    "answers and machines that are neither in the plan nor in the inventory. --hide WORD replaces "
    "a word."
)
UNREAD = (
    "Machines that are only in the inventory are not looked for, because it cannot be read: {why}"
)
AROUND = "These words have a name in them and were left as they are: {words}"


@verb(
    help={
        "run": LATEST_RUN,
        "out": "the archive (default: <run>.tar.gz in this folder)",
        "with-names": "leave names of machines and people, addresses and paths as they are",
        "hide": "a further word to replace, such as the name of a group; may be repeated",
        "author": "whom to cite for the run; may be repeated",
        "inventory": "whose machines are replaced, too (default: that of ansible.cfg)",
    },
    iterable=["hide", "author"],
)
def export_run(
    _context: Context,
    run: str | None = None,
    out: str | None = None,
    with_names: bool = False,
    hide: list[str] | None = None,
    author: list[str] | None = None,
    inventory: str | None = None,
) -> None:
    """Pack a run into one archive, with names of machines and people replaced."""
    from analysis.report import write_report
    from collect.sharing.exported import export_run as pack
    from core.version import version
    from experiments.disk.ledger import find_run

    require_one_way(with_names=with_names, hide=hide)
    folder = find_run(PROJECT / "results", run)
    made = pack(
        folder,
        Path(out or f"{folder.name}.tar.gz"),
        write_report,
        version(PROJECT),
        with_names=with_names,
        hide=hide or (),
        authors=author or (),
        machines={} if with_names else machines_there(inventory),
    )
    say(f"{made.archive}: {made.files} files, sha256 {made.sha256}")
    if with_names:
        say("Names of machines and people, addresses and paths are in it.")
    else:
        told = f"{made.replaced} names, addresses and paths were replaced"
        say(f"{told}, {made.secrets} keys removed.")
        say(LOOK)
    if made.around:
        say_besides(AROUND.format(words=", ".join(made.around)))
    for word in made.not_found:
        say_besides(f"--hide {word}: the run does not have this word.")


def machines_there(inventory: str | None) -> dict[str, tuple[str, ...]]:
    """Names and addresses of the machines of the inventory; none where there is no such file.

    Raises:
        HerdError: the inventory that was asked for cannot be read.
    """
    from experiments.fleet.inventory import listed_machines

    try:
        return listed_machines(PROJECT, inventory)
    except HerdError as error:
        if inventory is not None:
            raise
        say_besides(UNREAD.format(why=error))
        return {}


def require_one_way(*, with_names: bool, hide: list[str] | None) -> None:
    """Refuse to replace words and to leave all names at once."""
    if with_names and hide:
        raise HerdError("--hide replaces words, and --with-names replaces none: give one of them.")


@verb(positional=["file"], help={"file": "an archive that `fab export-run` made"})
def import_run(_context: Context, file: str) -> None:
    """Check an archive, take its run into results/, and make its report from the logs."""
    from analysis.report import write_report
    from collect.sharing.imported import import_run as take
    from core.version import version
    from experiments.disk.ledger import run_status
    from experiments.planning.plan import plan_id_of_run

    results = PROJECT / "results"
    taken = take(Path(file), results, write_report, version(PROJECT), plan_id_of_run)
    _say_notes(taken.record)
    print_status(run_status(taken.folder))
    write_report_of(taken.folder)


def _say_notes(record: ImportedRecord) -> None:
    for told in record.notes:
        say_besides(f"Made by version {record.toolkit}: {told}")
