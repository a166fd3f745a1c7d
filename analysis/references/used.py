"""What a report cites, numbered in the order of the page, and the list at its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import cast

from analysis.blocks import (
    Block,
    Cite,
    Cited,
    Folded,
    Grid,
    ListedSource,
    Part,
    Searched,
    Section,
    Sources,
)
from analysis.references.of_run import cites_of_run
from analysis.references.shipped import address, reference, written_out
from analysis.sections import sections_of
from analysis.study import Study
from analysis.within import blocks_in
from collect.run import RunManifest
from core.bibtex import BibEntry

ANCHOR, TITLE = "references", "References"
OF_RUN = "provenance"
"""The section that names what a run draws on."""


def used(study: Study) -> tuple[BibEntry, ...]:
    """The references that a report cites, in the order in which it does.

    Makes the sections of the report for it, which takes as long; see `used_in` where they are made.
    """
    return used_in(study.run, sections_of(study))


def used_in(run: RunManifest, sections: Iterable[Section]) -> tuple[BibEntry, ...]:
    """The same of sections that are made already."""
    return tuple(map(reference, _keys(_of_run(run, sections))))


def with_references(run: RunManifest, sections: Iterable[Section]) -> list[Section]:
    """The sections with numbers at what they cite, and the list of it as the last one.

    Args:
        run: what it draws on is cited under provenance.
        sections: of its report, in the order of the page.
    """
    named = _of_run(run, sections)
    return with_numbers(named)


def with_numbers(sections: Iterable[Section]) -> list[Section]:
    """The same for a page that is not of a run."""
    given = list(sections)
    numbers = {key: number for number, key in enumerate(_keys(given), start=1)}
    if not numbers:
        return given
    made = [replace(one, blocks=_numbered(one.blocks, numbers)) for one in given]
    listed = Sources(tuple(_source(number, key) for key, number in numbers.items()))
    return [*made, Section(ANCHOR, TITLE, (listed,), TITLE)]


def _of_run(run: RunManifest, sections: Iterable[Section]) -> list[Section]:
    """The sections, with what the run draws on in the one on provenance."""
    cites = tuple(cite for cite in cites_of_run(run) if cite.keys)
    return [
        replace(one, blocks=(*one.blocks, Cited(cites))) if one.anchor == OF_RUN and cites else one
        for one in sections
    ]


def _keys(sections: Iterable[Section]) -> tuple[str, ...]:
    blocks = (block for section in sections for block in blocks_in(section))
    cited = (block for block in blocks if isinstance(block, Cited))
    return tuple(dict.fromkeys(key for one in cited for cite in one.cites for key in cite.keys))


def _numbered(blocks: tuple[Block, ...], numbers: Mapping[str, int]) -> tuple[Block, ...]:
    return tuple(_block_with_numbers(block, numbers) for block in blocks)


def _block_with_numbers(block: Block, numbers: Mapping[str, int]) -> Block:
    if isinstance(block, Cited):
        return Cited(tuple(_one(cite, numbers) for cite in block.cites))
    if isinstance(block, Searched):
        return replace(block, blocks=cast("tuple[Folded, ...]", _numbered(block.blocks, numbers)))
    if isinstance(block, Grid | Folded | Part):
        return replace(block, blocks=_numbered(block.blocks, numbers))
    return block


def _one(cite: Cite, numbers: Mapping[str, int]) -> Cite:
    return replace(cite, numbers=tuple(numbers[key] for key in cite.keys))


def _source(number: int, key: str) -> ListedSource:
    entry = reference(key)
    return ListedSource(number, key, written_out(entry), address(entry))
