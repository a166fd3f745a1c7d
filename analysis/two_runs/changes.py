"""What differs between two runs, as far as they recorded it: one row a thing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from collect.probe import MEMORY_FACT, MEMORY_MARGIN
from collect.run import RunManifest
from core.foreign import one_line
from core.record import Scalar

MACHINE, SYSTEM, NETWORK = "machine", "system", "network"
ENGINE, MODEL, SETTING, METHOD, TOOLKIT = "engine", "model", "setting", "method", "toolkit"
OF_NODES = frozenset({MACHINE, SYSTEM, NETWORK})
PLACES = "nodes of a cell"
FACTS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "machine_id", "serial_hash", "board", "board_revision", "cpu_model", "cores",
            "max_frequency_mhz", "memory_mib", "architecture", "virtualisation", "emulated",
        ),
        MACHINE,
    ),
    **dict.fromkeys(
        ("nic", "nic_driver", "wireless", "link_mbit", "address_leased"), NETWORK
    ),
}  # fmt: skip
"""Fact of a node to what kind of thing it is; every other one that is not below is the system's."""
PASSING = re.compile(
    r"boot_id|available_mib|clock_.*|address|energy_.*|plug.*|gpu_[0-9]+_used_by|.*(free|used)_mib"
    r"|.* sha256|compiler"
)
"""Facts that change by themselves, or that cells have in their identity."""
COLUMNS = ("kind", "where", "what", "baseline", "contender")
EVERYWHERE = "all nodes"
LONGEST = 120
Facts = Mapping[str, Scalar | None]


@dataclass(frozen=True, slots=True)
class RunDifference:
    """A thing that differs.

    Attributes:
        kind: `machine`, `system`, `network`, `engine`, `model`, `setting`, `method` or `toolkit`.
        where: an engine, nodes, or empty for the whole run.
        what: the fact or the axis.
        baseline: its value there; empty where it is not known.
        contender: the same of the other run.
    """

    kind: str
    where: str
    what: str
    baseline: str
    contender: str


def kinds_of_nodes(baseline: Facts, contender: Facts) -> set[str]:
    """What kinds of things differ between two nodes, or the same one at two times."""
    return {kind for kind, *_ in _of_facts(baseline, contender)}


def _of_facts(baseline: Facts, contender: Facts) -> Iterator[tuple[str, str, str, str]]:
    """Kind, fact and both values of each that both know and that differs."""
    for fact in sorted(baseline.keys() & contender.keys()):
        before, after = baseline[fact], contender[fact]
        if PASSING.fullmatch(fact) or before is None or after is None or before == after:
            continue
        if fact == MEMORY_FACT and _is_about(before, after):
            continue
        yield FACTS.get(fact, SYSTEM), fact, str(before), str(after)


def _is_about(before: Scalar, after: Scalar) -> bool:
    """Whether two sizes of memory are those of one machine after an update of its kernel."""
    sizes = [float(one) for one in (before, after) if isinstance(one, int)]
    return len(sizes) == 2 and max(sizes) - min(sizes) <= MEMORY_MARGIN * max(sizes)  # noqa: PLR2004


def matched_nodes(baseline: RunManifest, contender: RunManifest) -> list[tuple[str, str]]:
    """Nodes of both runs that are compared: those of one name, else those at one place."""
    shared = [name for name in baseline.nodes if name in contender.nodes]
    if shared:
        return [(name, name) for name in shared]
    return list(zip(baseline.nodes, contender.nodes, strict=False))


def changes_of(
    baseline: RunManifest,
    contender: RunManifest,
    settings: Iterable[RunDifference],
    placed: Iterable[tuple[Sequence[str], Sequence[str]]] = (),
) -> list[RunDifference]:
    """Everything that differs.

    Args:
        baseline: the one run.
        contender: the other.
        settings: axes whose values differ, as pairing the cells has found them.
        placed: nodes of each cell that is compared, the root first: of the one run, of the other.
    """
    return [
        *settings,
        *_engines(baseline, contender),
        *_models(baseline, contender),
        *_nodes(baseline, contender),
        *_places(dict(matched_nodes(baseline, contender)), placed),
        *_method(baseline, contender),
    ]


def _engines(baseline: RunManifest, contender: RunManifest) -> Iterator[RunDifference]:
    for engine in baseline.engines:
        before, after = baseline.engines[engine], contender.engines.get(engine)
        for fact in sorted(before.keys() | after.keys()) if after is not None else ():
            values = before.get(fact), (after or {}).get(fact)
            if values[0] != values[1]:
                yield _change(ENGINE, engine, fact, *values)


def _models(baseline: RunManifest, contender: RunManifest) -> Iterator[RunDifference]:
    for path, digest in baseline.models.items():
        other = contender.models.get(path)
        if other is not None and other != digest:
            yield _change(MODEL, "", path, digest[:12], other[:12])


def _nodes(baseline: RunManifest, contender: RunManifest) -> Iterator[RunDifference]:
    pairs = matched_nodes(baseline, contender)
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for one, other in pairs:
        name = one if one == other else f"{one}, {other}"
        for told in _of_facts(baseline.nodes[one], contender.nodes[other]):
            found.setdefault(told, []).append(name)
    for (kind, fact, before, after), names in found.items():
        is_everywhere = len(names) == len(pairs) > 1
        yield _change(kind, EVERYWHERE if is_everywhere else "; ".join(names), fact, before, after)
    for run, place in ((baseline, 0), (contender, 1)):
        rest = [name for name in run.nodes if name not in {pair[place] for pair in pairs}]
        if rest:
            values: list[str | None] = [None, None]
            values[place] = ", ".join(rest)
            yield _change(MACHINE, "", "further nodes", *values)


def _places(
    matched: Mapping[str, str], placed: Iterable[tuple[Sequence[str], Sequence[str]]]
) -> Iterator[RunDifference]:
    """Cells of as many nodes that had others, or had them in another order."""
    found = {
        (", ".join(before), ", ".join(after)): None
        for before, after in placed
        if len(before) == len(after) and [matched.get(name) for name in before] != list(after)
    }
    for before, after in found:
        yield _change(MACHINE, "", PLACES, before, after)


def _method(baseline: RunManifest, contender: RunManifest) -> Iterator[RunDifference]:
    for what in ("repeats", "warmup"):
        before, after = getattr(baseline, what), getattr(contender, what)
        if before != after:
            yield _change(METHOD, "", what, before, after)
    if baseline.toolkit != contender.toolkit:
        yield _change(TOOLKIT, "", "version", baseline.toolkit, contender.toolkit)


def _change(kind: str, where: str, what: str, before: object, after: object) -> RunDifference:
    values = ("" if one is None else one_line(str(one), LONGEST) for one in (before, after))
    return RunDifference(
        kind, one_line(where, LONGEST), one_line(what.replace("_", " "), 60), *values
    )


def setting_change(axis: str, before: Scalar | None, after: Scalar | None) -> RunDifference:
    """An axis that has one value in each run, and another one in the other."""
    return _change(SETTING, "", axis, before, after)


def change_frame(changes: Sequence[RunDifference]) -> pd.DataFrame:
    """`changes.csv`: a row a thing."""
    rows = [(one.kind, one.where, one.what, one.baseline, one.contender) for one in changes]
    return pd.DataFrame(rows, columns=list(COLUMNS))
