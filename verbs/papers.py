"""The verb that drafts a paper."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context

from verbs.sharing import require_one_way
from verbs.verb import PROJECT, say, verb

SWITCHES = ("--notebook", "-n", "--with-names", "-w")
"""Flags without a value."""


def name_runs(words: list[str]) -> None:
    """Mark the bare words after `paper` as runs: Invoke's tasks take a fixed number of them.

    Args:
        words: the command line after `fab` and its own flags; changed in place.
    """
    if words[:1] != ["paper"]:
        return
    marked: list[str] = []
    is_value = False
    for word in words[1:]:
        is_flag = word.startswith("-")
        marked += [word] if is_flag or is_value else ["--run", word]
        is_value = is_flag and not is_value and "=" not in word and word not in SWITCHES
    words[1:] = marked


@verb(
    help={
        "run": "name of a run; bare words after `paper` are also runs (default: the latest)",
        "to": "folder to write (default paper/RUN)",
        "notebook": "also write a Jupyter notebook that draws every chart from its CSV file",
        "with-names": "leave names of machines, users and places as they are",
        "hide": "a further word to replace; may be given several times",
    },
    iterable=["run", "hide"],
)
def paper(
    _context: Context,
    run: list[str] | None = None,
    to: str | None = None,
    notebook: bool = False,
    with_names: bool = False,
    hide: list[str] | None = None,
) -> None:
    """Write a draft of a paper on runs: LaTeX with tables and figures, and the data behind them."""
    from analysis.paper.bibliography import NAME
    from analysis.paper.written import paper_lines, write_paper
    from core.paths import study_folder
    from experiments.disk.ledger import find_run

    results = PROJECT / "results"
    folders = [find_run(results, name) for name in run] if run else [find_run(results)]
    folder = Path(to) if to else PROJECT / "paper" / "+".join(one.name for one in folders)
    own = study_folder() / NAME
    require_one_way(with_names=with_names, hide=hide)
    made = write_paper(
        folders, folder, own, with_notebook=notebook, with_names=with_names, hide=hide or ()
    )
    for line in paper_lines(made):
        say(line)
