"""Make the few figures on top of a report."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.blocks import Figure
from analysis.cells.cells import CellResult
from analysis.cells.family import Claim, Family
from analysis.cells.scaling import DECODE, Scaling
from analysis.cells.series import Series
from analysis.cells.sync import SyncShare, sync_share
from analysis.statistics.stats import Estimate
from analysis.text.sentence import say
from analysis.text.wording import DASH, TIMES, count, listing, nodes, number, ratio
from analysis.verdict.fastest import Fastest, fastest_of
from analysis.verdict.scaling_text import thrown_away

MOST_MODELS = 3
"""Models whose fastest cells are among the figures."""


def key_figures(
    all_series: Sequence[Series], scalings: Sequence[Scaling], family: Family
) -> tuple[Figure, ...]:
    """Fastest cells, gain from nodes, attempts that count, sync and traffic at the most nodes."""
    found = [
        *_fastest(scalings, family),
        _gain(scalings),
        _attempts(all_series),
        _sync_share(all_series),
        _traffic(all_series),
    ]
    return tuple(figure for figure in found if figure is not None)


def _fastest(scalings: Sequence[Scaling], family: Family) -> list[Figure]:
    """Name for each model the cells that may be the fastest; the speed if there is only one."""
    groups = fastest_of(scalings, family)
    if not groups:
        return [_speed(scalings[0])] if len(scalings) == 1 else []
    return [_fastest_of(found, len(groups)) for found in groups[:MOST_MODELS]]


def _speed(scaling: Scaling) -> Figure:
    found = scaling.baseline.estimate(DECODE)
    about = say(
        "{label} on {nodes}", label=scaling.series.label, nodes=nodes(scaling.baseline.nodes)
    )
    return Figure(
        "Speed",
        number(found.value if found else None),
        "tokens/s",
        say("{ends}{about}", ends=_ends(found), about=about),
    )


def _fastest_of(found: Fastest, models: int) -> Figure:
    model = say("{what}: ", what=found.what) if models > 1 else ""
    if not found.is_told:
        few = "" if found.is_known else "; too few trials to compare"
        few = few or ("" if found.is_compared else "; not all are compared with each other")
        return Figure(
            "Fastest",
            "cannot tell",
            "",
            say("{model}which of {of} cells{few}", model=model, of=found.of, few=few),
        )
    names = [
        say("{label} on {nodes}", label=s.series.label, nodes=nodes(point.nodes))
        for s, point in found.cells
    ]
    rates = [point.cell.estimate(DECODE) for _, point in found.cells]
    values = sorted({number(rate.value) for rate in rates if rate}, key=_numeric)
    value = values[0] if len(values) == 1 else f"{values[0]}{DASH}{values[-1]}"
    if len(names) == 1:
        return Figure(
            "Fastest",
            value,
            "tokens/s",
            say("{model}{ends}{names}", model=model, ends=_ends(rates[0]), names=names[0]),
        )
    return Figure(
        "Fastest",
        value,
        "tokens/s",
        say("{model}not distinguishable: {names}", model=model, names=listing(names)),
    )


def _numeric(written: str) -> float:
    return float(written.replace("\N{NARROW NO-BREAK SPACE}", ""))


def _ends(found: Estimate | None) -> str:
    """Say what a figure is based on: `95 %: 31-34; `, `range of 3: 31-34; ` or `one trial; `."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return "one trial; "
    ends = f"{number(found.low)}{DASH}{number(found.high)}"
    return (
        say("95 %: {ends}; ", ends=ends)
        if found.has_interval
        else say("range of {n} trials: {ends}; ", n=found.n, ends=ends)
    )


def _gain(scalings: Sequence[Scaling]) -> Figure | None:
    scaled = [scaling for scaling in scalings if len(scaling.points) > 1]
    if not scaled:
        return None
    name = "Gain from more nodes"
    if not any(scaling.is_known for scaling in scaled):
        return Figure(name, "cannot tell", "", "too few trials to compare")
    gaining = [scaling for scaling in scaled if scaling.best is not scaling.points[0]]
    if not gaining:
        return _no_gain(name, scaled)
    gains = sorted(scaling.best.speed_up.value for scaling in gaining)
    value = f"{TIMES} {_from_to([f'{gain:.2f}' for gain in gains])}"
    if len(scaled) > 1:
        return Figure(
            name,
            value,
            "",
            say("in {gaining} of {scaled} series", gaining=len(gaining), scaled=len(scaled)),
        )
    (one,) = gaining
    ends = ratio(one.best.speed_up).rpartition("(")[2].rstrip(")")
    told = say(
        "{nodes} against {nodes_2}", nodes=nodes(one.best.nodes), nodes_2=count(one.baseline.nodes)
    )
    return Figure(
        name,
        value,
        "",
        say("95 %: {ends}; {label}, {shown}", ends=ends, label=one.series.label, shown=told),
    )


def _no_gain(name: str, scaled: Sequence[Scaling]) -> Figure:
    later = [point.against_base for scaling in scaled for point in scaling.points[1:]]
    settled = all(one and one.finding in (Claim.SLOWER, Claim.SAME) for one in later)
    if settled:
        return Figure(name, "none", "", "every number is slower or makes no difference")
    return Figure(
        name, "cannot tell", "", "none is shown to be faster, and not all to be as fast or slower"
    )


def _attempts(all_series: Sequence[Series]) -> Figure | None:
    """How many attempts count, as soon as some do not."""
    cells = [cell for series in all_series for cell in series.cells]
    thrown = thrown_away(cells)
    if not thrown or not any(cell.is_measured for cell in cells):
        return None
    good, made = (sum(getattr(c.attempts, name) for c in cells) for name in ("good", "made"))
    return Figure("Attempts that count", say("{good} of {made}", good=good, made=made), "", thrown)


def _most_nodes(all_series: Sequence[Series], column: str) -> list[tuple[Series, CellResult]]:
    """The cells on the most nodes that have values of a column."""
    pairs = [
        (series, cell)
        for series in all_series
        for cell in series.measured
        if cell.nodes > 1 and cell.by_block(column)
    ]
    most = max((cell.nodes for _, cell in pairs), default=0)
    return [(series, cell) for series, cell in pairs if cell.nodes == most]


def _of_most(pairs: Sequence[tuple[Series, CellResult]]) -> str:
    (series, cell), *others = pairs
    who = say("{pairs} series", pairs=len(pairs)) if others else series.label
    return say("{who} on {nodes}", who=who, nodes=nodes(cell.nodes))


def _from_to(written: Sequence[str]) -> str:
    return written[0] if written[0] == written[-1] else f"{written[0]}{DASH}{written[-1]}"


def _sync_share(all_series: Sequence[Series]) -> Figure | None:
    """The share of a token's time for synchronising, but for nodes that a quota stops.

    There it is mostly the time for which nodes are stopped: no figure of the network.
    """
    found = _most_nodes(all_series, "sync_ms_per_token")
    pairs = [(series, cell) for series, cell in found if not (cell.software or cell.on_quota)]
    if not pairs:
        return None
    shares = [share for _, cell in pairs if (share := sync_share(cell))]
    if not shares or not all(share.is_known for share in shares):
        return None
    whole = SyncShare(min(share.low for share in shares), max(share.high for share in shares))
    return Figure("Spent on sync", whole.in_words, "", _of_most(pairs))


def _traffic(all_series: Sequence[Series]) -> Figure | None:
    pairs = _most_nodes(all_series, "sent_kib_per_token")
    both = [
        sent.value + received.value
        for _, cell in pairs
        if (sent := cell.estimate("sent_kib_per_token"))
        and (received := cell.estimate("received_kib_per_token"))
    ]
    if not both:
        return None
    told = _from_to([number(one) for one in sorted(both)])
    return Figure("Root's traffic", told, "KiB/token", _of_most(pairs))
