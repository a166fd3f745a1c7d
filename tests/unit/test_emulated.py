"""What an emulated processor takes is no measurement, and a report does not show it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.cells.cells import cell_results
from analysis.cells.series import series_of
from analysis.charts.frames import measured
from analysis.report import compose
from collect.run import RunManifest
from collect.tables import Tables
from tests.doubles.run_frames import make_frames

DLLAMA = "distributed-llama"
SPEEDS = {(DLLAMA, 1): [100.0] * 6, (DLLAMA, 2): [211.0] * 6, (DLLAMA, 4): [377.0] * 6}


def study(emulated: set[str]) -> tuple[RunManifest, Tables]:
    run, tables = make_frames(SPEEDS)
    nodes = {name: {**facts, "emulated": name in emulated} for name, facts in run.nodes.items()}
    return run.model_copy(update={"nodes": nodes}), tables


def page(folder: Path, emulated: set[str]) -> tuple[str, str]:
    """The spoken verdict, and the Markdown."""
    spoken = compose(*study(emulated), folder)
    return spoken, (folder / "report.md").read_text()


def test_only_cells_without_an_emulated_node_have_speeds(tmp_path: Path) -> None:
    spoken, text = page(tmp_path, {"pi2"})
    assert spoken.startswith("One node decodes 100")
    assert "emulated processors: no speed of 2 cells" in spoken.lower()
    assert "The processor of pi2 is emulated" in text
    assert "speed of 2 of 3 measured cells is therefore not shown" in text
    cells = pd.read_csv(tmp_path / "cells.csv")
    assert list(cells["state"]) == ["complete", "complete, emulated", "complete, emulated"]
    figures = cells.loc[1:, "tokens_per_s":]
    traffic = ["root_kib_per_token"]  # the same on whatever processor
    assert figures.drop(columns=traffic).isna().all(axis=None)


@pytest.mark.parametrize("emulated", [{"pi2"}, {"pi1", "pi2", "pi3", "pi4"}])
def test_no_file_of_the_report_holds_a_speed_of_an_emulated_cell(
    tmp_path: Path, emulated: set[str]
) -> None:
    page(tmp_path, emulated)
    for file in tmp_path.iterdir():
        if file.suffix in {".html", ".md", ".csv"} and file.name != "published.csv":
            text = re.sub(r"<[^>]*>", " ", file.read_text())  # drawings have coordinates
            assert not re.search(r"\b(211|377|2\.11|3\.77)\b", text), file.name


def test_where_every_cell_was_emulated_no_speed_was_measured(tmp_path: Path) -> None:
    spoken, _ = page(tmp_path, {"pi1"})
    assert spoken.startswith("No speed was measured: an emulated processor took part")


def test_without_emulation_the_same_run_has_its_speeds(tmp_path: Path) -> None:
    spoken, text = page(tmp_path, set())
    assert spoken.startswith("Four nodes are 3.77")
    assert "emulated" not in spoken + text.replace("| emulated | no |", "")


def test_texts_and_traffic_of_an_emulated_cell_stay() -> None:
    run, tables = study({"pi2"})
    tables.trials["sent_kib_per_token"] = 12.0
    tables.trials["decode_ms_per_token"] = 12.0
    series = series_of(cell_results(run, tables.trials))
    sent = measured(series, "sent_kib_per_token")
    assert list(sent[sent["kind"] == "median"]["nodes"]) == [1, 2, 4]
    times = measured(series, "decode_ms_per_token")
    assert list(times[times["kind"] == "median"]["nodes"]) == [1]
