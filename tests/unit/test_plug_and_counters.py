"""A node that counters inside and a plug outside both count: two figures, and never their sum."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from analysis.report import write_report
from collect.run import RUN_FILE
from tests.doubles.plug_run import plug_in
from tests.doubles.run_folder import make_run

INSIDE_J, WALL_J, GPU_J = 1_013.0, 7_057.0, 311.0
"""Joules of a node inside and at the wall; primes apart, so no sum is another figure."""
COUNTERS = {"RAPL package-0": INSIDE_J - GPU_J, "NVML gpu-0": GPU_J}


def counted(folder: Path) -> Path:
    """A run of which each node has both, and a price."""
    run = make_run(folder, engines=("llama.cpp",), nodes=(1, 2), repeats=2,
                   unavailable={}, failed=(), retried=())  # fmt: skip
    manifest = json.loads((run / RUN_FILE).read_text())
    for name, facts in manifest["nodes"].items():
        facts |= {"energy_counters": ", ".join(COUNTERS), "boot_id": name, "machine_id": name}
    (run / RUN_FILE).write_text(json.dumps(manifest))
    for path in (run / "attempts").glob("*/attempt.json"):
        record = json.loads(path.read_text())
        used = {one["node"] for one in record["processes"]} | set(record["nodes"])
        record["energy"] = {name: {"joules": COUNTERS, "window_s": 60.0} for name in used}
        path.write_text(json.dumps(record))
    fed = {f"plug-{name}": ((name,), False) for name in ("pi1", "pi2")}
    price = {"per_kwh": 3.6, "currency": "EUR"}
    return plug_in(run, fed, lambda *_: WALL_J / 60, electricity=price)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("both")
    index = write_report(counted(folder / "results"), folder / "reports").index
    return {path.stem: pd.read_csv(path) for path in index.parent.glob("*.csv")}


def test_each_has_its_own_figures(frames: dict[str, pd.DataFrame]) -> None:
    inside, wall = (frames[name].set_index("nodes") for name in ("energy", "energy-wall"))
    for nodes in (1, 2):
        assert inside.loc[nodes, "trial_j"] == pytest.approx(nodes * INSIDE_J)
        assert wall.loc[nodes, "trial_j"] == pytest.approx(nodes * WALL_J)
        assert wall.loc[nodes, "j_per_token"] == pytest.approx(nodes * WALL_J / 16)


def test_a_bill_is_of_the_wall_alone(frames: dict[str, pd.DataFrame]) -> None:
    prices = frames["energy-prices"].set_index("nodes")
    assert prices.loc[1, "million_tokens"] == pytest.approx(WALL_J / 16)


def test_no_figure_of_the_report_is_a_sum_of_both(frames: dict[str, pd.DataFrame]) -> None:
    sums = [
        (one * inside + other * WALL_J) / per
        for inside, one, other, per in product(
            (INSIDE_J, GPU_J, INSIDE_J - GPU_J), (1, 2), (1, 2), (1, 16, 60, 3600)
        )
    ]
    for name, frame in frames.items():
        for column, values in frame.select_dtypes("number").items():
            for value, wrong in product(values.dropna(), sums):
                assert value != pytest.approx(wrong, rel=1e-6), f"{name}.csv, {column}"


def test_a_plug_that_fails_is_not_replaced_by_counters(tmp_path: Path) -> None:
    run = counted(tmp_path / "results")
    for path in (run / "attempts").glob("*/attempt.json"):
        record = json.loads(path.read_text())
        for plug in record["plugs"].values():
            plug |= {"joules": None, "error_j": None, "by": None, "reason": "it did not answer"}
        path.write_text(json.dumps(record))
    index = write_report(run, tmp_path / "reports").index
    assert not (index.parent / "energy-wall.csv").exists()
    assert not (index.parent / "energy-prices.csv").exists()
    assert pd.read_csv(index.parent / "energy.csv")["trial_j"].max() == pytest.approx(2 * INSIDE_J)
