"""Probes on disk: what a record may say, and which one is used for which machines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from collect.probe import NodeProbe, ProbeRecord, newest_for, read_probe, write_probe
from core.errors import HerdError

PI: dict[str, Any] = {
    "machine_id": "a1",
    "serial_hash": "5e",
    "boot_id": "b1",
    "board": "Raspberry Pi 5",
    "cores": 4,
    "memory_mib": 8064,
    "link_mbit": 1000,
}
LINK: dict[str, Any] = {
    "source": "pi1",
    "target": "pi2",
    "latency_us": 90.0,
    "latency_lower_us": 85.5,
    "latency_upper_us": 99.0,
    "exchanges": 500,
    "rate_mbit": 941.2,
    "transferred_bytes": 30_000_000,
}


def told(started_at: float = 1_795_000_000.0, **nodes: dict[str, Any]) -> dict[str, Any]:
    """A record as JSON has it."""
    described = [
        {"name": name, "machine": machine, "threads": 4, "memory_all_gbs": 9.5}
        for name, machine in nodes.items()
    ]
    return {"started_at": started_at, "took_s": 12.0, "nodes": described}


def stored(results: Path, started_at: float = 1_795_000_000.0, **nodes: dict[str, Any]) -> Path:
    return write_probe(results, ProbeRecord.model_validate(told(started_at, **nodes)))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = ProbeRecord.model_validate({**told(pi1=PI, pi2=PI), "links": [LINK]})
    path = write_probe(tmp_path, record)
    assert path == tmp_path / "probes" / "20261118-110640.json"
    assert read_probe(path) == record
    link = record.link("pi1", "pi2")
    assert link is not None
    assert link.rate_mbit == pytest.approx(941.2)
    assert record.link("pi2", "pi1") is None


def test_two_probes_of_one_second_are_two_files(tmp_path: Path) -> None:
    first, second = stored(tmp_path, pi1=PI), stored(tmp_path, pi1={**PI, "boot_id": "b2"})
    assert first != second
    found = newest_for(tmp_path, {"pi1": PI})
    assert found.path == second


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"memory_all_gbs": -1.0}, "greater than 0"),
        ({"memory_all_gbs": 0.0}, "greater than 0"),
        ({"memory_all_gbs": 1e300}, "less than or equal"),
        ({"memory_all_gbs": math.nan}, "NaN is not a number"),
        ({"memory_all_gbs": math.inf}, "Infinity is not a number"),
        ({"memory_all_gbs": "9"}, "valid number"),
        ({"memory_all_gbs": True}, "valid number"),
        ({"threads": 0}, "greater than or equal"),
        ({"name": "a/pi1"}, "name without"),
        ({"surprise": 1}, "Extra inputs"),
        ({"remarks": ["x"] * 21}, "at most 20"),
    ],
)
def test_a_node_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    path = tmp_path / "one.json"
    record = told(pi1=PI)
    record["nodes"][0].update(change)
    path.write_text(json.dumps(record))
    with pytest.raises(HerdError, match=why) as error:
        read_probe(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"target": "pi1"}, "no link to itself"),
        ({"target": "pi9"}, "is of another node"),
        ({"latency_lower_us": 91.0}, "between the quartiles"),
        ({"rate_mbit": 0.0}, "greater than 0"),
        ({"transferred_bytes": -1}, "greater than or equal"),
    ],
)
def test_a_link_that_cannot_be_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ProbeRecord.model_validate({**told(pi1=PI, pi2=PI), "links": [{**LINK, **change}]})
    with pytest.raises(ValueError, match="link pi1 to pi2 appears twice"):
        ProbeRecord.model_validate({**told(pi1=PI, pi2=PI), "links": [LINK, LINK]})


def test_the_newest_that_covers_the_machines_is_used(tmp_path: Path) -> None:
    stored(tmp_path, 1_000.0, pi1=PI, pi2=PI)
    wanted = stored(tmp_path, 2_000.0, pi1=PI, pi2=PI)
    stored(tmp_path, 3_000.0, pi1=PI)
    found = newest_for(tmp_path, {"pi1": PI, "pi2": PI})
    assert found.path == wanted
    assert found.reasons == ("The probe 19700101-005000 is not used: it does not have pi2.",)


def test_the_nearest_in_time_is_used_for_a_run(tmp_path: Path) -> None:
    before = stored(tmp_path, 1_000.0, pi1=PI)
    after = stored(tmp_path, 2_000.0, pi1=PI)
    assert newest_for(tmp_path, {"pi1": PI}, at=1_400.0).path == before
    assert newest_for(tmp_path, {"pi1": PI}, at=1_600.0).path == after


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ({"machine_id": "a2"}, "its machine_id was a1 and is a2"),
        ({"serial_hash": "5f"}, "its serial_hash was 5e and is 5f"),
        ({"cores": 2}, "its cores was 4 and is 2"),
        ({"memory_mib": 4000}, "its memory_mib was 8064 and is 4000"),
        ({"link_mbit": 100}, "its link_mbit was 1000 and is 100"),
        (
            {"machine_id": None, "serial_hash": None, "boot_id": "b2"},
            r"does not say which machine it is \(machine_id, serial_hash, boot_id\)",
        ),
    ],
)
def test_a_probe_of_other_hardware_is_not_used(
    tmp_path: Path, now: dict[str, Any], why: str
) -> None:
    stored(tmp_path, pi1=PI)
    found = newest_for(tmp_path, {"pi1": {**PI, **now}})
    assert found.record is None
    (reason,) = found.reasons
    with pytest.raises(ValueError, match=why):
        raise ValueError(reason)


def test_a_restart_or_a_kernel_makes_no_other_machine(tmp_path: Path) -> None:
    path = stored(tmp_path, pi1=PI)
    assert newest_for(tmp_path, {"pi1": {**PI, "boot_id": "b2", "memory_mib": 7990}}).path == path
    by_boot = {**PI, "machine_id": None, "serial_hash": None}
    assert newest_for(tmp_path, {"pi1": by_boot}).path == path


def test_a_damaged_file_is_named_and_the_one_before_it_used(tmp_path: Path) -> None:
    path = stored(tmp_path, pi1=PI)
    (damaged := tmp_path / "probes" / "29991231-000000.json").write_text('{"started_at": 1')
    found = newest_for(tmp_path, {"pi1": PI})
    assert found.path == path
    assert str(damaged) in found.reasons[0]


def test_without_a_probe_the_verb_is_named(tmp_path: Path) -> None:
    assert "`fab probe`" in newest_for(tmp_path, {"pi1": PI}).reasons[0]


def test_a_folder_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "probes").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HerdError, match="is a link"):
        stored(tmp_path, pi1=PI)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_node_without_figures_is_a_node() -> None:
    node = NodeProbe.model_validate({"name": "pi1", "machine": {}, "threads": 1})
    assert node.memory_all_gbs is None
