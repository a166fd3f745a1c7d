"""The charts of a run that is still measured: sections of its report, drawn again now and then.

Drawing costs this machine some tenths of a second of processor time. It is done only while a page
is open, only when a trial has ended, and so seldom that it takes `SHARE` of one core on average.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from analysis.blocks import Block, Cited, Part, Section
from analysis.charts.languages import ending_of_files
from analysis.charts.pictures import drawn as drawn_chart
from analysis.reading import Evidence, understood
from analysis.sections import noise, speed, stability
from analysis.sections.parts import prefixed
from analysis.study import Study
from analysis.within import blocks_in, charts_in
from collect.account import Account
from collect.tables import tables_of
from core.language.choice import ENGLISH, speaking

SHARE = 0.008
"""Of one core."""
SUBJECTS: tuple[Callable[[Study], Iterator[Section]], ...] = (
    speed.decoding,
    speed.scaling,
    speed.prompt,
    noise.sections,
    stability.sections,
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Charts as they were at one moment.

    Attributes:
        sections: with their charts.
        drawings: name of a chart to its drawing as part of a page.
        at: when they were drawn.
        trials: how many trials had ended then.
        cpu_s: processor time that it took.
    """

    sections: tuple[Section, ...]
    drawings: Mapping[str, str]
    at: float
    trials: int
    cpu_s: float

    @property
    def next_at(self) -> float:
        """When they may be drawn again."""
        return self.at + self.cpu_s / SHARE


def draw_charts(account: Account, language: str = ENGLISH) -> Drawn:
    """Draw the charts of a run as far as it is measured.

    Args:
        account: of the run.
        language: of the charts.

    Raises:
        HerdError: its records do not fit together.
    """
    begun_s, at = time.thread_time(), time.time()
    run, tables = account.manifest, tables_of(account)
    study = understood(run, tables, Evidence(warnings=account.warnings))
    sections = tuple(section for section in _sections(study) if any(blocks_in(section)))
    ending = ending_of_files(language)
    with speaking(language):
        drawings = {f"{one.name}{ending}": drawn_chart(one) for one in charts_in(sections)}
    return Drawn(sections, drawings, at, settled(account), time.thread_time() - begun_s)


def settled(account: Account) -> int:
    """How many trials have ended."""
    return sum(trial.state in ("done", "failed") for trial in account.trials)


def _sections(study: Study) -> Iterator[Section]:
    if not study.parts:
        yield from _of(study, SUBJECTS)
        return
    for name, part in study.parts.items():
        prefix = f"part-{name}-"
        opened = Section(f"part-{name}", part.run.title, (), part.run.title, opens_part=True)
        own = [prefixed(section, prefix) for section in _of(part, SUBJECTS)]
        yield from (opened, *own) if own else ()


def _of(
    study: Study, subjects: Iterable[Callable[[Study], Iterator[Section]]]
) -> Iterator[Section]:
    for subject in subjects:
        for section in subject(study):
            yield replace(section, blocks=tuple(_uncited(section.blocks)))


def _uncited(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks without their sources: the list of references is in the report."""
    for block in blocks:
        if isinstance(block, Part):
            if kept := tuple(_uncited(block.blocks)):
                yield replace(block, blocks=kept)
        elif not isinstance(block, Cited):
            yield block
