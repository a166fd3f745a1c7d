"""The sections of one part of a run with several: its findings under its title.

Names of files and ids on the page begin with `part-` and the part's name, which has no hyphen. So
those of two parts differ, and those of the whole page, which do not begin so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar, cast

from analysis.blocks import Block, File, Prose, Section
from analysis.charts.chart import Chart
from analysis.sections import head
from analysis.study import Study

Named = TypeVar("Named")


def sections(
    name: str, study: Study, subjects: Iterable[Callable[[Study], Iterator[Section]]]
) -> Iterator[Section]:
    """Make the sections of a part.

    Args:
        name: of the part.
        study: what it means.
        subjects: what makes its sections, in their order.
    """
    prefix = f"part-{name}-"
    for section in head.sections(study):
        blocks: tuple[Block, ...] = (Prose((section.title,)), *section.blocks)
        opened = replace(section, title=study.run.title, blocks=blocks, menu=study.run.title)
        yield replace(prefixed(opened, prefix), anchor=f"part-{name}", opens_part=True)
    for subject in subjects:
        for section in subject(study):
            yield prefixed(section, prefix)


def prefixed(thing: Named, prefix: str) -> Named:
    """Put a prefix before every file name and id in a section, a block or a table."""
    return cast("Named", _prefixed(thing, prefix))


def _prefixed(thing: object, prefix: str) -> object:
    if isinstance(thing, tuple):
        return tuple(_prefixed(one, prefix) for one in thing)
    if isinstance(thing, File):
        return replace(thing, stem=prefix + thing.stem)
    if isinstance(thing, Chart):
        return replace(thing, name=prefix + thing.name)
    if not is_dataclass(thing) or isinstance(thing, type):
        return thing
    changed = {}
    for field in fields(thing):
        value = getattr(thing, field.name)
        is_id = field.name == "anchor" and value
        changed[field.name] = prefix + value if is_id else _prefixed(value, prefix)
    return replace(thing, **changed)
