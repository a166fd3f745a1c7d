"""By which interface a node's packets leave, and how large they may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.doctor.diagnose import diagnose
from experiments.doctor.finding import Finding, Severity
from experiments.doctor.probe.network import is_tunnel, leaves_by
from tests.doubles.doctor_facts import ADDRESS, PC, answer, changed
from tests.doubles.doctor_place import prepared


def bad(here: dict[str, Any], there: dict[str, Any] | None = None) -> list[Finding]:
    """What is wrong with the first of two nodes."""
    other = answer(changed(PC, network=there or {}), "b", engine_address="192.0.2.8")
    first, _ = diagnose([answer(changed(PC, network=here), "a", engine_address=ADDRESS), other])
    return [one for one in first.findings if one.verdict is not Severity.OK]


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        ({"leaves_by": {"b": "wlan0"}}, {}, "leaves through wlan0, not through enp0s31f6"),
        ({"mtu": 9000}, {"mtu": 1500}, "may have 9000 bytes (MTU of enp0s31f6), those of b 1500"),
        ({"is_tunnel": True}, {}, "a tunnel (VPN)"),
    ],
)
def test_a_way_that_is_not_what_it_seems_is_named(
    here: dict[str, Any], there: dict[str, Any], words: str
) -> None:
    (finding,) = bad(here, there)
    assert words in finding.sentence
    assert finding.remedy


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ({"leaves_by": {"b": "enp0s31f6"}}, {}),
        ({"leaves_by": {"b": None}}, {}),
        ({"leaves_by": {"b": "lo"}}, {}),
        ({"mtu": 1500}, {"mtu": 9000}),
        ({"mtu": 1500}, {"mtu": 1500}),
        ({"mtu": 9000}, {}),
    ],
)
def test_a_way_as_it_should_be_is_nothing_to_do(
    here: dict[str, Any], there: dict[str, Any]
) -> None:
    assert bad(here, there) == []


def test_the_kernel_says_by_which_interface_it_would_send() -> None:
    assert leaves_by({"127.0.0.1": "lo"}, "127.0.0.1") == "lo"
    assert leaves_by({}, "127.0.0.1") is None
    assert leaves_by({"127.0.0.1": "lo"}, "no.such.name.invalid") is None


def test_a_tunnel_is_known_by_what_made_it(tmp_path: Path) -> None:
    files = {
        "/sys/class/net/tailscale0/tun_flags": "0x1001\n",
        "/sys/class/net/wg0/uevent": "DEVTYPE=wireguard\nINTERFACE=wg0\n",
        "/sys/class/net/eth0/uevent": "INTERFACE=eth0\n",
    }
    place = prepared(tmp_path, files)
    assert [is_tunnel(place, name) for name in ("tailscale0", "wg0", "eth0")] == [True, True, False]
