"""What of a node would spoil measurements is told with what helps; a sound node is told nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PLUGIN = Path("roles/node_facts/filter_plugins/node_warnings.py")
SOUND = {
    "virtualisation": "none",
    "nic": "eth0",
    "wireless": False,
    "link_mbit": 1000,
    "address_leased": False,
    "clock_service": "systemd-timesyncd",
    "clock_synchronised": True,
}


def load() -> ModuleType:
    project = Path(__file__).resolve().parents[2]
    specification = importlib.util.spec_from_file_location(PLUGIN.stem, project / PLUGIN)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def warnings(*, reserved: bool = False, **other: object) -> list[str]:
    told: list[str] = load().node_warnings({**SOUND, **other}, address_reserved=reserved)
    return told


def test_a_sound_node_is_told_nothing() -> None:
    assert warnings() == []


def test_a_node_that_tells_nothing_is_told_nothing() -> None:
    assert load().node_warnings({}) == []
    assert warnings(**dict.fromkeys(SOUND)) == []


def test_wireless_is_warned_of_with_its_speed_where_that_is_known() -> None:
    (unknown,) = warnings(nic="wlan0", wireless=True, link_mbit=None)
    assert unknown.startswith("engines talk over wlan0, which is wireless: ")
    assert "Ethernet" in unknown
    (known,) = warnings(nic="wlan0", wireless=True, link_mbit=433)
    assert "wireless, 433 Mbit/s: " in known


def test_what_windows_lends_is_not_called_a_cable() -> None:
    (told,) = warnings(virtualisation="wsl", wireless=None, link_mbit=None)
    assert "cannot be seen from inside WSL" in told
    assert told.endswith("in PowerShell: Get-NetAdapter -Physical")


@pytest.mark.parametrize(
    ("link_mbit", "is_slow"), [(10, True), (100, True), (1000, False), (2500, False), (None, False)]
)
def test_a_slow_cable_is_warned_of(link_mbit: int | None, *, is_slow: bool) -> None:
    told = warnings(link_mbit=link_mbit)
    assert [f"runs at {link_mbit} Mbit/s" in warning for warning in told] == [True] * is_slow


def test_an_address_by_dhcp_is_warned_of_until_it_is_said_to_be_reserved() -> None:
    (told,) = warnings(address_leased=True)
    assert "comes by DHCP" in told
    assert "node_facts_address_reserved: true" in told
    assert warnings(address_leased=True, reserved=True) == []


@pytest.mark.parametrize(
    ("service", "remedy"), [(None, "no time service runs"), ("chrony", "yet by chrony")]
)
def test_a_clock_that_nobody_sets_is_warned_of(service: str | None, remedy: str) -> None:
    (told,) = warnings(clock_synchronised=False, clock_service=service)
    assert remedy in told


@pytest.mark.parametrize("kind", ["podman", "wsl"])
def test_a_container_is_not_blamed_for_its_machines_clock(kind: str) -> None:
    asked: dict[str, Any] = {"clock_synchronised": False, "clock_service": None}
    assert warnings(virtualisation=kind, **asked) == []
    assert len(warnings(virtualisation="kvm", **asked)) == 1


def test_every_fault_is_told() -> None:
    faults = {"wireless": True, "address_leased": True, "clock_synchronised": False}
    assert len(warnings(**faults)) == 3
