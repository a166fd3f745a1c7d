"""`fab paper`: from runs on disk to the folder of a paper, and what was done there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.paper.folder import PaperFiles, write_paper_folder
from analysis.paper.paper import files_of, paper_of
from analysis.paper.source import study_without_names
from analysis.reading import study_in
from analysis.text.wording import listing, plural
from collect.sharing.renamed import Machines
from core.errors import HerdError
from core.language.choice import ENGLISH, speaking


@dataclass(frozen=True, slots=True)
class WrittenPaper:
    """What `fab paper` did.

    Attributes:
        left_out: what of the user's references is not in the paper, a sentence each.
        has_fonts: it has letters that need fonts beyond LaTeX's own, and so LuaLaTeX.
    """

    folder: Path
    outcome: PaperFiles
    left_out: tuple[str, ...]
    has_fonts: bool


def write_paper(
    run_folders: Sequence[Path],
    folder: Path,
    own_references: Path | None,
    *,
    with_notebook: bool = False,
    with_names: bool = False,
    hide: Sequence[str] = (),
    machines: Machines | None = None,
) -> WrittenPaper:
    """Write the draft of a paper.

    Args:
        run_folders: `results/<run>`, in the order of the paper.
        folder: of the paper; what its author changed there stays.
        own_references: the BibTeX of the user's study, which need not exist; None for none.
        with_notebook: also write a notebook that draws the charts.
        with_names: leave names of machines, users and places as they are.
        hide: further words to replace.
        machines: of the inventory; those that a run names are replaced, too.

    Raises:
        HerdError: a run is named twice or damaged, or the folder cannot be written.
    """
    names = tuple(one.name for one in run_folders)
    for name in names:
        if names.count(name) > 1:
            raise HerdError(f"The run {name} is named twice. Name each run of a paper once.")
    with speaking(ENGLISH):
        studies = [
            study_in(one) if with_names else study_without_names(one, hide, machines)
            for one in run_folders
        ]
        made = paper_of(studies, own_references, with_names=with_names)
        files = files_of(made, with_notebook=with_notebook)
    outcome = write_paper_folder(folder, names, files)
    has_fonts = any(name.startswith("fonts/") for name in files)
    return WrittenPaper(folder, outcome, made.references.left_out, has_fonts)


def paper_lines(made: WrittenPaper) -> Iterator[str]:
    """What was done, a line each: what is new, what was replaced, and what was left alone."""
    outcome = made.outcome
    yield f"Paper: {made.folder / 'main.tex'}"
    counts = [
        f"{plural(len(names), 'file')} {how}"
        for names, how in ((outcome.new, "new"), (outcome.replaced, "replaced"))
        if names
    ]
    yield f"{listing(counts) if counts else 'Nothing changed'}. Compile it there with: latexmk"
    if made.has_fonts:
        yield (
            "It has letters that LaTeX's own fonts lack, so latexmk takes LuaLaTeX (on Debian: "
            "texlive-luatex)."
        )
    if outcome.kept:
        yield (
            f"Left alone, because you changed them: {listing(list(outcome.kept))}. To have one "
            "written again, move it away first."
        )
    yield from made.left_out
