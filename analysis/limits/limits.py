"""What limits an engine with a model: computing, waiting, memory, the prompt, heat."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.cells.cells import CellResult
from analysis.cells.family import Family
from analysis.cells.labels import users_at_once
from analysis.cells.sync import SyncShare, sync_share
from analysis.limits.assessment import Assessment, Kind, Source
from analysis.limits.combinations import Combination
from analysis.limits.fitted import HALF, fitted_limit
from analysis.limits.machines import slow_links, slowest_machine
from analysis.network.run_fits import GroupFit
from analysis.network.servers import REST, rows_of_series
from analysis.statistics.stats import estimate
from analysis.text.sentence import say
from analysis.text.wording import bare, listing

TOO_LITTLE = re.compile(
    r"(?P<node>\S+) has (?P<free>\d+) MiB of memory free but would need about (?P<need>\d+) MiB"
)
"""How a cell that has too little memory says so."""


def limits_of(
    combination: Combination,
    family: Family,
    chain: pd.DataFrame,
    node_rows: Sequence[Mapping[Hashable, Any]],
    fits: Iterable[GroupFit] = (),
) -> Iterator[Assessment]:
    """Find what limits an engine with a model.

    Args:
        combination: its cells.
        family: every comparison of the report.
        chain: `chain_times` of the run.
        node_rows: of `node_frame`.
        fits: of the cost model: asked where the engine does not report what takes the time.
    """
    yield from _attempts(combination)
    shared = combination.shared
    if shared is not None:
        found = _chain(combination, shared, chain) or [_divided(combination, shared)]
        is_unknown = found[0].source is Source.NOT_MEASURED
        fitted = fitted_limit(combination, shared, fits) if is_unknown else None
        yield from [fitted] if fitted else found
    yield from slowest_machine(combination, family)
    yield from slow_links(combination, family)
    yield from _prompt(combination)
    yield from _memory(combination)
    yield from _throttled(combination, node_rows)


def _attempts(combination: Combination) -> Iterator[Assessment]:
    """The cells that lost half of their attempts or more."""
    lost = [
        cell
        for cell in combination.cells
        if cell.attempts.made and cell.attempts.thrown >= HALF * cell.attempts.made
    ]
    if lost:
        causes = dict.fromkeys(cause for cell in lost for cause in cell.attempts.causes)
        first = bare(next(iter(causes), "no cause is known"))
        yield Assessment(
            combination.engine,
            combination.model,
            Kind.LIMIT,
            "attempts",
            listing([combination.setting(cell) for cell in lost]),
            other=say("{first}; …", first=first) if len(causes) > 1 else first,
            value=sum(cell.attempts.thrown for cell in lost),
            n=sum(cell.attempts.made for cell in lost),
            where="failures",
        )


def _divided(combination: Combination, cell: CellResult) -> Assessment:
    """Say whether computing or waiting takes most of a token's time."""
    found = sync_share(cell)
    subject, where = combination.setting(cell), "time" if found else ""
    if cell.on_quota and found is not None:
        return Assessment(
            combination.engine,
            combination.model,
            Kind.LIMIT,
            "quota",
            subject,
            other=listing(list(cell.on_quota)),
            source=Source.NOT_MEASURED,
            where=where,
        )
    if found is None or not found.is_known:
        unreported = "unknown of several" if users_at_once(cell.record.params) > 1 else "unknown"
        return Assessment(
            combination.engine,
            combination.model,
            Kind.LIMIT,
            unreported if found is None else "unknown share",
            subject,
            source=Source.NOT_MEASURED,
            where=where,
        )
    return Assessment(
        combination.engine,
        combination.model,
        Kind.LIMIT,
        _dominating(found),
        subject,
        value=(found.low + found.high) / 2,
        low=found.low,
        high=found.high,
        n=len(cell.by_block("sync_ms_per_token")),
        where=where,
    )


def _dominating(share: SyncShare) -> str:
    if share.low > HALF:
        return "waiting"
    return "computing" if share.high < HALF else "computing and waiting"


def _chain(combination: Combination, cell: CellResult, chain: pd.DataFrame) -> list[Assessment]:
    """Say which part of a chain of servers takes longest; nothing where they do not report it."""
    times = rows_of_series(chain, [combination.series_of(cell)])
    own = times[times["nodes"] == cell.nodes].sort_values("share", ascending=False)
    if own.empty:
        return []
    longest = own.iloc[0]
    return [
        Assessment(
            combination.engine,
            combination.model,
            Kind.LIMIT,
            "network of the chain" if longest["part"] == REST else "server",
            str(longest["part"]),
            other=combination.setting(cell),
            value=float(longest["share"]),
            n=int(longest["trials"]),
            where="time",
        )
    ]


def _prompt(combination: Combination) -> Iterator[Assessment]:
    """Where prefill takes more of a trial than decoding, at the best number of nodes."""
    if combination.best is None:
        return
    cell = combination.best[1].cell
    prompt, decode = cell.by_block("prompt_ms"), cell.by_block("decode_ms")
    shares = [
        prompt[block] / (prompt[block] + decode[block])
        for block in prompt.keys() & decode.keys()
        if prompt[block] + decode[block] > 0
    ]
    found = estimate(shares)
    if found is None or found.low is None or found.high is None or found.low <= HALF:
        return
    yield Assessment(
        combination.engine,
        combination.model,
        Kind.LIMIT,
        "prompt",
        combination.setting(cell),
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        where="prompt",
    )


def _memory(combination: Combination) -> Iterator[Assessment]:
    """The cells that cannot run because a node has too little memory: the smallest need of each."""
    needs: dict[str, tuple[int, int, str]] = {}
    for cell in combination.cells:
        if said := TOO_LITTLE.search(cell.record.unavailable or ""):
            need = (int(said["need"]), int(said["free"]), combination.setting(cell))
            needs[said["node"]] = min(needs.get(said["node"], need), need)
    for node, (need_mib, free_mib, setting) in needs.items():
        yield Assessment(
            combination.engine,
            combination.model,
            Kind.LIMIT,
            "memory",
            node,
            other=setting,
            low=free_mib,
            high=need_mib,
            where="failures",
        )


def _throttled(
    combination: Combination, node_rows: Sequence[Mapping[Hashable, Any]]
) -> Iterator[Assessment]:
    names = {name for cell in combination.cells for name in cell.record.nodes}
    for row in node_rows:
        times = row["throttled_attempts"]
        if row["node"] in names and not pd.isna(times) and times > 0:
            yield Assessment(
                combination.engine,
                combination.model,
                Kind.LIMIT,
                "throttling",
                str(row["node"]),
                other=str(row["throttling"]),
                value=float(times),
                n=int(row["attempts"]),
                where="stability",
            )
