"""The systems of a run that answered questions: a system is a cell, by a name that readers know."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pandas as pd

from analysis.cells.cells import API_ENGINE, RATES, CellResult
from analysis.cells.series import Series
from analysis.statistics.stats import Estimate, estimate
from analysis.text.sentence import say
from analysis.text.wording import nodes
from collect.run import SystemRecord

INTERNET = "end-to-end over the Internet"
NEARBY = "end-to-end, over an API in the own network"
CLUSTER = "on the cluster, by the node's clock"
ASKED_TO_FIRST, ASKED_TO_WHOLE = "asked_to_first_ms", "asked_to_whole_ms"
"""From the first time a question was sent: what a user waits, with the tries that came to nothing.
The columns `ttft_ms` and `total_ms` are of the last try alone."""


@dataclass(frozen=True, slots=True)
class SystemAnswers:
    """A system and its answers.

    Attributes:
        api: the run's record of it if it is an API.
        answers: rows of the answers table that count, in the order of asking, then of repeats.
    """

    name: str
    cell: CellResult
    api: SystemRecord | None
    answers: pd.DataFrame

    @property
    def is_remote(self) -> bool:
        """Asked over the Internet."""
        return self.path == INTERNET

    @property
    def path(self) -> str:
        """Where its times are taken, in words."""
        if self.cell.engine != API_ENGINE:
            return CLUSTER
        return NEARBY if self.api is not None and _is_nearby(self.api.url) else INTERNET

    @property
    def timed(self) -> pd.DataFrame:
        """Answers whose times are measurements: none of an emulated processor, none replayed.

        They also have the columns `ASKED_TO_FIRST` and `ASKED_TO_WHOLE`.
        """
        own = self.answers.iloc[:0] if self.cell.emulated else self.answers
        return with_waiting(own[~own["replayed"]])

    @property
    def is_comparable(self) -> bool:
        """Its times may be compared with those of others: no GPU of its cell is software."""
        return not self.cell.software

    @property
    def asked_again(self) -> int:
        """How many of its answers took more than one try."""
        return int((self.timed["tries"].fillna(1) > 1).sum())

    @property
    def has_replayed(self) -> bool:
        """Return whether some of its answers were not asked for again."""
        return bool(self.answers["replayed"].any())

    def to(self, question: str) -> pd.DataFrame:
        """Its answers to a question."""
        return self.answers[self.answers["question"] == question]

    def first_texts(self) -> dict[str, str]:
        """Question to its first answer, which is the one that readers compare."""
        first = self.answers.sort_values("repeat").drop_duplicates("question")
        pairs = zip(first["question"], first["text"], strict=True)
        return {str(question): str(text) for question, text in pairs}

    def by_question(self, column: str) -> dict[str, float]:
        """Question to a measured column's median over trials."""
        medians = self.timed.groupby("question", sort=False)[column].median().dropna()
        return {str(question): float(value) for question, value in medians.items()}

    def estimate(self, column: str, scale: float = 1.0) -> Estimate | None:
        """Median over questions of a column times `scale`, with its interval over questions."""
        values = [value * scale for value in self.by_question(column).values()]
        return estimate(values, of_rates=column.endswith(RATES))


def with_waiting(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers with what their user waited for the first token and for all."""
    waited = answers["waited_ms"].fillna(0.0)
    return answers.assign(
        **{
            ASKED_TO_FIRST: answers["ttft_ms"] + waited,
            ASKED_TO_WHOLE: answers["total_ms"] + waited,
        }
    )


def systems_of(
    all_series: Sequence[Series], answers: pd.DataFrame, apis: Mapping[str, SystemRecord]
) -> tuple[SystemAnswers, ...]:
    """The systems that answered, in the order of the run.

    Args:
        all_series: of the run.
        answers: as `analysis.answers.answers.counting` makes them.
        apis: the run's records of its APIs, by the name of the system.
    """
    counts = {cell.nodes for series in all_series for cell in series.cells}
    found = []
    for series in all_series:
        is_told = "system" not in series.params and len(counts) > 1
        for cell in series.measured:
            name = series.label
            if is_told or len(series.cells) > 1:
                name += say(", {nodes}", nodes=nodes(cell.nodes))
            own = answers[answers["cell_id"] == cell.record.cell_id]
            if len(own):
                api = apis.get(str(series.params.get("system")))
                rows = own.sort_values("repeat", kind="stable")
                found.append(SystemAnswers(name, cell, api, rows))
    return tuple(found)


def _is_nearby(url: str) -> bool:
    """The address is of this machine or of a private network."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".lan", ".home"))
