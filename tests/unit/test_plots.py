"""A chart draws its table, the whole of it and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.cells.scaling import scalings_of
from analysis.charts import charts, frames, pictures, plots, style
from analysis.charts.chart import Chart
from analysis.charts.selection import MOST_SERIES, selection_of
from analysis.model.wire import NOTHING
from tests.doubles.run_frames import Outcomes, make_series

DLLAMA, LLAMA = "distributed-llama", "llama.cpp"
RUN: Outcomes = {
    (DLLAMA, 1): [100.0, 101, 99, 102],
    (DLLAMA, 2): [160.0, 165, 150, 155],
    (DLLAMA, 4): [200.0, 210, "failed", "failed"],
    (DLLAMA, 8): ["unavailable"] * 4,
    (LLAMA, 1): [220.0, 215, 225, 218],
    (LLAMA, 2): ["pending"] * 4,
}


def drawn(outcomes: Outcomes = RUN) -> dict[str, Chart]:
    series = make_series(outcomes)
    shown = selection_of(series)
    made = (
        *charts.decode_charts(series, shown),
        *charts.scaling_charts(scalings_of(series), shown),
        *charts.time_charts(series, shown, lambda _cell: NOTHING),
        *charts.prompt_charts(series, shown),
    )
    return {chart.name: chart for chart in made}


def points(figure: Figure) -> list[float]:
    """Heights of all faint dots."""
    return sorted(
        float(y)
        for collection in figure.axes[0].collections
        if collection.get_offsets().size and type(collection).__name__ == "PathCollection"
        for y in np.asarray(collection.get_offsets())[:, 1]
    )


def marks(figure: Figure) -> dict[float, object]:
    """Heights of all large marks, and what they are filled with."""
    return {
        float(y): line.get_markerfacecolor()
        for line in figure.axes[0].lines
        if line.get_linestyle() == "None"
        for y in np.asarray(line.get_ydata())
    }


def test_engines_that_report_times_are_drawn_although_others_are_faster() -> None:
    alone = {(LLAMA, f"pi{n}", 1): [400.0 + n] * 6 for n in range(8)}
    slower = {(DLLAMA, f"pi{n}+pi9", 2): [50.0 + n] * 6 for n in range(4)}
    one = {(DLLAMA, "pi1", 1): [90.0] * 6}
    series = make_series({**alone, **slower, **one}, axes=("engine", "on", "nodes"))
    shown = selection_of(series)
    split, traffic = charts.time_charts(series, shown, lambda _cell: NOTHING)
    assert len(split.data) == len(slower) + 1
    assert len(re.findall(r"[2] nodes", str([t.get_text() for t in texts(split.figure)]))) == 4
    assert "are drawn" not in split.understanding
    assert "A series without traffic" in traffic.understanding
    assert max(y for line in traffic.figure.axes[0].lines for y in line.get_ydata()) > 0


def texts(figure: Figure) -> list[Text]:
    """The labels of the axis of bars."""
    return list(figure.axes[0].get_yticklabels())


@pytest.mark.parametrize("name", ["decode-rate", "decode-time", "speed-up", "prompt-rate"])
def test_every_trial_is_a_dot(name: str) -> None:
    chart = drawn()[name]
    trials = chart.data[chart.data["kind"] == frames.TRIAL]["value"].astype(float)
    assert points(chart.figure) == pytest.approx(sorted(trials))


def test_the_table_of_a_chart_has_every_done_trial_and_every_cell() -> None:
    data = drawn()["decode-rate"].data
    done = sum(not isinstance(o, str) for results in RUN.values() for o in results)
    assert (data["kind"] == frames.TRIAL).sum() == done
    assert (data["kind"] != frames.TRIAL).sum() == len(RUN)


def test_medians_are_drawn_where_the_table_has_them() -> None:
    chart = drawn()["decode-rate"]
    medians = chart.data[chart.data["kind"] == frames.MEDIAN]
    assert set(medians["value"].astype(float)) <= set(marks(chart.figure))


def test_cells_without_a_measurement_are_marked_with_their_reason() -> None:
    chart = drawn()["decode-rate"]
    assert chart.footnotes == (
        "unavailable: 8 nodes are more than the 6 KV heads of the model",
        "pending",
    )
    labels = [text.get_text() for text in chart.figure.axes[0].texts]
    assert {"1", "2"} <= set(labels)


def test_a_median_of_fewer_trials_than_planned_is_hollow() -> None:
    chart = drawn()["decode-rate"]
    fills = marks(chart.figure)
    hollow, whole = (
        next(value for value in fills if low < value < high)
        for low, high in ((200, 210), (100, 102))
    )
    assert hollow == pytest.approx(2 / (1 / 200 + 1 / 210)), "the median of rates is that of times"
    assert fills[hollow] == style.PAPER
    assert fills[whole] != style.PAPER
    assert "hollow" in chart.understanding


def test_the_ideal_line_starts_at_the_baseline_and_doubles_with_the_nodes() -> None:
    axes = drawn()["speed-up"].figure.axes[0]
    ideals = [line for line in axes.lines if line.get_color() == style.MUTED and line.is_dashed()]
    assert [list(line.get_ydata()) for line in ideals] == [[1, 8.0]]


def test_the_baseline_is_named_with_its_absolute_speed() -> None:
    assert "Baseline: distributed-llama on one node, 100" in drawn()["speed-up"].understanding


def test_bars_stack_compute_and_sync_to_the_whole() -> None:
    chart = drawn()["time-split"]
    widths = sorted(patch.get_width() for patch in chart.figure.axes[0].patches)
    values = sorted([*chart.data["compute_ms"], *chart.data["sync_ms"]])
    assert widths == pytest.approx(values)
    assert "Not shown: llama.cpp" in chart.understanding


def test_a_wide_range_of_speeds_gets_a_logarithmic_axis() -> None:
    wide = drawn({(DLLAMA, 1): [1000.0] * 3, (DLLAMA, 2): [10.0] * 3})["decode-rate"]
    narrow = drawn({(DLLAMA, 1): [100.0] * 3, (DLLAMA, 2): [50.0] * 3})["decode-rate"]
    assert wide.figure.axes[0].get_yscale() == "log"
    assert narrow.figure.axes[0].get_ylim()[0] == 0


def test_numbers_of_nodes_are_written_where_there_is_room() -> None:
    def written(counts: tuple[int, ...]) -> list[str]:
        run: Outcomes = {("distributed-llama", n): [float(n)] for n in counts}
        (axes,) = drawn(run)["decode-rate"].figure.axes
        assert len(axes.get_xticks()) == len(counts)
        return [label.get_text() for label in axes.get_xticklabels()]

    assert written((1, 2, 3, 4, 6, 8)) == ["1", "2", "3", "4", "6", "8"]
    many = [int(text) for text in written(tuple(range(1, 64))) if text]
    assert many[:4] == [1, 2, 3, 4]
    assert np.diff(np.log2(many)).min() > 0.15


def test_each_model_has_its_own_panel_and_a_series_one_colour_in_all() -> None:
    series = make_series(
        {
            (model, engine, n): [100.0 * n] * 3
            for model in ("a", "b")
            for engine in (DLLAMA, LLAMA)
            for n in (1, 2)
        },
        axes=("model", "engine", "nodes"),
    )
    rate = charts.decode_charts(series, selection_of(series))[0].figure
    assert [axes.get_title(loc="left") for axes in rate.axes] == ["a", "b"]
    legend = [text.get_text() for text in rate.legends[0].get_texts()]
    assert legend == [DLLAMA, LLAMA]


def test_files_of_a_chart_hold_the_same_table_and_a_well_formed_picture(tmp_path: Path) -> None:
    chart = drawn()["decode-rate"]
    inline = pictures.write(chart, tmp_path)
    written = pd.read_csv(tmp_path / "decode-rate.csv")
    expected = chart.data.reset_index(drop=True)
    assert list(written.columns) == list(expected.columns)
    assert written["value"].tolist() == pytest.approx(expected["value"].tolist(), nan_ok=True)
    assert (tmp_path / "decode-rate.png").read_bytes().startswith(b"\x89PNG")
    ET.parse(tmp_path / "decode-rate.svg")  # noqa: S314 - our own file
    ET.fromstring(inline.replace("<svg ", '<svg xmlns:xlink="x" ', 1))  # noqa: S314 - likewise


def test_the_picture_in_the_page_follows_its_colours_and_keeps_its_ids(tmp_path: Path) -> None:
    inline = pictures.write(drawn()["decode-rate"], tmp_path)
    assert "var(--ink)" in inline
    assert "var(--series-1)" in inline
    assert not [color for color in style.CSS_VARIABLES if color in inline]
    ids = re.findall(r'\bid="([^"]+)"', inline)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("decode-rate-") for name in ids)
    used = set(re.findall(r'href="#([^"]+)"', inline)) | set(re.findall(r"url\(#([^)]+)\)", inline))
    assert used <= set(ids)


def test_a_run_without_measurements_has_no_charts() -> None:
    assert drawn({(DLLAMA, 1): ["failed"], (DLLAMA, 2): ["pending"]}) == {}


def test_drawing_leaves_no_global_style_behind() -> None:
    before = dict(plots.mpl.rcParams)
    drawn()
    assert dict(plots.mpl.rcParams) == before


def test_of_more_series_than_colours_only_those_with_one_have_their_best_number_marked() -> None:
    steady = (1.0, 1.01, 0.99, 1.005, 0.995, 1.002)
    outcomes: Outcomes = {
        (nodes, threads): [speed * threads * one for one in steady]
        for nodes, speed in ((1, 10.0), (2, 20.0), (4, 10.0))
        for threads in range(1, len(style.PALETTE) + 3)
    }
    series = make_series(outcomes, axes=("nodes", "threads"))
    chart = charts.scaling_charts(scalings_of(series), selection_of(series))[0]
    best = chart.data[chart.data["is_knee"].fillna(value=False).astype(bool)]
    rings = [one for one in chart.figure.axes[0].lines if one.get_markersize() == 15]
    assert len(best) == len(style.PALETTE) + 2
    assert len(rings) == MOST_SERIES


def test_of_many_cells_the_bars_keep_each_series_from_its_fewest_nodes_to_its_most() -> None:
    data = pd.DataFrame(
        [("m", series, count) for series in "abcd" for count in range(63, 0, -1)],
        columns=["model", "series", "nodes"],
    )
    kept = charts._legible(data)
    assert len(kept) == charts.MOST_BARS
    for _, series in kept.groupby("series"):
        assert list(series["nodes"]) == sorted(set(series["nodes"]))
        assert {1, 63} <= set(series["nodes"])
    assert charts._legible(data.head(60)).equals(data.head(60))
