"""A chart of a report: its table, its figure, and how to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, ready to be written.

    Attributes:
        name: stem of its files.
        title: what it shows.
        understanding: how to read it, a sentence or two.
        data: what is drawn, nothing else.
        draw: draws it.
        footnotes: why a cell is missing, by the number next to its cross.
        description: what it shows, in a sentence with numbers, for readers who cannot see it.
    """

    name: str
    title: str
    understanding: str
    data: pd.DataFrame
    draw: Callable[[], Figure]
    footnotes: tuple[str, ...] = ()
    description: str = ""
    _drawn: list[Figure] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def figure(self) -> Figure:
        """The drawing, made when it is first wanted: much is asked of sections but their charts."""
        if not self._drawn:
            self._drawn.append(self.draw())
        return self._drawn[0]
