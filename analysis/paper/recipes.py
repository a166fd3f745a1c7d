"""How a notebook draws each chart from its CSV file, with pandas and Matplotlib alone."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PART = re.compile(r"^(run\d+-)?(part-[a-z][a-z0-9_]*-)?")

FUNCTIONS = '''\
import pathlib
import textwrap

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

FONTS = sorted(pathlib.Path("../fonts").glob("*.ttf"))  # of letters that Matplotlib's own lacks
for font in FONTS:
    mpl.font_manager.fontManager.addfont(font)
KNOWN = [mpl.font_manager.get_font(font).family_name for font in FONTS]
mpl.rcParams["font.family"] = list(dict.fromkeys(["DejaVu Sans", *KNOWN]))

MARKERS = "osD^vPX*"
DASHES = ["-", "--", ":", "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 2))]
SINGLE = ("trial", "block", "answer", "pair")


def name_of(key):
    """The values that a group has in common, as text in short lines; empty ones are left out."""
    values = key if isinstance(key, tuple) else (key,)
    return textwrap.fill(", ".join(str(value) for value in values if pd.notna(value)), 36)


def height_of(names):
    """Inches of a chart with a row for each name, which may have several lines."""
    return 0.9 + sum(0.2 + 0.15 * (1 + name.count("\\n")) for name in names)


def groups_of(data, by):
    """Name and rows of each group, in the order of the file."""
    for key, rows in data.groupby(by, sort=False, dropna=False):
        yield name_of(key), rows


def split(data):
    """Single trials, and the rows that summarise them."""
    if "kind" not in data:
        return data.iloc[:0], data
    single = data["kind"].isin(SINGLE)
    return data[single], data[~single & (data["kind"] != "missing")]


def ends(rows, y, low, high):
    """Lengths of error bars, nothing where an end is missing."""
    if low not in rows or high not in rows:
        return None
    below, above = rows[y] - rows[low], rows[high] - rows[y]
    return np.nan_to_num(np.clip([below.astype(float), above.astype(float)], 0, None))


def over(data, x, y, by, ylabel, low="low", high="high", line=True):
    """A quantity over another one: a line a group, dots for single trials."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    single, summary = split(data)
    for place, (name, rows) in enumerate(groups_of(summary, by)):
        rows = rows.sort_values(x)
        axes.errorbar(
            rows[x], rows[y], yerr=ends(rows, y, low, high), label=name, capsize=2,
            marker=MARKERS[place % len(MARKERS)],
            linestyle=DASHES[place % len(DASHES)] if line else "none",
        )
    for name, rows in groups_of(single, by) if len(single) else ():
        axes.plot(rows[x], rows[y], ".", color="grey", alpha=0.5, zorder=0)
    axes.set(xlabel=x.replace("_", " "), ylabel=ylabel)
    axes.legend(fontsize="small")
    return axes


def in_rows(data, label, y, xlabel, low="low", high="high"):
    """A row for each label: dots for single trials, a mark with its interval for the summary."""
    names = list(dict.fromkeys(name for name, _ in groups_of(data, label)))
    figure, axes = plt.subplots(figsize=(6, height_of(names)), layout="constrained")
    single, summary = split(data)
    for name, rows in groups_of(single, label) if len(single) else ():
        axes.plot(rows[y], [names.index(name)] * len(rows), ".", color="grey", alpha=0.5)
    for name, rows in groups_of(summary, label):
        at = [names.index(name)] * len(rows)
        axes.errorbar(rows[y], at, xerr=ends(rows, y, low, high), fmt="o", capsize=2, color="black")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
    return axes


def stacked(data, label, parts, xlabel):
    """A bar for each row, made of its parts."""
    names = [name_of(tuple(row)) for row in data[label].itertuples(index=False)]
    figure, axes = plt.subplots(figsize=(6, height_of(names)), layout="constrained")
    left = np.zeros(len(data))
    for place, part in enumerate(parts):
        width = data[part].fillna(0).to_numpy()
        axes.barh(range(len(data)), width, left=left, label=part.replace("_", " "),
                  color=str(0.15 + 0.7 * place / max(1, len(parts) - 1)), edgecolor="black",
                  linewidth=0.4)
        left = left + width
    axes.set_yticks(range(len(data)), names)
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
    axes.legend(fontsize="small")
    return axes


def many(data, x, columns, by, ylabel):
    """Several columns over another one, a line for each of a group."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for place, (name, rows) in enumerate(groups_of(data, by)):
        rows = rows.sort_values(x)
        for dash, column in zip(DASHES, columns):
            known = rows[rows[column].notna()]
            if len(known):
                axes.plot(known[x], known[column], linestyle=dash,
                          marker=MARKERS[place % len(MARKERS)],
                          label=f"{name}: {column.replace('_', ' ')}")
    axes.set(xlabel=x.replace("_", " "), ylabel=ylabel)
    axes.legend(fontsize="small")
    return axes
'''

_SERIES = '["model", "series"]'
RECIPES: Mapping[str, str] = {
    "decode-rate": f'over(data, "nodes", "value", {_SERIES}, "tokens/s")',
    "decode-time": f'over(data, "nodes", "value", {_SERIES}, "ms per token")',
    "prompt-rate": f'over(data, "nodes", "value", {_SERIES}, "prompt tokens/s")',
    "speed-up": f'over(data, "nodes", "value", {_SERIES}, "speed-up")',
    "efficiency": f'over(data, "nodes", "value", {_SERIES}, "efficiency (%)")',
    "laws-over-nodes": 'over(data, "nodes", "value", ["model", "series", "line"], "tokens/s")',
    "time-split": 'stacked(data, ["model", "series", "nodes"], ["compute_ms", "sync_ms"], "ms")',
    "cost-terms": (
        'stacked(data, ["model", "series", "nodes"], ["memory_ms", "computing_ms", "latency_ms", '
        '"transfer_ms", "waiting_ms"], "ms")'
    ),
    "traffic": (
        'many(data, "nodes", ["sent_kib", "received_kib", "predicted_sent_kib", '
        f'"predicted_received_kib"], {_SERIES}, "KiB per token")'
    ),
    "timeline": 'over(data, "begun_s", "times_median", ["outcome"], "times median", line=False)',
    "each-machine": (
        'in_rows(data, ["model", "series", "kind_of_place", "machines", "root"], "value", '
        '"tokens/s")'
    ),
    "sets-of-machines": 'in_rows(data, ["model", "series", "machines"], "value", "tokens/s")',
    "together-or-apart": (
        'over(data.rename(columns={"kind": "way"}), "all_tokens_per_s", "one_tokens_per_s", '
        '["way"], "tokens/s of one user", low="slowest_user", high="fastest_user", line=False)'
    ),
    "prefill-length": (
        'over(data, "prompt_tokens", "value", ["model", "series", "nodes"], "prompt tokens/s")'
    ),
    "decode-length": (
        'over(data, "prompt_tokens", "value", ["model", "series", "nodes"], "tokens/s")'
    ),
    "token-positions": (
        'over(data, "position", "ms", ["model", "series", "nodes", "prompt_tokens"], "ms")'
    ),
    "identical-arms": 'in_rows(data, ["what", "cell"], "value", "arm a to arm b")',
    "first-token": (
        'in_rows(data, ["system"], "value_ms", "ms to the first token", "low_ms", "high_ms")'
    ),
    "whole-answer": (
        'in_rows(data, ["system"], "value_ms", "ms to the whole answer", "low_ms", "high_ms")'
    ),
    "power": 'over(data, "at_s", "watts", ["plug"], "watts")',
    "what-would-help": (
        'in_rows(data, ["model", "series", "nodes", "change"], "times", "times as fast", '
        '"times_low", "times_high")'
    ),
    "tuning-curve": 'many(data, "step", ["loss", "held_out_loss"], ["tuned"], "loss")',
    "gained-and-forgotten": (
        'in_rows(data, ["tuned", "part", "cells", "quantity"], "change", "change")'
    ),
}
"""Name of a chart to the call that draws it; `data` is its CSV file."""
ANY_OTHER = 'data.select_dtypes("number").plot(subplots=True)'


def recipe(chart: str) -> str:
    """The call that draws a chart; of a chart without a recipe, its columns of numbers."""
    return RECIPES.get(_PART.sub("", chart), ANY_OTHER)
