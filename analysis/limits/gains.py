"""What comparisons of the report found faster, as assessments with their ratio."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.cells.cells import CellResult
from analysis.cells.family import Claim, Compared, Family
from analysis.cells.scaling import compare
from analysis.limits.assessment import Assessment, Kind
from analysis.limits.combinations import Combination


def faster(one: CellResult, other: CellResult, family: Family) -> Compared | None:
    """The comparison of two cells if it found the first faster."""
    found = compare(one, other, family)
    return found if found and found.finding is Claim.FASTER else None


def times(found: Compared) -> float:
    """How many times as fast the numerator is; 0 without a ratio."""
    return found.ratio.value if found.ratio else 0.0


def gain(
    combination: Combination,
    what: str,
    found: Compared,
    names: tuple[str, str],
    where: str,
    kind: Kind = Kind.IMPROVEMENT,
) -> Iterator[Assessment]:
    """Make an assessment of a comparison that has an interval or a range.

    Args:
        combination: what it is about.
        what: key of its sentence.
        found: the comparison.
        names: of its numerator and its denominator.
        where: id of the part of the page that shows it.
        kind: whether it is a limit, a strength or an improvement.
    """
    ratio = found.ratio
    if ratio is not None and ratio.low is not None and ratio.high is not None:
        yield Assessment(
            combination.engine,
            combination.model,
            kind,
            what,
            names[0],
            other=names[1],
            value=ratio.value,
            low=ratio.low,
            high=ratio.high,
            n=ratio.n,
            where=where,
        )
