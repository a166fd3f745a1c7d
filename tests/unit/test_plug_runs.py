"""Whole runs with plugs of known power: their joules, what fails, and what it costs in time."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from collect.tables import Tables, build_tables
from collect.wall import NODES_ONLY, WITH_SWITCH
from experiments.fleet.cluster import Cluster, Plug
from experiments.nodes.herd import Herd
from experiments.nodes.owner import Owner
from experiments.plugs import watch
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import make_progress
from tests.doubles.child_launcher import ChildLauncher
from tests.doubles.hurried_plugs import attempts, hurry, noted_windows
from tests.doubles.plugs import Constant, PlugDouble, Square
from tests.doubles.scripted_run import matrix
from tests.unit.test_second_launcher import DLLAMA, machine, nodes

__all__ = ["machine"]
WORK_S = 1.6
"""How long the engine works; plugs are read four times a second here, once a second in runs."""
PASSWORD = "s3cret-word"  # noqa: S105 - of a double


@pytest.fixture
def slow_machine(machine: Path) -> Path:
    """The same machine; its engine works for some seconds."""
    program = machine / "engines" / "distributed-llama" / "bin" / "dllama"
    last = "nodes = 1 + sum("
    program.write_text(DLLAMA.replace(last, f"import time; time.sleep({WORK_S})\n{last}"))
    return machine


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, 0.25)


@pytest.fixture
def doubles() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def measure(
    folder: Path,
    machine: Path,
    plugs: tuple[Plug, ...],
    **changed: Any,  # noqa: ANN401
) -> RunResult:
    axes = {**matrix().axes, "nodes": (1, 2), "workers": ("fresh",)}
    asked = matrix(axes=axes, **{"max_attempts": 1, "warmup": 0, "repeats": 1, **changed})
    progress = make_progress(Console(file=sys.stderr, quiet=True))
    cluster = Cluster(nodes().nodes, plugs)
    return run_on(asked, cluster, ChildLauncher(machine), folder / "results", progress=progress)


def trials_of(tables: Tables) -> dict[int, Any]:
    """Number of nodes to the row of its trial."""
    return {int(row.nodes): row for row in tables.trials.itertuples()}


def test_known_loads_give_their_joules_within_the_stated_error(
    tmp_path: Path, slow_machine: Path, doubles: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = doubles.enter_context(PlugDouble("shelly_gen2", Constant(12.0), password=PASSWORD))
    two = doubles.enter_context(PlugDouble("tasmota", Square(3.0, 9.0, 1.3), decimals=1))
    windows = noted_windows(monkeypatch)
    result = measure(tmp_path, slow_machine, (one.plug("one", "pi1"), two.plug("two", "pi2")))

    assert [one.cause for one in attempts(result)] == [None, None]
    tables = build_tables(result.folder)
    rows = trials_of(tables)
    for order, (begun_s, ended_s) in enumerate(windows, 1):
        row = next(row for row in rows.values() if row.order == order)
        fed = [one, two][: int(row.nodes)]
        known_j = sum(double.joules(begun_s, ended_s) for double in fed)
        assert abs(row.wall_energy_j - known_j) <= row.wall_error_j + 0.05
        assert row.wall_window_s == pytest.approx(ended_s - begun_s, abs=0.01)
        assert row.wall_scope == NODES_ONLY
        assert row.wall_by == "power"
    assert rows[1].wall_energy_j == pytest.approx(12.0 * rows[1].wall_window_s, rel=0.01)
    assert rows[1].wall_idle_w == 12.0
    assert abs(rows[1].wall_above_idle_j) < 0.1
    assert rows[1].wall_tokens_per_wh == pytest.approx(3600 / rows[1].wall_energy_j_per_token)
    assert rows[2].wall_error_j > 0
    assert tables.trials["energy_j"].isna().all(), "that is what counters in machines count"
    for record in attempts(result):
        assert WORK_S < record.plugs["one"].window_s < WORK_S + 1
    power = tables.power[tables.power["plug"] == "one"]
    assert set(power["watts"]) == {12.0}
    assert (power.groupby("trial_id").size() >= 4).all()
    everything = "".join(
        path.read_text(errors="replace") for path in result.folder.rglob("*") if path.is_file()
    )
    assert PASSWORD not in everything


def test_a_strip_has_the_energy_of_all_that_hangs_on_it(
    tmp_path: Path, slow_machine: Path, doubles: ExitStack
) -> None:
    strip = doubles.enter_context(PlugDouble("shelly_gen1", Constant(20.0)))
    result = measure(tmp_path, slow_machine, (strip.plug("strip", "pi1", "pi2", switch=True),))

    rows = trials_of(build_tables(result.folder))
    assert rows[2].wall_scope == WITH_SWITCH
    assert rows[1].wall_scope == f"{WITH_SWITCH}, with pi2, which took no part"
    for row in rows.values():
        assert row.wall_energy_j == pytest.approx(20.0 * row.wall_window_s, rel=0.01)


def test_a_cell_with_a_node_without_a_plug_has_no_total(
    tmp_path: Path, slow_machine: Path, doubles: ExitStack
) -> None:
    one = doubles.enter_context(PlugDouble("shelly_gen2"))
    result = measure(tmp_path, slow_machine, (one.plug("one", "pi1"),))
    tables = build_tables(result.folder)
    rows = trials_of(tables)
    assert rows[1].wall_energy_j > 0
    assert tables.trials["wall_energy_j"].notna().sum() == 1
    assert tables.plugs["energy_j"].notna().all(), "the plug itself counted in both"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("unauthorised", "asks for a password (401)"),
        ("not_json", "its answer is not JSON"),
        ("silent", "it did not answer within 2 s"),
        ("redirect", "it redirects elsewhere"),
        ("nan", "NaN for a number"),
        ("negative", "its power is impossible: -5.5"),
        ("huge", "more than 64 KiB"),
        ("drip", "it did not answer within 2 s"),
    ],
)
def test_a_plug_that_fails_leaves_trials_valid_without_energy(
    tmp_path: Path, slow_machine: Path, doubles: ExitStack, fault: str, reason: str
) -> None:
    bad = doubles.enter_context(PlugDouble("shelly_gen2", fault=fault))
    result = measure(tmp_path, slow_machine, (bad.plug("bad", "pi1", "pi2"),))

    assert result.counts["done"] == 2
    tables = build_tables(result.folder)
    assert tables.trials["wall_energy_j"].isna().all()
    assert tables.trials["decode_tokens_per_s"].notna().all()
    assert tables.plugs["reason"].str.contains(reason, regex=False).all()
    assert tables.power.empty


def test_a_plug_that_restarts_in_a_trial_leaves_that_trial_without_energy(
    tmp_path: Path, slow_machine: Path, doubles: ExitStack
) -> None:
    plug = doubles.enter_context(PlugDouble("shelly_gen2"))

    def restart() -> str:
        if len(plug.asked_s) == 5:
            plug.reset_j = 900_000.0
        return ""

    plug.fault = restart
    result = measure(tmp_path, slow_machine, (plug.plug("p", "pi1", "pi2"),))
    plugs = build_tables(result.folder).plugs
    assert plugs["energy_j"].isna().tolist() == [True, False]
    assert "it was restarted" in plugs["reason"].iloc[0]


def test_a_strip_with_a_node_that_works_for_another_run_has_no_idle_power(
    tmp_path: Path, slow_machine: Path, doubles: ExitStack
) -> None:
    strip = doubles.enter_context(PlugDouble("shelly_gen2", Constant(20.0)))
    other = Herd(
        ChildLauncher(slow_machine),
        nodes().nodes[1:],
        Owner("ada", "attic", 4711, "2026-01-01T00:00:00"),
    )
    other.own_all()
    try:
        result = measure(tmp_path, slow_machine, (strip.plug("strip", "pi1", "pi2"),))
    finally:
        other.close()

    assert result.counts["done"] == 1
    row = build_tables(result.folder).trials.set_index("nodes").loc[1]
    assert row["wall_energy_j"] == pytest.approx(20.0 * row["wall_window_s"], rel=0.01)
    assert pd.isna(row["wall_idle_w"])
    assert pd.isna(row["wall_above_idle_j"])


def test_a_switch_on_its_own_plug_is_in_the_figures_and_in_the_idle_power_of_all_cells(
    tmp_path: Path, slow_machine: Path, doubles: ExitStack
) -> None:
    one, two, rack = (
        doubles.enter_context(PlugDouble("shelly_gen2", Constant(watts)))
        for watts in (4.0, 5.0, 8.0)
    )
    plugs = (one.plug("one", "pi1"), two.plug("two", "pi2"), rack.plug("rack", switch=True))
    result = measure(tmp_path, slow_machine, plugs)

    rows = trials_of(build_tables(result.folder))
    for number, watts in ((1, 12.0), (2, 17.0)):
        assert rows[number].wall_scope == WITH_SWITCH
        assert rows[number].wall_idle_w == watts
        assert rows[number].wall_energy_j == pytest.approx(
            watts * rows[number].wall_window_s, rel=0.01
        )


def test_plugs_cost_trials_no_time(
    tmp_path: Path, machine: Path, doubles: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a plug that never answers, all that plugs take of a trial is less than a millisecond."""
    bad = doubles.enter_context(PlugDouble("shelly_gen2", fault="silent"))
    good = doubles.enter_context(PlugDouble("tasmota"))
    took_s: list[float] = []

    between = watch.PlugWatch.between

    def timing(self: watch.PlugWatch, *given: Any) -> Any:  # noqa: ANN401 - passed on
        begun_s = time.perf_counter()
        found = between(self, *given)
        took_s.append(time.perf_counter() - begun_s)
        return found

    monkeypatch.setattr(watch.PlugWatch, "between", timing)
    result = measure(tmp_path, machine, (bad.plug("a", "pi1"), good.plug("b", "pi2")), repeats=8)

    assert result.counts["done"] == 16
    assert len(took_s) == 16
    assert statistics.median(took_s) < 0.001
