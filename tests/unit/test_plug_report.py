"""Energy at the wall in the report: each figure is in a CSV, each reason once, no scopes mixed."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.blocks import Tabled
from analysis.report import write_report
from analysis.sections import energy
from analysis.study import study_of
from analysis.within import blocks_in, charts_in, files_in
from collect.account import Account
from collect.tables import build_tables, tables_of
from tests.doubles.absent_run import measure
from tests.doubles.parts_run import make_parts_run
from tests.doubles.plug_run import plug_in
from tests.doubles.run_folder import make_run
from tests.doubles.scripted import GENERATED_TOKENS
from tests.unit.test_groups_at_once import everywhere, study

EACH = {"one": (("pi1",), False), "two": (("pi2",), False)}


def report_of(run: Path) -> tuple[str, dict[str, pd.DataFrame]]:
    """The section's tables and sentences as text, and its files by their names."""
    account = Account.read(run)
    (section,) = energy.sections(study_of(account.manifest, tables_of(account)))
    told = []
    for block in blocks_in(section):
        if isinstance(block, Tabled):
            told.append(" | ".join(block.table.columns))
            told += [" | ".join(cell.text for cell in row) for row in block.table.rows]
        told.append(str(getattr(block, "text", "")))
    frames = {file.stem: file.data for file in files_in([section])}
    charts = {chart.name: chart.data for chart in charts_in([section])}
    return "\n".join([*told, *(chart.title for chart in charts_in([section]))]), frames | charts


def plugged(folder: Path, *, nodes: tuple[int, ...] = (1, 2), **options: object) -> Path:
    run = make_run(folder / "results", engines=("llama.cpp",), nodes=nodes, repeats=3,
                   unavailable={}, failed=(), retried=())  # fmt: skip
    feeds = options.pop("feeds", EACH)
    return plug_in(run, feeds, lambda _name, at_s: 4.0 + (at_s > 20), **options)  # type: ignore[arg-type]


def test_joules_of_tokens_tokens_of_a_watt_hour_and_what_is_above_idle(tmp_path: Path) -> None:
    section, files = report_of(plugged(tmp_path))
    data = files["energy-wall"].set_index("nodes")

    total_j = sum(4.0 + (second + 0.5 > 20) for second in range(60))
    for nodes in (1, 2):
        row = data.loc[nodes]
        assert row["trial_j"] == pytest.approx(nodes * total_j)
        assert row["j_per_token"] == pytest.approx(nodes * total_j / 16)
        assert row["above_idle_j_per_token"] == pytest.approx(nodes * (total_j - 180) / 16)
        assert row["tokens_per_wh"] == pytest.approx(3600 * 16 / total_j / nodes)
        assert row["error_share"] == pytest.approx(5 / total_j)
        assert row["trials"] == 3
        assert row["watts"] == pytest.approx(nodes * total_j / 60)
        assert f"llama.cpp | {nodes} |" in section
    assert "All figures include: whole nodes, without the switch." in section
    assert "Power during a typical trial" in section
    assert "distributing it to the workers and prefill" in section
    assert data["j_per_answer"].isna().all()
    assert "Not measured" not in section
    curve = files["power"]
    assert set(curve["plug"]) == {"one", "two"}
    assert len(curve) == 120
    assert "energy" not in files, "nothing was counted inside machines"


def test_other_scopes_are_other_rows_and_are_named(tmp_path: Path) -> None:
    run = plugged(tmp_path, feeds={"strip": (("pi1", "pi2"), True)})
    section, files = report_of(run)
    scopes = files["energy-wall"].set_index("nodes")["scope"]
    assert scopes[1] == "whole nodes and the switch, with pi2, which took no part"
    assert scopes[2] == "whole nodes and the switch"
    assert "Compare only rows that include the same." in section
    assert section.count("whole nodes and the switch") >= 2


def test_a_plug_that_was_moved_makes_a_row_of_each_scope(tmp_path: Path) -> None:
    run = plugged(tmp_path, nodes=(1,))
    (first, *_) = sorted((run / "attempts").iterdir())
    record = (first / "attempt.json").read_text()
    (first / "attempt.json").write_text(
        record.replace('"feeds_switch": false', '"feeds_switch": true')
    )
    _, files = report_of(run)
    data = files["energy-wall"].set_index("scope")
    assert data["trials"].to_dict() == {
        "whole nodes and the switch": 1,
        "whole nodes, without the switch": 2,
    }


def test_why_a_plug_failed_is_told_once(tmp_path: Path) -> None:
    reason = "it did not answer within 2 s"
    section, files = report_of(plugged(tmp_path, broken={"two": reason}))
    assert section.count(reason) == 1
    assert "llama.cpp | 1 |" in section
    assert "llama.cpp | 2 |" not in section
    plugs = files["energy-plugs"].set_index("plug")
    assert plugs.loc["two", "measured"] == 0
    assert plugs.loc["two", "reason"] == reason


def test_a_node_without_a_plug_is_named(tmp_path: Path) -> None:
    section, _ = report_of(plugged(tmp_path, feeds={"one": (("pi1",), False)}))
    assert "No figure for cells with pi2: not behind a plug." in section


def test_electricity_has_its_price(tmp_path: Path) -> None:
    price = {"per_kwh": 0.36, "currency": "EUR"}
    _, files = report_of(plugged(tmp_path, electricity=price))
    wall = files["energy-wall"].set_index("nodes")
    data = files["energy-prices"].set_index("nodes")
    for nodes in (1, 2):
        assert data.loc[nodes, "million_tokens"] == pytest.approx(
            wall.loc[nodes, "j_per_token"] * 1e6 / 3.6e6 * 0.36
        )
        assert data.loc[nodes, "currency"] == "EUR"


def test_a_long_trial_is_drawn_with_fewer_readings(tmp_path: Path) -> None:
    _, files = report_of(plugged(tmp_path, nodes=(1,), window_s=2000.0))
    curve = files["power"]
    assert 200 < len(curve) <= 301
    assert curve["at_s"].max() > 1900


def test_each_part_of_a_run_has_its_own_figures(tmp_path: Path) -> None:
    speed = plugged(tmp_path / "speed")
    whole = make_parts_run(tmp_path / "results", {"speed": speed})
    index = write_report(whole, tmp_path / "reports").index
    names = {path.name for path in index.parent.glob("*.csv")}
    assert {"part-speed-energy-wall.csv", "part-speed-energy-plugs.csv"} <= names
    assert 'id="part-speed-wall"' in index.read_text()


def test_what_counts_twice_has_no_total(tmp_path: Path) -> None:
    feeds = {"a": (("pi1",), False), "b": (("pi1", "pi2"), False)}
    section, _ = report_of(plugged(tmp_path, feeds=feeds))
    assert "J/token" not in section


def test_readings_of_a_stranger_do_not_break_a_report(tmp_path: Path) -> None:
    run = plugged(tmp_path)
    for path in (run / "attempts").glob("*/power.csv"):
        content = path.read_bytes()
        hostile = b"plug,at_s,watts,counter_j\nzero,1,1,1\none,nan,5,\n\xff,\x1b,1,1\n" * 9
        path.write_bytes(hostile[: len(content)].ljust(len(content)))
    assert build_tables(run).power.empty
    report_of(run)


def at_once(folder: Path) -> Path:
    """Two deployments of one node each, one of which ends early, and one of two nodes."""
    result, _ = measure(folder, everywhere(folder), study("2x1", "1x2"), nodes=2)
    return plug_in(result.folder, EACH, lambda *_: 5.0, ended_s=(24.0, 60.0))


def test_of_several_at_once_the_window_is_said_and_where_it_is_not_that_of_all(
    tmp_path: Path,
) -> None:
    section, files = report_of(at_once(tmp_path))
    data = files["energy-wall"].sort_values("j_per_token")
    several, one = data.to_dict("records")

    assert several["j_per_token"] == pytest.approx(600 / 2 / GENERATED_TOKENS)
    assert several["tokens_per_wh"] == pytest.approx(3600 * 2 * GENERATED_TOKENS / 600)
    assert several["overlap"] == pytest.approx(0.4)
    assert one["j_per_token"] == pytest.approx(600 / GENERATED_TOKENS)
    assert pd.isna(one["overlap"])
    assert "from the start of the first root to the end of the last" in section
    assert section.count("of all ran in only 40 % of the window") == 1
    assert "one user of 2 at once, each of 1 node" not in section
    assert "plugs were not read" not in section


def test_what_was_measured_when_plugs_were_not_read_is_named(tmp_path: Path) -> None:
    run = at_once(tmp_path)
    for path in (run / "attempts").glob("*/attempt.json"):
        record = json.loads(path.read_text())
        if record.pop("deployments"):
            record["deployments"] = [
                {"nodes": ["pi1"], "ended_s": 9.0},
                {"nodes": ["pi2"], "ended_s": 9.0},
            ]
            record["plugs"] = {}
            path.write_text(json.dumps(record))
    section, files = report_of(run)
    assert len(files["energy-wall"]) == 1
    assert "No figure for 2 at once, each of 1 node: it was measured when plugs" in section
    assert "All at work" not in section
