"""Prompt length and position: prefill and decode by length, decode by position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analysis.blocks import Block, File, Part, Prose, Section, Tabled
from analysis.cells.family import Family
from analysis.cells.prompt_lengths import (
    PER,
    LengthCell,
    Lengths,
    Positions,
    lengths_of,
    positions_of,
)
from analysis.cells.tabulate import Table, table
from analysis.charted import charted
from analysis.charts.prompt_lengths import decode_chart, position_chart, prefill_chart
from analysis.statistics.stats import Estimate
from analysis.study import Study
from analysis.text.sentence import Sentence, say
from analysis.text.wording import DASH, interval, nodes, ratio, within
from analysis.verdict.scaling_text import compared

TITLE, MENU = "Prompt length and position", "Prompt length"
PREFILL = (
    "{who} on {nodes}: prefill {short} tokens/s with a prompt of {shortest} tokens, {long} with "
    "{longest}."
)
DECODE = "{who} on {nodes}: {finding}."
DECODING = "decoding after a prompt of {longest} tokens is"
SHORTEST = "after one of {shortest}"
APART = (
    "{who}, with a prompt of {prompt} tokens: on {nodes} prefill is at {prefill} times the speed "
    "on {fewest}, decode at {decode} times."
)
FROM_NOTHING = (
    "The benchmark of {who} generates from an empty context, not after the prompt, so its decode "
    "does not depend on the prompt."
)
SLOPE = (
    "{who} on {nodes}, with a prompt of {prompt} tokens: from position {first} to {last} a token "
    "takes {slope} ms more for every {per} positions."
)
SLOPE_UNCLEAR = (
    "{who} on {nodes}, with a prompt of {prompt} tokens: it is unclear whether a token takes "
    "longer from position {first} to {last}: {slope} ms more for every {per} positions."
)
SLOPES = (
    "The slope of a straight line through the times of each trial's decoded tokens: the median "
    "over trials with its interval. A negative slope: later tokens are faster."
)
READ = (
    "Speed-ups are relative to the fewest nodes with the same prompt, paired by block. Medians "
    "over trials with their intervals, or the range below six trials."
)
HEAD = (
    "Series", "Nodes", "Prompt", "Generated", "Prefill tokens/s", "Prefill speed-up",
    "Decode tokens/s", "Decode speed-up",
)  # fmt: skip
SLOPES_TITLE = "Time of a token by its position: slopes"
SLOPE_HEAD = ("Series", "Nodes", "Prompt", "Positions", "ms more per 1,000", "Trials")
MOST_SAID = 6
"""Groups whose figures are sentences; the table has all."""


def sections(study: Study) -> Iterator[Section]:
    """Make the section of a benchmark whose matrix names numbers of tokens as axes."""
    found = lengths_of(study.run, study.on_nodes, study.family)
    if not found:
        return
    positions = positions_of(found, study.tables.tokens)
    blocks: list[Block] = [Prose(tuple(told)) for told in _told(found, study.family) if told]
    blocks += charted(filter(None, (prefill_chart(found), decode_chart(found))))
    file = File("prompt-lengths", length_frame(found))
    blocks.append(Tabled(TITLE, _table(found), (say(READ),), file))
    if positions:
        blocks.append(_positions(positions))
    yield Section("prompt-length", say(TITLE), tuple(blocks), say(MENU))


def _told(found: Sequence[Lengths], family: Family) -> Iterator[list[Sentence]]:
    """Paragraphs: of each group one a number of nodes, and one that compares these numbers."""
    for group in found[:MOST_SAID]:
        who = say("{model} with {label}", model=group.model, label=group.label)
        for own in group.by_nodes.values():
            yield [*_by_length(who, own, family, is_after=group.decodes_after_prompt)]
        yield [*_apart(who, group)]
        if not group.decodes_after_prompt:
            yield [say(FROM_NOTHING, who=who)]


def _by_length(
    who: str, own: Sequence[LengthCell], family: Family, *, is_after: bool
) -> Iterator[Sentence]:
    """Say what the longest prompt does on some number of nodes, compared with the shortest."""
    first, last = own[0], own[-1]
    if first is last:
        return
    where = nodes(last.nodes)
    if first.prefill and last.prefill:
        yield say(
            PREFILL,
            who=who,
            nodes=where,
            short=interval(first.prefill),
            shortest=first.prompt,
            long=interval(last.prefill),
            longest=last.prompt,
        )
    if is_after and (found := last.against_shortest):
        longest = say(DECODING, longest=last.prompt)
        shortest = say(SHORTEST, shortest=first.prompt)
        told = compared(longest, shortest, "that", found, within(family.margin))
        yield say(DECODE, who=who, nodes=where, finding=told)


def _apart(who: str, group: Lengths) -> Iterator[Sentence]:
    """Say how the most nodes scale prefill and decode, with the shortest and the longest prompt."""
    fewest, most = min(group.by_nodes), max(group.by_nodes)
    first, *longer = group.by_nodes[most]
    for one in (first, *longer[-1:]):
        if one.prefill_speed_up and one.decode_speed_up and most > fewest:
            yield say(
                APART,
                who=who,
                nodes=nodes(most),
                fewest=nodes(fewest),
                prompt=one.prompt,
                prefill=ratio(one.prefill_speed_up),
                decode=ratio(one.decode_speed_up),
            )


def length_frame(found: Sequence[Lengths]) -> pd.DataFrame:
    """Make `prompt-lengths.csv`: a row a cell, numbers as numbers."""
    return pd.DataFrame([_row(group, one) for group in found for one in group.cells])


def _row(group: Lengths, one: LengthCell) -> dict[str, Any]:
    against = one.against_shortest
    return {
        "model": group.model,
        "series": group.label,
        "nodes": one.nodes,
        "prompt_tokens": one.prompt,
        "generate_tokens": one.generated,
        **_columns("prefill_tokens_per_s", one.prefill),
        **_columns("prefill_speed_up", one.prefill_speed_up),
        **_columns("decode_tokens_per_s", one.decode),
        **_columns("decode_speed_up", one.decode_speed_up),
        "decode_after_prompt": "yes" if group.decodes_after_prompt else "no",
        **_columns("decode_of_shortest", against.ratio if against else None),
        "decode_of_shortest_verdict": str(against.finding) if against else None,
    }


def _columns(name: str, found: Estimate | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _table(found: Sequence[Lengths]) -> Table:
    several = len({group.model for group in found}) > 1
    rows = [
        [
            say("{model}, {label}", model=group.model, label=group.label)
            if several
            else group.label,
            str(one.nodes),
            str(one.prompt),
            str(one.generated),
            interval(one.prefill, brief=True),
            ratio(one.prefill_speed_up, brief=True) if one.prefill_speed_up else "",
            interval(one.decode, brief=True),
            ratio(one.decode_speed_up, brief=True) if one.decode_speed_up else "",
        ]
        for group in found
        for one in group.cells
    ]
    return table(HEAD, rows, HEAD[1:])


def _positions(found: Sequence[Positions]) -> Part:
    """Make the part on tokens by their position."""
    told = tuple(_slope(one) for one in found[:MOST_SAID])
    chart = position_chart(found)
    rows = [
        [
            one.group.label,
            str(one.of.nodes),
            str(one.of.prompt),
            f"{one.first}{DASH}{one.last}",
            interval(one.slope, brief=True),
            str(one.slope.n),
        ]
        for one in found
    ]
    file = File("position-slopes", slope_frame(found))
    shown = Tabled(SLOPES_TITLE, table(SLOPE_HEAD, rows, SLOPE_HEAD[1:]), (say(SLOPES),), file)
    blocks = (Prose(told), *charted([chart] if chart else []), shown)
    return Part(say(SLOPES_TITLE), blocks)


def _slope(one: Positions) -> Sentence:
    low, high = one.slope.low, one.slope.high
    is_clear = one.slope.has_interval and low is not None and high is not None and low * high > 0
    return say(
        SLOPE if is_clear else SLOPE_UNCLEAR,
        who=say("{model} with {label}", model=one.group.model, label=one.group.label),
        nodes=nodes(one.of.nodes),
        prompt=one.of.prompt,
        first=one.first,
        last=one.last,
        slope=interval(one.slope),
        per=PER,
    )


def slope_frame(found: Sequence[Positions]) -> pd.DataFrame:
    """Make `position-slopes.csv`: a row a cell whose engine reports the time of each token."""
    return pd.DataFrame(
        [
            {
                "model": one.group.model,
                "series": one.group.label,
                "nodes": one.of.nodes,
                "prompt_tokens": one.of.prompt,
                "first_position": one.first,
                "last_position": one.last,
                **_columns("ms_more_per_1000", one.slope),
                "trials": one.slope.n,
            }
            for one in found
        ]
    )
