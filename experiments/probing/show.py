"""A probe for people: figures with units, and which node and which link are the slowest."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from collect.probe import LinkProbe, NodeProbe, ProbeRecord
from core.terminal import shown
from experiments.probing.second_look import ALIKE

MISSING = "-"


def show_probe(record: ProbeRecord, console: Console) -> None:
    """Print the figures, what is slowest, and what was not measured."""
    console.print(_node_table(record.nodes))
    if record.links:
        console.print(_link_table(record))
    for line in (*verdicts(record), *troubles(record)):
        console.print(shown(line), highlight=False)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _node_table(nodes: Sequence[NodeProbe]) -> Table:
    table = _table(
        "node",
        "memory, one thread\nGB/s",
        "memory, all threads\nGB/s",
        "threads\n",
        "floats, one thread\nGFLOP/s",
        "floats, all threads\nGFLOP/s",
    )
    for node in nodes:
        table.add_row(
            shown(node.name),
            _figure(node.memory_one_gbs),
            _figure(node.memory_all_gbs),
            str(node.threads),
            _figure(node.arithmetic_one_gflops),
            _figure(node.arithmetic_all_gflops),
        )
    return table


def _link_table(record: ProbeRecord) -> Table:
    table = _table("link", "latency\nus", "quartiles\nus", "there\nMbit/s", "back\nMbit/s")
    for link in record.links:
        back = record.link(link.target, link.source)
        if back is not None and record.links.index(back) < record.links.index(link):
            continue
        table.add_row(
            shown(f"{link.source}, {link.target}"),
            _figure(link.latency_us),
            f"{_figure(link.latency_lower_us)} to {_figure(link.latency_upper_us)}",
            _figure(link.rate_mbit),
            _figure(back.rate_mbit if back else None),
        )
    return table


def _figure(number: float | None) -> str:
    """Three digits that count."""
    if number is None:
        return MISSING
    return f"{number:.0f}" if number >= 100 else f"{number:#.3g}".rstrip(".")  # noqa: PLR2004


def verdicts(record: ProbeRecord) -> Iterator[str]:
    """Which node and which link are the slowest; a sentence each."""
    yield from _slowest_node(record.nodes)
    yield from _slowest_link(record.links)


def _slowest_node(nodes: Sequence[NodeProbe]) -> Iterator[str]:
    speeds = {one.name: one.memory_all_gbs for one in nodes if one.memory_all_gbs is not None}
    if len(speeds) > 1:
        name = min(speeds, key=lambda one: speeds[one])
        middle = statistics.median(speeds.values())
        # And by more than the figures of any node differ from each other: less may be luck.
        margin = max(ALIKE, *(one.memory_spread or 0.0 for one in nodes))
        if speeds[name] < middle * (1 - margin):
            yield (
                f"Slowest node: {name} reads {_figure(speeds[name])} GB/s from its memory; the "
                f"median of all is {_figure(middle)} GB/s."
            )
        else:
            yield f"The memory of no node is slower than the median by more than {margin:.0%}."


def _slowest_link(links: Sequence[LinkProbe]) -> Iterator[str]:
    if len({frozenset((link.source, link.target)) for link in links}) > 1:
        slow = min(links, key=lambda link: link.rate_mbit)
        middle = statistics.median(link.rate_mbit for link in links)
        if of_one := _slow_in_all(links):
            yield of_one
        elif slow.rate_mbit < middle * (1 - ALIKE):
            yield (
                f"Slowest link: {slow.source} to {slow.target} carries {_figure(slow.rate_mbit)} "
                f"Mbit/s; the median of all is {_figure(middle)} Mbit/s."
            )
        else:
            yield f"No link is slower than the median by more than {ALIKE:.0%}."
        far = max(links, key=lambda link: link.latency_us)
        middle = statistics.median(link.latency_us for link in links)
        if far.latency_us > middle * (1 + ALIKE):
            yield (
                f"Longest latency: {far.source} to {far.target} takes {_figure(far.latency_us)} "
                f"us; the median of all is {_figure(middle)} us."
            )


def _slow_in_all(links: Sequence[LinkProbe]) -> str:
    """Name the node whose every link is slower than those between the others; empty for none."""
    for name in dict.fromkeys(name for link in links for name in (link.source, link.target)):
        own = [link.rate_mbit for link in links if name in (link.source, link.target)]
        rest = [link.rate_mbit for link in links if name not in (link.source, link.target)]
        if rest and max(own) < min(rest) and max(own) < statistics.median(rest) * (1 - ALIKE):
            middle = _figure(statistics.median(rest))
            return (
                f"Slowest link: that of {name}, with {_figure(max(own))} Mbit/s at most to and "
                f"from each other node; the median between the others is {middle} Mbit/s."
            )
    return ""


def troubles(record: ProbeRecord) -> Iterator[str]:
    """What was not measured, and what limits a figure; a sentence each."""
    for node in record.nodes:
        for remark in node.remarks:
            yield f"{node.name}: {remark}."
    for name, reason in record.left_out.items():
        yield f"{name} was not measured: {reason.rstrip('.')}."
    yield from record.links_left_out
