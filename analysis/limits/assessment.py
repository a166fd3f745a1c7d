"""A finding as a row of numbers and names, and the sentence that it makes.

A sentence is made of its row and of nothing else, so `limits.csv` has everything that the section
says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

import pandas as pd

from analysis.statistics.stats import FEWEST, LEVEL, Estimate, Ratio, range_coverage
from analysis.text.sentence import Sentence, say
from analysis.text.wording import interval, number, percent, ratio, with_ends


class Kind(StrEnum):
    """What a finding is, as the table and the file call it."""

    LIMIT = "limit"
    STRENGTH = "strength"
    IMPROVEMENT = "to improve"


class Source(StrEnum):
    """Where the figure of a finding comes from."""

    MEASURED = "measured"
    BOUND = "upper bound"
    CALCULATED = "calculated"
    FITTED = "fitted"
    NOT_MEASURED = "not measured"


TEMPLATES: Mapping[str, str] = {
    "computing": (
        "Computing limits it: on {subject}, waiting for other nodes and for the network takes "
        "{share} of a decoded token's time."
    ),
    "waiting": (
        "Other nodes and the network limit it: on {subject}, waiting for them takes {share} of a "
        "decoded token's time. The engine does not report for which of them."
    ),
    "computing and waiting": (
        "Computing and waiting both limit it: on {subject}, waiting for other nodes and for the "
        "network takes {share} of a decoded token's time."
    ),
    "unknown": (
        "What limits it on {subject} is unknown: the engine does not report how a token's time "
        "divides into computing and waiting."
    ),
    "unknown of several": (
        "What limits it on {subject} is unknown: of several deployments at once, the report has "
        "speeds, not how a token's time divides."
    ),
    "unknown share": (
        "What limits it on {subject} is unknown: the engine rounds its times, and what is cut off "
        "is too much of them."
    ),
    "quota": (
        "A CPU quota stops {other} again and again: on {subject}, the engine reports these stops "
        "as waiting, too, so what computing and the network take is unknown."
    ),
    "server": "On {other}, {subject} takes longest in the chain: {share} of a token's time.",
    "network of the chain": (
        "The network limits it: on {other}, {subject} take {share} of a token's time, more than "
        "any server."
    ),
    "slowest machine": (
        "Of the machines that were measured alone, {subject} is the slowest: {other} is {times} "
        "times as fast."
    ),
    "slow machine": (
        "Of the machines that were measured alone, {subject} has the lowest speed: {other} is "
        "{times} times as fast."
    ),
    "slow link": (
        "Look at the link of {subject}: the same machines are {times} times as fast with {other} "
        "as the root, and {subject} alone is not that much slower."
    ),
    "memory": (
        "Memory limits where it runs: {subject} would need about {high} MiB and had {low} MiB free."
    ),
    "prompt": (
        "The prompt takes longer than the text: on {subject}, prefill takes {share} of the time "
        "that both take."
    ),
    "throttling": "{subject} was throttled in {whole} of {n} attempts, which do not count.",
    "attempts": "{whole} of {n} attempts on {subject} failed or do not count ({other}).",
    "fitted computing": (
        "By the cost model computing limits it: on {subject}, reading memory and computing take "
        "{share} of a decoded token's time."
    ),
    "fitted network": (
        "By the cost model the network limits it: on {subject}, latency and transfer take {share} "
        "of a decoded token's time."
    ),
    "fitted waiting": (
        "By the cost model waiting limits it: on {subject}, waiting for the slowest node takes "
        "{share} of a decoded token's time."
    ),
    "fitted waiting for": (
        "By the cost model waiting limits it: on {subject}, waiting for the slowest node, {other}, "
        "takes {share} of a decoded token's time."
    ),
    "fitted several": (
        "By the cost model nothing alone limits it: on {subject}, reading memory and computing "
        "take {share} of a decoded token's time, the network and waiting the rest."
    ),
    "fastest": "The fastest that was found for this model: {subject} with {rate} tokens/s.",
    "fastest for a task": (
        "The fastest that was found for this model with {other}: {subject} with {rate} tokens/s."
    ),
    "one of the fastest": (
        "It may be the fastest for this model: {subject} with {rate} tokens/s is one of {other} "
        "that no comparison distinguishes."
    ),
    "speed-up": "More nodes help: {subject} are {times} times as fast as {other}.",
    "memory of several": (
        "It runs on {subject}, although fewer nodes ({other}) have too little memory."
    ),
    "same text": "It generated the same text on {subject}, in every trial.",
    "nodes": "Use {subject} instead of {other}: {times} times as fast.",
    "setting": "Use {subject} instead of {other}: {times} times as fast.",
    "engine": "For this model {subject} is {times} times as fast as {other}.",
    "root": "Make {subject} the root instead of {other}: {times} times as fast.",
    "machines": "Take {subject} instead of {other}: {times} times as fast.",
    "link": "With {subject} instead of {other} it is {times} times as fast.",
    "no waiting": (
        "If {subject} never waited for each other or for the network, they would be at most "
        "{value} times as fast: no faster link gains more."
    ),
    "spans": (
        "Share the layers as {subject} instead of {other}: by the measured speed of each server "
        "{value} times as fast."
    ),
    "predicted change": (
        "By the cost model, {subject} would be {fitted} times as fast with {other}."
    ),
    "predicted change, assumed": (
        "By the cost model, {subject} would be {fitted} times as fast with {other}, if computing "
        "divides into memory and arithmetic as assumed: the cells give only their sum."
    ),
    "predicted nodes": (
        "By the cost model, {other} would be {fitted} times as fast as {subject}."
    ),
    "cooling": "Cool {subject}, or give it a stronger power supply: by how much is not measured.",
    "less memory": (
        "Fewer bits for each weight, a smaller context or more nodes need less memory on "
        "{subject}: whether it runs then is not measured."
    ),
}  # fmt: skip
"""What a finding is about to its sentence."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """A finding on an engine with a model.

    Attributes:
        engine: its name.
        model: its name, with its weights.
        kind: limit, strength or what to improve.
        what: a key of `TEMPLATES`.
        subject: what it is about: nodes, a setting, a machine.
        other: what that is compared with; may be empty.
        value: a share (0 to 1), a ratio, tokens/s or a number of attempts; NaN for none.
        low: lower end of its interval, range or bounds; NaN for none. Of memory: MiB free. Of what
            is fitted: of a 90 % interval.
        high: upper end. Of memory: MiB needed.
        n: values behind it; 0 where that means nothing. Of what is fitted: trials of the cell with
            the fewest.
        source: where the figure is from.
        where: id of the part of the page that shows it; may be empty.
    """

    engine: str
    model: str
    kind: Kind
    what: str
    subject: str
    other: str = ""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    source: Source = Source.MEASURED
    where: str = ""

    @property
    def sentence(self) -> Sentence:
        """The finding in words."""
        template = TEMPLATES[self.what]
        places: dict[str, Callable[[], object]] = {
            "subject": lambda: self.subject,
            "other": lambda: self.other,
            "share": self._share,
            "times": lambda: ratio(self._ratio(), brief=True),
            "rate": lambda: interval(self._estimate(), brief=True),
            "value": lambda: number(self.value),
            "fitted": lambda: self._of_one(with_ends(self.value, self.low, self.high)),
            "whole": lambda: f"{self.value:.0f}",
            "low": lambda: number(self.low),
            "high": lambda: number(self.high),
            "n": lambda: self.n,
        }
        named = {name: told() for name, told in places.items() if f"{{{name}}}" in template}
        return say(template, **named)

    def _share(self) -> str:
        if math.isnan(self.low) or percent(self.low) == percent(self.high):
            return self._of_one(percent(self.value))
        told = say(
            "{low} to {high}",
            low=percent(self.low).removesuffix(" %"),
            high=percent(self.high),
        )
        return self._of_one(told)

    def _of_one(self, told: str) -> str:
        """Add to a fitted figure that a cell has one trial, where one has."""
        is_single = self.source is Source.FITTED and self.n == 1
        return say("{figure} (with one trial of a cell)", figure=told) if is_single else told

    def _estimate(self) -> Estimate:
        return Estimate(self.value, *self._ends(), (self.value,) * self.n, self._coverage())

    def _ratio(self) -> Ratio:
        ends, values = self._ends(), (self.value,) * self.n
        return Ratio(self.value, *ends, values, self._coverage(), tuple(range(self.n)))

    def _ends(self) -> tuple[float | None, float | None]:
        return (None, None) if math.isnan(self.low) else (self.low, self.high)

    def _coverage(self) -> float:
        return range_coverage(self.n) if 0 < self.n < FEWEST else LEVEL


COLUMNS = (*(field.name for field in fields(Assessment)), "sentence")


def frame(findings: Iterable[Assessment]) -> pd.DataFrame:
    """`limits.csv`: a row a finding, with its sentence; the columns always."""
    rows: list[dict[str, Any]] = [
        {**asdict(one), "kind": str(one.kind), "source": str(one.source), "sentence": one.sentence}
        for one in findings
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
