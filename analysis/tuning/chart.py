"""The charts of fine-tuning: figures before and after, and the course of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.text.sentence import Sentence, say, together
from analysis.text.wording import listing, number
from analysis.tuning.changes import Changed, Quantity, frame_of
from analysis.tuning.sentences import WHOLE_RUN, level, signed
from models.tuned import TunedRecord

READ = (
    "Hollow: the base. Filled: the tuned model. The bar around the filled mark is the 95 % "
    "interval of the change. If it reaches the hollow mark, no difference is shown. The result in "
    "the table is stricter: there all changes of the report are corrected for one another."
)
LESS, MORE = "Fewer bits per byte are better.", "More right answers are better."
RATED = "Higher ratings are better."
NO_BAR = "No bar: too few documents or questions."
MOST_ROWS = 24
CUT = "{drawn} of {rows} figures are drawn; the table has all."
BETTER: Mapping[Quantity, str] = {
    Quantity.BITS: LESS, Quantity.RIGHT: MORE, Quantity.RATED: RATED,
}  # fmt: skip
AXES: Mapping[Quantity, str] = {
    Quantity.BITS: "bits per byte", Quantity.RIGHT: "% of answers right",
    Quantity.RATED: "rating, 1 to 5",
}  # fmt: skip
CHANGED = "{part}, {tuned}, {where}: {before} to {after} {unit} ({change})"
REST = "{rest} more figures are in the CSV"
ROW_IN = 0.52
LINE_CHARACTERS = 78
"""That fit above a row."""

CURVE_READ = (
    "Loss in nats a token over the steps of training; lower is better. Solid: the examples it was "
    "trained on, mean since the point before. Dashed with marks: the held-out examples."
)
OVERFITTED = (
    "Where the dashed line rises while the solid one falls, the model learns its examples by heart."
)
CURVE = "{name}: {losses} after {steps} steps"
LOSS, HELD_OUT = "loss {first} to {last}", "held-out loss {first} to {last}"


def change_chart(rows: Sequence[Changed]) -> Chart | None:
    """The chart of what was gained and forgotten; None where nothing but speed was compared."""
    found = [row for row in rows if row.change is not None]
    if not found:
        return None
    drawn = found[:MOST_ROWS]
    kinds = [kind for kind in BETTER if any(row.quantity is kind for row in drawn)]
    understanding = together(
        [
            say(READ),
            *(say(BETTER[kind]) for kind in kinds),
            say(NO_BAR) if any(row.change and row.change.low is None for row in drawn) else "",
            say(CUT, drawn=len(drawn), rows=len(found)) if len(drawn) < len(found) else "",
        ]
    )
    return Chart(
        "gained-and-forgotten", "Gained and forgotten", understanding,
        frame_of(found), partial(_figure, drawn, kinds), description=_described(found),
    )  # fmt: skip


def _described(rows: Sequence[Changed]) -> Sentence:
    told = [
        say(
            CHANGED,
            part=row.part or WHOLE_RUN,
            tuned=row.arms.tuned,
            where=row.arms.where,
            before=level(row.quantity, row.change.before),
            after=level(row.quantity, row.change.after),
            unit=row.name,
            change=signed(row.quantity, row.change.change),
        )
        for row in rows[:MOST_ROWS]
        if row.change is not None
    ]
    rest = len(rows) - len(told)
    return say("{all}.", all=together([*told, *([say(REST, rest=rest)] if rest > 0 else [])], "; "))


def _figure(rows: Sequence[Changed], kinds: Sequence[Quantity]) -> Figure:
    counts = [sum(row.quantity is kind for row in rows) for kind in kinds]
    with mpl.rc_context(dict(style.RC)):
        height = sum(0.75 + ROW_IN * count for count in counts)
        figure = Figure(figsize=(style.WIDTH_IN, height), layout="constrained")
        panels = figure.subplots(
            len(kinds), squeeze=False, gridspec_kw={"height_ratios": [0.5 + n for n in counts]}
        )
        for (axes,), kind in zip(panels, kinds, strict=True):
            _panel(axes, [row for row in rows if row.quantity is kind], kind)
    return figure


def _panel(axes: Axes, rows: Sequence[Changed], kind: Quantity) -> None:
    axes.grid(visible=False)
    axes.grid(visible=True, axis="x")
    axes.set_yticks([])
    axes.set_xlabel(AXES[kind])
    scale = 100 if kind is Quantity.RIGHT else 1
    several_models = len({row.arms.tuned for row in rows}) > 1
    for at, row in enumerate(rows):
        if row.change is None:
            continue
        change, color = row.change, style.PALETTE[0]
        before, after = scale * change.before, scale * change.after
        mark = at + 0.5
        name = (
            say("{tuned}, {where}", tuned=row.arms.tuned, where=row.arms.where)
            if several_models
            else row.arms.where
        )
        part = say("{part}: ", part=row.part) if row.part else ""
        rubric = say(", {rubric}", rubric=row.rubric) if row.rubric else ""
        _label(axes, at + 0.12, f"{part}{name}{rubric}")
        axes.plot([before, after], [mark, mark], color=style.MUTED, linewidth=1.2, alpha=0.7)
        if change.low is not None and change.high is not None:
            ends = [before + scale * change.low, before + scale * change.high]
            axes.plot(ends, [mark, mark], color=color, linewidth=4, alpha=0.45)
        axes.plot([before], [mark], "o", color=style.INK, markerfacecolor=style.PAPER,
                  markersize=6.5, markeredgewidth=1.4)  # fmt: skip
        axes.plot([after], [mark], "o", color=color, markersize=6.5)
    axes.set_ylim(len(rows), -0.1)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _label(axes: Axes, at: float, text: str) -> None:
    told = text if len(text) <= LINE_CHARACTERS else f"{text[: LINE_CHARACTERS - 1]}…"
    axes.annotate(
        told, (0, at), xycoords=axes.get_yaxis_transform(), va="center", color=style.INK,
        fontsize=8,
    ).set_in_layout(False)  # fmt: skip  # it has its room within the axes


def curve_chart(records: Sequence[TunedRecord]) -> Chart | None:
    """The chart of training; None where no record has a point with a loss."""
    data = curve_frame(records)
    if data[["loss", "held_out_loss"]].isna().all(axis=None):
        return None
    has_both = bool(data["loss"].notna().any() and data["held_out_loss"].notna().any())
    understanding = together([say(CURVE_READ), say(OVERFITTED) if has_both else ""])
    told = [_course(str(name), rows) for name, rows in data.groupby("tuned", sort=False)]
    return Chart(
        "tuning-curve", "Loss during training", understanding, data, partial(_curves, data),
        description=say("{all}.", all=together(told, "; ")),
    )  # fmt: skip


def curve_frame(records: Sequence[TunedRecord]) -> pd.DataFrame:
    """`tuning-curve.csv`: a row a point of a model's training."""
    rows = [
        (record.name, one.step, one.loss, one.held_out_loss, one.tokens_per_s)
        for record in records
        for one in record.curve
    ]
    columns = ["tuned", "step", "loss", "held_out_loss", "tokens_per_s"]
    kinds = dict.fromkeys(columns[2:], "float64")
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def _course(name: str, rows: pd.DataFrame) -> Sentence:
    losses = []
    for column, template in (("loss", LOSS), ("held_out_loss", HELD_OUT)):
        values = rows[column].dropna()
        if len(values):
            first, last = number(values.iloc[0]), number(values.iloc[-1])
            losses.append(say(template, first=first, last=last))
    return say(CURVE, name=name, losses=listing([*losses]), steps=int(rows["step"].max()))


def _curves(data: pd.DataFrame) -> Figure:
    with mpl.rc_context(dict(style.RC)):
        figure = Figure(figsize=(style.WIDTH_IN, style.PANEL_IN), layout="constrained")
        axes = figure.add_subplot(xlabel="step", ylabel="loss, nats a token")
        handles = []
        looks = style.looks(str(name) for name in data["tuned"])
        for name, look in looks.items():
            rows = data[data["tuned"] == name]
            trained, held = (rows.dropna(subset=[name]) for name in ("loss", "held_out_loss"))
            axes.plot(trained["step"], trained["loss"], color=look.color, linewidth=1.4)
            axes.plot(held["step"], held["held_out_loss"], color=look.color, linewidth=1.4,
                      linestyle=(0, (4, 1.5)), marker=look.marker, markersize=4)  # fmt: skip
            handles.append(Line2D([], [], color=look.color, marker=look.marker, label=name))
        if len(handles) > 1:
            figure.legend(handles=handles, loc="outside upper left", handlelength=1.6)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure
