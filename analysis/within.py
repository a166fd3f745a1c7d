"""What the sections of a report hold: their blocks, charts and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from analysis.blocks import (
    Block,
    Charted,
    File,
    Folded,
    Grid,
    Part,
    Prose,
    Searched,
    Section,
    Tabled,
)
from analysis.charts.chart import Chart


def blocks_in(section: Section) -> Iterator[Block]:
    """Every block of a section, those inside others included, in the order of the page."""
    yield from _walk(section.blocks)


def _walk(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Grid | Folded | Searched | Part):
            yield from _walk(block.blocks)


def charts_in(sections: Iterable[Section]) -> list[Chart]:
    """Every chart of the sections."""
    blocks = (block for section in sections for block in blocks_in(section))
    return [block.chart for block in blocks if isinstance(block, Charted)]


def files_in(sections: Iterable[Section]) -> list[File]:
    """Every file of the sections but those of charts, each once."""
    found: dict[str, File] = {}
    for section in sections:
        blocks = (block for block in blocks_in(section) if isinstance(block, Prose | Tabled))
        linked = (block.file for block in blocks if block.file is not None)
        found |= {file.stem: file for file in (*section.files, *linked)}
    return list(found.values())
