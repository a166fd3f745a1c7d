"""All comparisons of a report: corrected together, each with what may be said of it.

Which comparisons there are depends on the plan of a run, never on its figures: one that was chosen
because it looked good would be right less often than its p-value says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import pandas as pd

from analysis.statistics.alike import flipped_p, neighbours_alike, widening
from analysis.statistics.floor import Floor
from analysis.statistics.proportions import holm
from analysis.statistics.stats import FEWEST, FINEST, Ratio
from analysis.text.sentence import say, together
from analysis.text.wording import percent, within
from collect.run import EQUIVALENCE_MARGIN

NONE_TRIED = "All {few} comparisons have too few values."
ONLY_ONE_UNTRIED = "The one comparison has too few values."
CORRECTED = "{n} comparisons of this report are corrected for one another (Holm)."
ALONE = "This report makes one comparison, which needs no correction."
RULES = (
    "Faster or slower: p < {level}. No difference: the interval is within {margin}. Otherwise the "
    "verdict is “cannot tell”."
)
REST = "{few} more comparisons have too few values."
REST_ONE = "One more comparison has too few values."
BELOW = "the difference is below the noise floor of {floor}"
COARSE = "the noise floor of {floor} is wider than {margin}"
LASTING = (
    "neighbouring blocks are alike (correlation {alike}), so blocks do not cancel all that changes"
)
REFUSED = "{n} more would be called different or the same, but the noise does not allow it."
REFUSED_ONE = "One more would be called different or the same, but the noise does not allow it."
LEVEL = 0.05
"""Share of reports without any true difference that may report one."""
STOPPED = 1.5
"""A p-value counts that many times where blocks were added until intervals were narrow: they are
narrow by luck more often than others, and then t is too large (docs/statistics.md)."""
COLUMNS = (
    "what", "numerator", "denominator", "n", "ratio", "low", "high", "p_adjusted", "verdict",
)  # fmt: skip
WHY = "why"
"""A further column, only where some verdict was refused: the reason."""


class Claim(StrEnum):
    """How a numerator compares with its denominator."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "no difference"
    UNKNOWN = "cannot tell"

    @property
    def turned(self) -> Claim:
        """The same, said of the denominator."""
        return {Claim.FASTER: Claim.SLOWER, Claim.SLOWER: Claim.FASTER}.get(self, self)


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes:
        key: identifies it among all of its kind: a cell's id.
        name: for readers.
    """

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sides to compare.

    Attributes:
        what: the quantity; of all that are compared more is better.
        n: blocks or questions that both sides have.
        ratio: of the numerator to the denominator; None where there is none.
        exact_p: of a separate test, for what is no ratio by block; None otherwise.
        is_above: the numerator is the larger, where `ratio` does not say; None otherwise.
        fewest: of `n`, from which the sides may be compared.
        is_stopped: blocks were added until intervals were narrow.
    """

    what: str
    numerator: Side
    denominator: Side
    n: int
    ratio: Ratio | None
    exact_p: float | None = None
    is_above: bool | None = None
    fewest: int = FEWEST
    is_stopped: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """Identify it among the pairs."""
        return self.what, self.numerator.key, self.denominator.key

    def p_value(self, least_spread: float, alike: float = 0.0) -> float | None:
        """Before correction; None where the sides may not be compared.

        Args:
            least_spread: a smaller spread is taken to be luck.
            alike: correlation of neighbouring blocks.
        """
        if self.n < self.fewest:
            return None
        if self.exact_p is not None or self.ratio is None:
            return self.exact_p
        wider = widening(alike, self.n) if alike and self.logs else 1.0
        found = self.ratio.p_value(least_spread, wider)
        if found is None or found >= LEVEL:
            return found
        by_signs = flipped_p(list(self.logs.values()))
        found = found if by_signs is None or by_signs < LEVEL else max(found, by_signs)
        return min(1.0, found * STOPPED) if self.is_stopped else found

    @property
    def logs(self) -> dict[int, float]:
        """Block of trials to the logarithm of its ratio; empty if it is of something else."""
        if self.ratio is None or len(self.ratio.blocks) != self.ratio.n:
            return {}
        pairs = zip(self.ratio.blocks, self.ratio.values, strict=True)
        return {block: math.log(value) for block, value in pairs if isinstance(block, int)}


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison and its result.

    Attributes:
        p_adjusted: after Holm over all comparisons of the report; None where there are too few
            values to compare.
        why: the reason why there is no verdict although the figures would allow one; else empty.
    """

    pair: Pair
    p_adjusted: float | None
    finding: Claim
    why: str = ""

    @property
    def ratio(self) -> Ratio | None:
        """Of the numerator to the denominator."""
        return self.pair.ratio

    @property
    def is_tried(self) -> bool:
        """There were enough values to compare."""
        return self.p_adjusted is not None

    def turned(self) -> Compared:
        """Return the same comparison with the sides exchanged."""
        pair = self.pair
        ratio = pair.ratio and pair.ratio.inverse()
        is_above = None if pair.is_above is None else not pair.is_above
        swapped = replace(
            pair,
            numerator=pair.denominator,
            denominator=pair.numerator,
            ratio=ratio,
            is_above=is_above,
        )
        return replace(self, pair=swapped, finding=self.finding.turned)


class Family:
    """The comparisons of a report.

    Attributes:
        rows: in the order in which they were named, each once.
        margin: relative difference below which two speeds count as the same.
        tried: how many comparisons were corrected for each other, those of `others` included.
    """

    def __init__(
        self,
        pairs: Iterable[Pair],
        margin: float = EQUIVALENCE_MARGIN,
        others: Iterable[Pair] = (),
        floors: Mapping[str, Floor] | None = None,
    ) -> None:
        """Correct comparisons together.

        Args:
            pairs: the comparisons, each once.
            margin: relative difference below which two speeds count as the same.
            others: what other parts of the same page compare: corrected together with these.
            floors: quantity to how far identical arms differ in it, where that was measured: no
                difference below it is spoken of.
        """
        unique = list({pair.key: pair for pair in reversed(list(pairs))}.values())[::-1]
        self.margin = margin
        together_with = tuple(_compared([*unique, *others], margin, floors or {}))
        self.rows: tuple[Compared, ...] = together_with[: len(unique)]
        self.tried = sum(row.is_tried for row in together_with)
        self._by_key = {row.pair.key: row for row in self.rows}

    def in_words(self) -> str:
        """How many comparisons were made, and what each finding means; empty where none was."""
        if not self.rows:
            return ""
        few = sum(not row.is_tried for row in self.rows)
        if few == len(self.rows):
            return say(ONLY_ONE_UNTRIED if few == 1 else NONE_TRIED, few=few)
        corrected = say(CORRECTED if self.tried > 1 else ALONE, n=self.tried)
        rules = say(RULES, level=LEVEL, margin=within(self.margin))
        rest = say(REST_ONE if few == 1 else REST, few=few) if few else ""
        n = sum(bool(row.why) for row in self.rows)
        refused = say(REFUSED_ONE if n == 1 else REFUSED, n=n) if n else ""
        return together([corrected, rules, rest, refused])

    def find(self, what: str, numerator: str, denominator: str) -> Compared | None:
        """The comparison of two sides by their keys, whichever way round it was named."""
        if row := self._by_key.get((what, numerator, denominator)):
            return row
        row = self._by_key.get((what, denominator, numerator))
        return row and row.turned()

    def frame(self) -> pd.DataFrame:
        """`comparisons.csv`: a row a comparison, numbers as numbers, the columns always."""
        made = pd.DataFrame([_cells(row) for row in self.rows], columns=list(COLUMNS))
        reasons = [row.why for row in self.rows]
        return made.assign(**{WHY: reasons}) if any(reasons) else made


def standing(
    family: Family, what: str, name: str, all_names: Iterable[str]
) -> tuple[list[str], list[str], list[str]]:
    """List those that one of several is ahead of, those it is behind, and those left undecided."""
    ahead: list[str] = []
    behind: list[str] = []
    rest: list[str] = []
    for other in all_names:
        row = family.find(what, name, other) if other != name else None
        if row is None:
            continue
        lists = {Claim.FASTER: ahead, Claim.SLOWER: behind}
        lists.get(row.finding, rest).append(other)
    return ahead, behind, rest


def _cells(row: Compared) -> list[object]:
    pair, ratio = row.pair, row.pair.ratio
    figures = (None, None, None) if ratio is None else (ratio.value, ratio.low, ratio.high)
    told = (None if one is None else float(f"{one:.6g}") for one in (*figures, row.p_adjusted))
    return [pair.what, pair.numerator.name, pair.denominator.name, pair.n, *told, str(row.finding)]


def _compared(
    pairs: Sequence[Pair], margin: float, floors: Mapping[str, Floor]
) -> Iterable[Compared]:
    least = _least_spread(pairs)
    usual = _adjusted(pairs, least, 0.0)
    alike = _alike(pairs, usual)
    wider = _adjusted(pairs, least, alike) if alike else usual
    for pair, adjusted, without in zip(pairs, wider, usual, strict=True):
        finding = _finding(pair, adjusted, margin)
        floor = floors.get(pair.what)
        why = _refusal(pair, finding, margin, floor) if floor else ""
        if finding is Claim.UNKNOWN and _finding(pair, without, margin) is not Claim.UNKNOWN:
            why = say(LASTING, alike=f"{alike:.2f}")
        yield Compared(pair, adjusted, Claim.UNKNOWN if why else finding, why)


def _alike(pairs: Sequence[Pair], adjusted: Sequence[float | None]) -> float:
    """The correlation of neighbouring blocks; not looked for where no difference was found."""
    tried = [pair.logs for pair, found in zip(pairs, adjusted, strict=True) if found is not None]
    is_found = any(found is not None and found < LEVEL for found in adjusted)
    return neighbours_alike(tried) if is_found else 0.0


def _adjusted(pairs: Sequence[Pair], least: float, alike: float) -> list[float | None]:
    """The p-value of each pair after Holm; None where it has none."""
    given = [pair.p_value(least, alike) for pair in pairs]
    raised = iter(holm([p_value for p_value in given if p_value is not None]))
    return [None if p_value is None else next(raised) for p_value in given]


def _refusal(pair: Pair, finding: Claim, margin: float, floor: Floor) -> str:
    """Why a finding may not be spoken where identical arms differ by so much; empty if it may."""
    told = percent(floor.ratio - 1)
    if finding is Claim.SAME and floor.ratio > 1 + margin:
        return say(COARSE, floor=told, margin=within(margin))
    if finding not in (Claim.FASTER, Claim.SLOWER) or pair.ratio is None:
        return ""
    is_below = max(pair.ratio.value, 1 / pair.ratio.value) < floor.ratio
    return say(BELOW, floor=told) if is_below else ""


def _least_spread(pairs: Sequence[Pair]) -> float:
    """What the steadiest tenth of the comparisons has.

    Of many comparisons some have hardly any spread by luck, and a t that is huge for no other
    reason; where speeds jump between two modes that happens far more often than the t distribution
    says. With up to ten comparisons it is the smallest spread itself, and changes nothing.
    """
    spreads = sorted(
        pair.ratio.spread
        for pair in pairs
        if pair.ratio and pair.n >= pair.fewest and pair.ratio.spread is not None
    )
    return max(FINEST, spreads[(len(spreads) - 1) // 10]) if spreads else FINEST


def _finding(pair: Pair, p_adjusted: float | None, margin: float) -> Claim:
    if p_adjusted is None:
        return Claim.UNKNOWN
    ratio = pair.ratio
    if ratio and ratio.has_interval and _is_within(ratio, margin):
        return Claim.SAME
    if p_adjusted >= LEVEL:
        return Claim.UNKNOWN
    is_above = pair.is_above if ratio is None or pair.is_above is not None else ratio.value > 1
    return Claim.FASTER if is_above else Claim.SLOWER


def _is_within(ratio: Ratio, margin: float) -> bool:
    low, high = ratio.low, ratio.high
    return low is not None and high is not None and 1 / (1 + margin) <= low and high <= 1 + margin
