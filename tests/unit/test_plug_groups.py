"""Smart plugs and several deployments at once: one reading over the window of all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from collect.attempt import AttemptRecord, DeploymentRecord
from collect.plugs import POWER_FILE, read_power
from collect.tables import build_tables
from collect.wall import NODES_ONLY, WITH_SWITCH
from core.paths import PROJECT_FOLDER
from experiments.fleet.cluster import Cluster, Node, Plug
from experiments.runner import RunResult, run_on
from experiments.sessions.progress import make_progress
from tests.doubles.child_launcher import ChildLauncher
from tests.doubles.hurried_plugs import attempts, hurry, noted_windows
from tests.doubles.plugs import Constant, PlugDouble, Square
from tests.doubles.scripted import GENERATED_TOKENS
from tests.doubles.scripted_run import matrix
from tests.unit.test_second_launcher import DLLAMA, machine

__all__ = ["machine"]
SHORT_S, LONG_S = 1.2, 2.4
"""How long the engine works that began first, and the other."""
UNEQUAL = f"""\
import time
first = pathlib.Path(sys.argv[0]).with_name("first")
try:
    first.mkdir()
except FileExistsError:
    first.rmdir()
    time.sleep({LONG_S})
else:
    time.sleep({SHORT_S})
if pathlib.Path(sys.argv[0]).with_name("fails once").exists():
    pathlib.Path(sys.argv[0]).with_name("fails once").unlink()
    sys.exit("it fails")
"""


@pytest.fixture
def unequal(machine: Path) -> Path:
    """The same machine; of two roots at once, one works twice as long."""
    program = machine / "engines" / "distributed-llama" / "bin" / "dllama"
    last = "nodes = 1 + sum("
    program.write_text(DLLAMA.replace(last, f"{UNEQUAL}{last}"))
    return machine


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, 0.2)


@pytest.fixture
def doubles() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def measure(
    folder: Path,
    machine: Path,
    plugs: tuple[Plug, ...],
    *groups: str,
    **changed: Any,  # noqa: ANN401
) -> RunResult:
    axes = {**matrix().axes, "groups": groups or ("2x1",), "workers": ("fresh",)}
    asked = matrix(axes=axes, **{"max_attempts": 2, "warmup": 0, "repeats": 1, **changed})
    progress = make_progress(Console(file=sys.stderr, quiet=True))
    addresses = {f"pi{number}": f"127.91.0.{number}" for number in (1, 2, 3)}
    cluster = Cluster(tuple(Node(name, ip, ip) for name, ip in addresses.items()), plugs)
    return run_on(asked, cluster, ChildLauncher(machine), folder / "results", progress=progress)


def row_of(result: RunResult) -> Any:  # noqa: ANN401 - a named tuple of pandas
    (row,) = build_tables(result.folder).trials.itertuples()
    return row


def test_the_energy_is_that_of_all_nodes_from_the_first_start_to_the_last_end(
    tmp_path: Path, unequal: Path, doubles: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = doubles.enter_context(PlugDouble("shelly_gen2", Constant(12.0)))
    two = doubles.enter_context(PlugDouble("tasmota", Square(3.0, 9.0, 1.3), decimals=1))
    windows = noted_windows(monkeypatch)
    result = measure(tmp_path, unequal, (one.plug("one", "pi1"), two.plug("two", "pi2")))

    ((begun_s, ended_s),) = windows
    (record,), row = attempts(result), row_of(result)
    known_j = sum(double.joules(begun_s, ended_s) for double in (one, two))
    assert abs(row.wall_energy_j - known_j) <= row.wall_error_j + 0.05
    assert row.wall_energy_j_per_token == pytest.approx(row.wall_energy_j / 2 / GENERATED_TOKENS)
    assert row.wall_tokens_per_wh == pytest.approx(3600 / row.wall_energy_j_per_token)
    assert row.wall_scope == NODES_ONLY
    assert LONG_S < row.wall_window_s < LONG_S + 1
    assert row.roots_overlap == pytest.approx(SHORT_S / LONG_S, abs=0.1)
    begins, ends = zip(*((one.began_s, one.ended_s) for one in record.deployments), strict=True)
    assert row.wall_window_s == pytest.approx(max(ends) - min(begins))
    readings = list(
        read_power((result.folder / "attempts" / record.attempt_id / POWER_FILE).read_bytes())
    )
    for name in ("one", "two"):
        moments = [reading.at_s for reading in readings if reading.plug == name]
        assert moments == sorted(moments)
        assert sum(at_s < 0 for at_s in moments) == 1
        assert moments[-1] <= row.wall_window_s
        assert len(moments) >= 10


def test_a_plug_that_feeds_nodes_of_several_deployments_is_read_once(
    tmp_path: Path, unequal: Path, doubles: ExitStack
) -> None:
    strip = doubles.enter_context(PlugDouble("shelly_gen1", Constant(20.0)))
    plug = strip.plug("strip", "pi1", "pi2", "pi3", switch=True)
    result = measure(tmp_path, unequal, (plug,))

    row = row_of(result)
    assert row.wall_scope == f"{WITH_SWITCH}, with pi3, which took no part"
    assert row.wall_energy_j == pytest.approx(20.0 * row.wall_window_s, rel=0.01)
    assert row.wall_idle_w == 20.0
    apart_s = [b - a for a, b in zip(strip.asked_s, strip.asked_s[1:], strict=False)]
    assert min(apart_s) > 0.15


def test_a_node_of_any_deployment_without_a_plug_leaves_no_total(
    tmp_path: Path, unequal: Path, doubles: ExitStack
) -> None:
    two = doubles.enter_context(PlugDouble("shelly_gen2"))
    result = measure(tmp_path, unequal, (two.plug("two", "pi2"),))

    assert result.counts["done"] == 1
    assert "wall_energy_j" not in build_tables(result.folder).trials.dropna(axis="columns")
    assert attempts(result)[0].plugs["two"].joules is not None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("unauthorised", "asks for a password (401)"),
        ("not_json", "its answer is not JSON"),
        ("silent", "it did not answer within 2 s"),
        ("redirect", "it redirects elsewhere"),
    ],
)
def test_a_plug_that_fails_leaves_the_trial_valid_without_energy(
    tmp_path: Path, unequal: Path, doubles: ExitStack, fault: str, reason: str
) -> None:
    bad = doubles.enter_context(PlugDouble("shelly_gen2", fault=fault))
    good = doubles.enter_context(PlugDouble("shelly_gen2"))
    result = measure(tmp_path, unequal, (bad.plug("bad", "pi1"), good.plug("good", "pi2")))

    assert result.counts["done"] == 1
    tables = build_tables(result.folder)
    assert tables.trials["wall_energy_j"].isna().all()
    assert (tables.trials["all_tokens_per_s"] > 0).all()
    reasons = tables.plugs.set_index("plug")["reason"]
    assert reason in reasons["bad"]
    assert reasons.isna()["good"]


def test_an_attempt_that_failed_has_no_window_and_the_next_one_has_its_own(
    tmp_path: Path, unequal: Path, doubles: ExitStack
) -> None:
    strip = doubles.enter_context(PlugDouble("shelly_gen2", Constant(20.0)))
    (unequal / "engines" / "distributed-llama" / "bin" / "fails once").touch()
    result = measure(tmp_path, unequal, (strip.plug("strip", "pi1", "pi2"),))

    first, second = attempts(result)
    assert (first.outcome, second.outcome) == ("failed", "done")
    row = row_of(result)
    assert row.wall_window_s == second.plugs["strip"].window_s
    assert LONG_S < row.wall_window_s < LONG_S + 1


def test_one_deployment_has_the_window_of_its_root(
    tmp_path: Path, unequal: Path, doubles: ExitStack
) -> None:
    strip = doubles.enter_context(PlugDouble("shelly_gen2", Constant(20.0)))
    result = measure(tmp_path, unequal, (strip.plug("strip", "pi1", "pi2"),), "1x2")

    row = row_of(result)
    assert row.roots_overlap == 1.0
    assert SHORT_S < row.wall_window_s < SHORT_S + 1
    assert row.wall_energy_j_per_token == pytest.approx(row.wall_energy_j / GENERATED_TOKENS)


KILLED = """
import sys
from pathlib import Path
import pytest
from experiments.fleet.cluster import Plug
from tests.doubles.hurried_plugs import hurry
from tests.unit.test_plug_groups import measure
hurry(pytest.MonkeyPatch(), 0.2)
plug = Plug("strip", "shelly_gen2", "127.0.0.1", int(sys.argv[3]), nodes=("pi1", "pi2"))
measure(Path(sys.argv[1]), Path(sys.argv[2]), (plug,), repeats=2)
"""


def test_a_run_that_is_killed_within_a_window_goes_on_with_windows_of_its_own(
    tmp_path: Path, unequal: Path, doubles: ExitStack
) -> None:
    strip = doubles.enter_context(PlugDouble("shelly_gen2", Constant(20.0)))
    words = [sys.executable, "-c", KILLED, str(tmp_path), str(unequal), str(strip.port)]
    with subprocess.Popen(words, cwd=PROJECT_FOLDER, env=os.environ) as killed:
        until = time.monotonic() + 60
        while len(list(unequal.glob("logs/*-r2-a1-root.out"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        killed.kill()
    result = measure(tmp_path, unequal, (strip.plug("strip", "pi1", "pi2"),), repeats=2)

    assert result.counts["done"] == 2
    trials = build_tables(result.folder).trials
    assert trials["wall_window_s"].between(LONG_S, LONG_S + 1).all()
    assert (trials["wall_energy_j"] / trials["wall_window_s"]).tolist() == pytest.approx(
        [20.0, 20.0], rel=0.01
    )


@pytest.mark.parametrize(
    ("times", "share"),
    [
        ([(0.0, 10.0), (0.0, 10.0)], 1.0),
        ([(0.0, 4.0), (0.0, 10.0)], 0.4),
        ([(0.0, 4.0), (6.0, 10.0)], 0.0),
        ([(2.0, 2.0), (2.0, 2.0)], None),
        ([(None, 4.0), (None, 10.0)], None),
    ],
)
def test_the_share_of_the_window_in_which_all_ran(
    times: list[tuple[float | None, float]], share: float | None
) -> None:
    told = tuple(
        DeploymentRecord(nodes=(f"pi{n}",), began_s=begun, ended_s=ended)
        for n, (begun, ended) in enumerate(times)
    )
    assert AttemptRecord.model_construct(deployments=told).overlap == share
