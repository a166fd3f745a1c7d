"""Links as an axis: what is a value, where it cannot be, what is told to tc, what is cleared."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from collect.attempt import LinkRecord
from collect.labels import LINK, cell_label
from collect.workloads import Benchmark
from core.errors import HerdError
from experiments import runner
from experiments.engines.base import Cell
from experiments.fleet.cluster import Cluster, Node
from experiments.links import links
from experiments.links.keeper import KeeperError
from experiments.links.links import Links, unavailable
from experiments.links.shape import (
    Shape,
    bucket,
    node_end,
    queue_rule,
    round_trip_ms,
    told_shape,
)
from experiments.planning.matrix import load_matrix
from tests.doubles.matrix_files import complaint
from tests.doubles.scripted import World
from tests.doubles.scripted_run import run, world
from tests.unit.test_runner import ONE_NODE, attempts, matrix

MODULES = Path(__file__).resolve().parents[2] / "roles" / "lab_host" / "module_utils"
STUDY = """\
title: Links
axes:
  engine: [llama.cpp]
  nodes: [2]
  {axis}: [{value}]
"""


def asked(**params: int) -> Cell:
    common = {"engine": "llama.cpp", "model": "stories15m", "nodes": 2, "weights": "f32"}
    return Cell({**common, "workers": "fresh", **params}, Benchmark())


def nodes(lab_link_mbit: int | None) -> Cluster:
    return Cluster(
        tuple(Node(n, n, "10.0.0.1", lab_link_mbit=lab_link_mbit) for n in ("pi1", "pi2"))
    )


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_may_be_root", lambda: True)
    monkeypatch.setattr(links, "_can_delay", lambda: True)


@pytest.mark.parametrize(
    ("axis", "value", "right"),
    [
        ("link_mbit", "-1", "give 1 to 100000 Mbit/s, or 0 for the lab's own"),
        ("link_mbit", "100001", "give 1 to 100000 Mbit/s"),
        ("link_mbit", "1.5", "give a whole number"),
        ("link_delay_ms", "1001", "give 1 to 1000 ms"),
        ("link_delay_ms", "fast", "give a whole number"),
        ("link_rate", "100", "did you mean link_mbit?"),
    ],
)
def test_a_wrong_value_is_told_with_its_line_and_what_would_be_right(
    tmp_path: Path, axis: str, value: str, right: str
) -> None:
    told = complaint(tmp_path, STUDY.format(axis=axis, value=value))

    assert right in told
    assert "study.yml" in told
    assert "5" in told


def test_a_matrix_that_names_no_link_has_the_cells_that_it_always_had(tmp_path: Path) -> None:
    path = tmp_path / "study.yml"
    path.write_text(STUDY.format(axis="link_mbit", value="10, 0"))
    named = load_matrix(path)
    plain = named.model_copy(update={"axes": {"engine": ("llama.cpp",), "nodes": (2,)}})

    assert [cell.params["link_mbit"] for cell in named.cells()] == [10, 0]
    assert not any(name.startswith("link_") for name in plain.cells()[0].params)


def test_a_cell_names_its_link_in_a_plan() -> None:
    label = cell_label(asked(link_mbit=100, link_delay_ms=20).params)

    assert label.endswith("100 Mbit/s +20 ms round trip")
    assert "Mbit" not in cell_label(asked(link_mbit=0, link_delay_ms=0).params)


def test_links_of_other_machines_are_not_set(root: None) -> None:
    reason = unavailable(asked(link_mbit=100), nodes(None))

    assert reason is not None
    assert reason.startswith("pi1 is not a node of the lab")
    assert unavailable(asked(link_mbit=0), nodes(None)) is None
    assert unavailable(asked(link_mbit=100), nodes(1000)) is None


def test_links_need_root_and_a_kernel_that_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_may_be_root", lambda: False)
    assert unavailable(asked(link_mbit=100), nodes(1000)) == links.NEEDS_ROOT

    monkeypatch.setattr(links, "_may_be_root", lambda: True)
    monkeypatch.setattr(links, "_can_delay", lambda: False)
    assert unavailable(asked(link_mbit=100), nodes(1000)) is None
    assert unavailable(asked(link_delay_ms=1), nodes(1000)) == links.NO_DELAY


def lab_link(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    loaded = []
    for name in ("lab_podman", "lab_link"):
        spec = importlib.util.spec_from_file_location(name, MODULES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, f"ansible.module_utils.{name}", module)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        loaded.append(module)
    return loaded[1]


@pytest.mark.parametrize("mbit", [1, 100, 1000])
def test_a_rate_is_limited_as_the_lab_limits_it(monkeypatch: pytest.MonkeyPatch, mbit: int) -> None:
    as_the_lab = lab_link(monkeypatch).Shape(mbit).argv("eth0")

    assert ["tc", *bucket(mbit, "eth0", "root")] == as_the_lab
    assert node_end(Shape(mbit), "netem") == node_end(Shape(mbit, 100), "queue")


def test_netem_holds_half_of_a_round_trip_before_the_bucket() -> None:
    delay, rate = node_end(Shape(100, 25), "netem")

    assert delay[6:10] == ["1:", "netem", "delay", "12.5ms"]
    assert rate[4:8] == ["parent", "1:1", "handle", "10:"]


def test_a_queue_that_nobody_serves_stops_nothing() -> None:
    assert queue_rule("-A")[-1] == "--queue-bypass"


def test_what_tc_tells_is_read_back() -> None:
    tbf = {"kind": "tbf", "options": {"rate": 12_500_000}}
    netem = {"kind": "netem", "options": {"delay": {"delay": 0.05}}}

    assert told_shape(json.dumps([tbf])) == Shape(100)
    assert told_shape(json.dumps([netem, tbf])) == Shape(100, 100)
    assert told_shape(json.dumps([{"kind": "noqueue"}])) is None
    assert round_trip_ms("rtt min/avg/max/mdev = 0.071/0.079/0.091/0.008 ms\n") == 0.071
    assert round_trip_ms("3 packets transmitted, 0 received") is None


def test_a_link_that_was_left_is_put_right_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: None
) -> None:
    requests: list[Any] = []
    monkeypatch.setattr(links, "MARKS", tmp_path)
    monkeypatch.setattr(
        Links, "_ask", lambda _, left, shape, **more: requests.append((left, shape, more))
    )
    (tmp_path / "pi1").write_text("")
    (tmp_path / "pi2").write_text("shaped\n")

    Links(nodes(1000).nodes).clear()

    ((left, shape, more),) = requests
    assert [node.name for node in left] == ["pi2"]
    assert (shape, more) == (Shape(0), {"change": True})


def test_a_link_that_was_left_and_cannot_be_put_right_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(links, "MARKS", tmp_path)
    monkeypatch.setattr(links, "_may_be_root", lambda: False)
    (tmp_path / "pi1").write_text("shaped\n")

    with pytest.raises(HerdError, match=r"left the links of pi1 changed; .*sudo -v"):
        Links(nodes(1000).nodes).clear()


class FakeLinks(Links):
    """Links that are as asked for, but for the second trial."""

    def have(self, cell: Cell) -> LinkRecord | None:
        self.times = getattr(self, "times", 0) + 1
        if self.times == 2:
            raise KeeperError("pi1", "the node pi1 is not running")
        return LinkRecord(mbit=100, delay_ms=0, round_trip_ms=0.1)


def test_a_trial_is_not_measured_over_a_link_that_could_not_be_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    the_world: World = world(tmp_path)
    monkeypatch.setattr(runner, "Links", FakeLinks)

    result = run(tmp_path, the_world, asked=matrix(axes=ONE_NODE, warmup=0, repeats=2))

    assert result.counts["done"] == 2
    done, failed, again = attempts(tmp_path)
    assert failed.cause == "the node pi1 is not running while its link was set"
    assert failed.processes == ()
    assert done.link == again.link == LinkRecord(mbit=100, delay_ms=0, round_trip_ms=0.1)
    assert failed.link is None


def test_labels_know_the_axes_of_links() -> None:
    assert tuple(links.MOST) == LINK
