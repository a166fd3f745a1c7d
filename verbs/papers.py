"""The verb that drafts a paper."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context

from verbs.run_names import LATEST_RUN
from verbs.sharing import machines_there, require_one_way
from verbs.verb import PROJECT, say, verb


@verb(
    help={
        "run": LATEST_RUN + "; may be given several times",
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
        folders,
        folder,
        own,
        with_notebook=notebook,
        with_names=with_names,
        hide=hide or (),
        machines={} if with_names else machines_there(None),
    )
    for line in paper_lines(made):
        say(line)
