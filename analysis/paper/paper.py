"""The draft of a paper on one run or several: what its files are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis.blocks import Block, Bullets, Cited, Folded, Grid, Part, Prose, Searched, Section
from analysis.paper.bibliography import NAME as REFERENCES
from analysis.paper.bibliography import PaperReferences, bibliography_of
from analysis.paper.fonts import Font, fonts_in
from analysis.paper.latex import as_latex, lines_in_latex
from analysis.paper.method import method_of
from analysis.paper.notebook import NAME, notebook_of
from analysis.paper.printer import DATA, Printer
from analysis.references.of_run import cites_of_run
from analysis.sections import sections_of
from analysis.study import Study
from analysis.text.csv_file import csv_bytes
from analysis.text.sentence import Sentence, say
from analysis.text.wording import listing, within
from analysis.within import blocks_in

TEMPLATES = Path(__file__).parents[1] / "templates" / "paper"
PARTS = (
    "abstract", "method", "results", "limitations", "reproduce", "further", "preamble",
)  # fmt: skip
IN_RESULTS = (
    "before-after", "tuning", "answers", "ratings", "additions", "machines", "together", "several",
    "decode", "scaling", "laws", "time", "cost-model", "links", "prompt", "prompt-length",
    "agreement", "documents", "energy", "noise", "cells",
)  # fmt: skip
"""Sections in the text; those that are named nowhere are in the appendix."""
IN_REPRODUCE = ("provenance", "reproduce")
IN_NEITHER = ("verdict", "what-if", "references")
"""The verdict is in the text itself; the panel of questions needs a page."""
MOST_FINDINGS = 6
MORE = "{findings} more findings are in the appendix."
SAME_TITLE = "{title}, run {n}"
MORE_FINDINGS = "More findings"
WORDS: Mapping[str, str] = {
    "run": "The run",
    "sources": "Sources:",
    "no_caveat": "The report of this run has no caveat. Add what only its author can know.",
    "names": (
        "Names of machines, users, addresses and paths are replaced; everything else is as it was "
        "recorded."
    ),
    "identity": (
        "Plan {plan}, seed {seed}, equivalence margin {margin}, made with llama-herd {version}."
    ),
}
_OF_PART = re.compile(r"^part-[a-z][a-z0-9_]*-")
_BLANK_LINES = re.compile(r"\n{3,}")
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9:,._-]")
LATEXMKRC = {
    False: "$pdf_mode = 1;\n$pdflatex = 'pdflatex -no-shell-escape -interaction=nonstopmode "
    "-halt-on-error %O %S';\n",
    True: "$pdf_mode = 4;\n$lualatex = 'lualatex -no-shell-escape -interaction=nonstopmode "
    "-halt-on-error %O %S';\n",
}
"""Whether fonts beyond LaTeX's own are needed, to what `latexmk` does. No program is run by TeX."""


@dataclass(frozen=True, slots=True)
class RunInPaper:
    """One run in a paper.

    Attributes:
        results: its sections in the text.
        further: those in the appendix.
        reproduce: those on where figures come from.
        cited: what the run draws on, for the method.
        title: the run's own; with its place, if another run of the paper has the same.
    """

    study: Study
    printer: Printer
    method: tuple[tuple[Sentence, ...], ...]
    results: tuple[Section, ...]
    further: tuple[Section, ...]
    reproduce: tuple[Section, ...]
    cited: tuple[Block, ...]
    title: str

    @property
    def findings(self) -> tuple[str, ...]:
        """What the text has after the headline; a part's findings are in its section."""
        if self.study.parts:
            return ()
        details = self.study.verdict.details
        rest = len(details) - MOST_FINDINGS
        return details if rest <= 0 else (*details[:MOST_FINDINGS], say(MORE, findings=rest))

    @property
    def caveats(self) -> tuple[str, ...]:
        """What must be known before a figure is quoted, of its parts, too."""
        parts = tuple(self.study.parts.values())
        told = [*self.study.verdict.caveats, *(c for part in parts for c in part.verdict.caveats)]
        return tuple(dict.fromkeys(told))

    @property
    def margin(self) -> str:
        """What counts as the same."""
        return within(self.study.run.equivalence_margin)


@dataclass(frozen=True, slots=True)
class Paper:
    """What the templates print.

    Attributes:
        fonts: that travel with it; empty where LaTeX's own are enough.
    """

    runs: tuple[RunInPaper, ...]
    references: PaperReferences
    with_names: bool = False
    fonts: tuple[Font, ...] = ()

    @property
    def has_references(self) -> bool:
        """Whether it has anything to cite."""
        return bool(self.references.text)

    @property
    def title(self) -> str:
        """The titles of its runs."""
        return listing(list(dict.fromkeys(run.study.run.title for run in self.runs)))


def paper_of(
    studies: Sequence[Study], own_references: Path | None = None, *, with_names: bool = False
) -> Paper:
    """Make a paper of what runs mean.

    Args:
        studies: what they mean, in the order of the paper.
        own_references: the BibTeX of the user's study, which need not exist; None for none.
        with_names: the studies have names of machines, users and places.

    Raises:
        HerdError: that file cannot be read.
    """
    several = len(studies) > 1
    runs = [
        _told(study, f"run{n}-" if several else "", title)
        for n, (study, title) in enumerate(zip(studies, _titles(studies), strict=True), start=1)
    ]
    keys = [key for run in runs for key in _keys(run)]
    return Paper(tuple(runs), bibliography_of(keys, own_references), with_names)


def _keys(run: RunInPaper) -> Iterator[str]:
    """What a run cites, in the order of the text."""
    sections = (*run.results, *run.reproduce, *run.further)
    blocks = (*run.cited, *(block for section in sections for block in blocks_in(section)))
    for block in blocks:
        if isinstance(block, Cited):
            yield from (key for cite in block.cites for key in cite.keys)


def _titles(studies: Sequence[Study]) -> list[str]:
    """A title for each run that no other one has."""
    own = [study.run.title for study in studies]
    return [
        say(SAME_TITLE, title=one, n=n) if own.count(one) > 1 else one
        for n, one in enumerate(own, start=1)
    ]


def _told(study: Study, prefix: str, title: str) -> RunInPaper:
    sections = [one for one in sections_of(study) if _stem(one.anchor) not in IN_NEITHER]
    results: list[Section] = []
    further: list[Section] = []
    reproduce: list[Section] = []
    for section in sections:
        stem = _stem(section.anchor)
        if stem in IN_REPRODUCE:
            reproduce.append(section)
        elif section.opens_part:
            results.append(replace(section, blocks=_found(section.blocks)))
        elif stem in IN_RESULTS:
            results.append(section)
            further += [replace(section, blocks=kept)] if (kept := _folded(section.blocks)) else []
        else:
            further.append(section)
    if rest := () if study.parts else study.verdict.details[MOST_FINDINGS:]:
        further.insert(0, Section("more-findings", MORE_FINDINGS, (Bullets(rest),)))
    printer = Printer(prefix)
    printer.take((*results, *further, *reproduce))
    method = method_of(study)
    cites = tuple(cite for cite in cites_of_run(study.run) if cite.keys)
    cited = (Cited(cites),) if cites else ()
    return RunInPaper(
        study, printer, method, tuple(results), tuple(further), tuple(reproduce), cited, title
    )


def _found(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """What a part found; its caveats and its protocol are in other sections of a paper."""
    return tuple(block for block in blocks if isinstance(block, Prose) and not block.is_note)


def _stem(anchor: str) -> str:
    """The anchor that a section has in a run without parts."""
    return _OF_PART.sub("", anchor)


def _folded(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """What the page folds of these blocks, which is in the appendix."""
    kept: list[Block] = []
    for block in blocks:
        if isinstance(block, Folded | Searched):
            kept.append(block)
        elif isinstance(block, Grid | Part) and (inner := _folded(block.blocks)):
            kept.append(replace(block, blocks=inner))
    return tuple(kept)


def files_of(paper: Paper, *, with_notebook: bool = False) -> dict[str, bytes]:
    """Every file of a paper: its name, with `/` below a folder, to its content.

    Args:
        paper: what it is about.
        with_notebook: also make a notebook that draws the charts.
    """
    texts = {f"parts/{name}.tex": _rendered(name, paper) for name in PARTS if name != "preamble"}
    references = paper.references.text
    fonts = fonts_in("".join((*texts.values(), references)))
    whole = replace(paper, fonts=fonts)
    texts["parts/preamble.tex"] = _rendered("preamble", whole)
    texts["main.tex"] = _rendered("main", whole)
    texts |= {REFERENCES: references} if references else {}
    texts["latexmkrc"] = LATEXMKRC[bool(fonts)]
    files = {name: text.encode() for name, text in texts.items()}
    for font in fonts:
        files |= {f"fonts/{path.name}": path.read_bytes() for path in font.files}
    for run in paper.runs:
        files |= run.printer.pictures
    return files | data_of(paper, with_notebook=with_notebook)


def data_of(paper: Paper, *, with_notebook: bool = False) -> dict[str, bytes]:
    """The files below `data/`, as `files_of` has them: no figure need be printed for these."""
    printers = [run.printer for run in paper.runs]
    files = {name: csv_bytes(frame) for one in printers for name, frame in one.frames.items()}
    if with_notebook:
        charts = {stem: chart for one in printers for stem, chart in one.charts.items()}
        files[f"{DATA}/{NAME}"] = notebook_of(paper.title, charts)
    return files


def _rendered(name: str, paper: Paper) -> str:
    text = _environment().get_template(f"{name}.tex.j2").render(paper=paper, words=WORDS)
    return _BLANK_LINES.sub("\n\n", text).strip() + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,  # what macros give is marked as made; `as_latex` escapes all else
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        finalize=as_latex,
    )
    environment.filters |= {"kept": _kept, "key": _key, "fill": _filled}
    return environment


def _kept(text: str) -> Markup:
    """Text with its lines and blanks as they are."""
    return Markup(lines_in_latex(text))  # noqa: S704 - nothing acts in it


def _key(name: str) -> Markup:
    """A name of ours within a command: nothing but letters, digits and a few signs."""
    return Markup(_NOT_IN_KEYS.sub("", name))  # noqa: S704 - nothing acts in it


def _filled(template: str, **places: object) -> Sentence:
    return say(template, **places)
