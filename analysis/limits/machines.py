"""Which machine is the slowest, which root is best, and which machines to leave out.

Only where cells name their machines (axis `on`), and only as far as comparisons found it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from analysis.cells.cells import CellResult
from analysis.cells.family import Family
from analysis.cells.labels import ON, in_words
from analysis.cells.scaling import DECODE, places_of
from analysis.limits.assessment import Assessment, Kind
from analysis.limits.combinations import Combination
from analysis.limits.gains import faster, gain, times
from analysis.text.wording import nodes


def slowest_machine(combination: Combination, family: Family) -> Iterator[Assessment]:
    """Name the machine that each other was found faster than, with each alone."""
    for cells in _places(combination):
        alone = [cell for cell in cells if cell.nodes == 1]
        for cell in alone:
            tried = [faster(other, cell, family) for other in alone if other is not cell]
            found = [one for one in tried if one is not None]
            if found and len(found) == len(tried):
                most = max(found, key=times)
                fastest = next(
                    other for other in alone if other.record.cell_id == most.pair.numerator.key
                )
                names = cell.record.nodes[0], fastest.record.nodes[0]
                yield from gain(combination, "slowest machine", most, names, "decode", Kind.LIMIT)


def machines_to_change(combination: Combination, family: Family) -> Iterator[Assessment]:
    """Name the best root instead of the worst, and the fewer machines that were found faster."""
    for cells in _places(combination):
        roots, fewer = [], []
        for one, other in itertools.permutations(cells, 2):
            found = faster(one, other, family)
            if found is None:
                continue
            mine, theirs = set(one.record.nodes), set(other.record.nodes)
            if mine == theirs:
                roots.append((found, (one.record.nodes[0], other.record.nodes[0])))
            elif mine < theirs:
                fewer.append((found, (_machines(one), _machines(other))))
        for what, gains in (("root", roots), ("machines", fewer)):
            if gains:
                found, names = max(gains, key=lambda gain: times(gain[0]))
                yield from gain(combination, what, found, names, "decode")


def _places(combination: Combination) -> Iterator[Sequence[CellResult]]:
    """The measured cells of each setting that names machines."""
    for placed in places_of(combination.series):
        yield [cell for series in placed for cell in series.cells if cell.by_block(DECODE)]


def _machines(cell: CellResult) -> str:
    """`desk alone`, `desk+pi1`, `the first three nodes`."""
    named = cell.record.params.get(ON)
    if named == "+".join(cell.record.nodes):
        return in_words(ON, str(named))
    return f"the first {nodes(cell.nodes)}"
