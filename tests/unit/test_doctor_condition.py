"""The state of a machine, cloned cards, and what of it keeps from installing or measuring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.doctor.diagnose import diagnose
from experiments.doctor.finding import Finding, NodeAnswer, Severity
from experiments.doctor.probe.condition import COMPILED_IN, condition, root_type
from tests.doubles.doctor_facts import PC, PI, answer, changed
from tests.doubles.doctor_place import prepared

KERNEL = "6.12.47+rpt-rpi-v8"
FIRMWARE = "/sys/devices/platform/soc/soc:firmware/get_throttled"


def bad(facts: dict[str, Any]) -> list[Finding]:
    (diagnosis,) = diagnose([answer(facts, "pi1")])
    return [one for one in diagnosis.findings if one.verdict is not Severity.OK]


@pytest.mark.parametrize(
    "state", [{}, {"throttled": "0", "throttled_since_boot": True}, {"throttled": "0"}]
)
def test_a_state_as_it_should_be_is_nothing_to_do(state: dict[str, Any]) -> None:
    assert bad(changed(PI, condition=state)) == []


@pytest.mark.parametrize(
    ("facts", "state", "words", "remedy"),
    [
        (PC, {"read_only": True}, "mounted read-only", "mount -o remount,rw /"),
        (
            PI,
            {"root_type": "overlay"},
            "loses everything written to it at each boot",
            "disable_overlayfs",
        ),
        (
            PC,
            {"root_type": "overlay"},
            "loses everything written to it at each boot",
            "/etc/overlayroot.conf",
        ),
        (
            changed(PI, machine={"os_id": "ubuntu"}),
            {"root_type": "overlay"},
            "loses everything written to it at each boot",
            "/etc/overlayroot.conf",
        ),
        (PC, {"starts_nothing": ["/opt"]}, "below /opt (mounted noexec)", "remount,exec"),
        (PC, {"starts_nothing": [COMPILED_IN]}, "where engines are compiled", "remount,exec"),
        (PI, {"has_modules": False}, "has no modules on the disk", "systemctl reboot"),
        (PC, {"dpkg_stopped": True}, "was interrupted", "dpkg --configure -a"),
        (
            PI,
            {"throttled": "50000", "throttled_since_boot": True},
            "throttled since it booted (bits 0x50000)",
            "power supply",
        ),
        (PI, {"throttled": "50005"}, "within the last seconds (bits 0x50005)", "power supply"),
    ],
)
def test_what_is_not_as_it_should_be_is_named_with_what_helps(
    facts: dict[str, Any], state: dict[str, Any], words: str, remedy: str
) -> None:
    (finding,) = bad(changed(facts, condition=state))
    assert words in finding.sentence
    assert remedy in finding.remedy


@pytest.mark.parametrize("state", [{"root_type": "overlay"}, {"has_modules": False}])
def test_a_container_is_not_blamed_for_what_containers_are(state: dict[str, Any]) -> None:
    assert bad(changed(PC, condition=state, machine={"kind": "container"})) == []


def test_of_a_pi_that_tells_no_throttling_it_is_said_that_none_is_known() -> None:
    (diagnosis,) = diagnose([answer(changed(PI, condition={}), "pi1")])
    assert any("throttled is unknown" in one.sentence for one in diagnosis.findings)


@pytest.mark.parametrize(
    ("service", "asks"),
    [("chrony", "chronyc sources"), ("ntpsec", "ntpq -p"), ("openntpd", "ntpctl -s all")],
)
def test_a_time_service_is_asked_by_its_own_program(service: str, asks: str) -> None:
    base = {"clock_service": service, "clock_synchronised": False}
    (finding,) = bad(changed(PC, base=base))
    assert finding.remedy.endswith(f"-m raw -a '{asks}'")


def test_a_disk_that_holds_no_more_files_is_full_whatever_room_is_left() -> None:
    disk = {"path": "/", "total_mib": 99_000, "free_mib": 50_000, "free_files": 12}
    (finding,) = bad(changed(PC, disks=[disk]))
    assert "has room for only 12 more files" in finding.sentence


@pytest.mark.parametrize(
    ("says", "file", "bits", "since_boot"),
    [
        ("echo throttled=0x50000", "0", "50000", True),
        ("echo VCHI initialization failed; exit 255", "5", "5", False),
        (None, "0", "0", False),
        (None, None, None, False),
    ],
)
def test_vcgencmd_remembers_and_the_kernels_file_does_not(
    tmp_path: Path, says: str | None, file: str | None, bits: str | None, *, since_boot: bool
) -> None:
    files = {"/usr/bin/vcgencmd": f"#!/bin/sh\n{says}\n"} if says else {}
    if file is not None:
        files[FIRMWARE] = f"{file}\n"
    told = condition(prepared(tmp_path, files))
    assert (told["throttled"], told["throttled_since_boot"]) == (bits, since_boot)


@pytest.mark.parametrize("has_modules", [True, False])
def test_modules_are_those_of_the_kernel_that_runs(tmp_path: Path, *, has_modules: bool) -> None:
    release = KERNEL if has_modules else "6.12.50+rpt-rpi-v8"
    files = {"/proc/sys/kernel/osrelease": KERNEL, f"/lib/modules/{release}/modules.dep": ""}
    assert condition(prepared(tmp_path, files))["has_modules"] is has_modules


def test_an_interrupted_package_is_known_by_dpkgs_own_notes(tmp_path: Path) -> None:
    assert not condition(prepared(tmp_path, {}))["dpkg_stopped"]
    left = {"/var/lib/dpkg/updates/0001": "", "/proc/7/comm": "sshd\n"}
    assert condition(prepared(tmp_path, left))["dpkg_stopped"]
    assert not condition(prepared(tmp_path, {"/proc/8/comm": "dpkg\n"}))["dpkg_stopped"]


def test_the_root_is_what_was_mounted_there_last() -> None:
    mounts = "/dev/mmcblk0p2 / ext4 rw 0 0\nproc /proc proc rw 0 0\noverlayroot / overlay rw 0 0\n"
    assert root_type(mounts) == "overlay"
    assert root_type("") is None


def twin(name: str, **told: Any) -> NodeAnswer:  # noqa: ANN401
    base = {key: told[key] for key in ("machine_id", "boot_id") if key in told}
    network = {"host_keys": told.get("keys", [])}
    return answer(changed(PC, base=base, network=network), name)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"machine_id": "a", "boot_id": "1"}, {"machine_id": "a", "boot_id": "1"}, "same machine"),
        ({"machine_id": "a", "boot_id": "1"}, {"machine_id": "a", "boot_id": "2"}, "machine-id of"),
        ({"keys": ["ssh-ed25519 A"]}, {"keys": ["ssh-ed25519 A"]}, "SSH host key of"),
    ],
)
def test_copies_of_a_machine_are_named(
    first: dict[str, Any], second: dict[str, Any], words: str
) -> None:
    here, _ = diagnose([twin("a", **first), twin("b", **second)])
    (finding,) = [one for one in here.findings if one.verdict is not Severity.OK]
    assert words in finding.sentence
    assert "b" in finding.sentence


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"machine_id": "a", "boot_id": "1"}, {"machine_id": "b", "boot_id": "1"}),
        ({"keys": ["ssh-ed25519 A"]}, {"keys": ["ssh-ed25519 B"]}),
        ({}, {}),
    ],
)
def test_containers_of_one_machine_and_strangers_are_no_copies(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    here, _ = diagnose([twin("a", **first), twin("b", **second)])
    assert [one for one in here.findings if one.verdict is not Severity.OK] == []


def test_another_machine_at_a_nodes_address_is_told_by_its_host_key() -> None:
    there = {"peers": {"b": None}, "peer_keys": {"b": "ssh-ed25519 OTHER"}}
    own = answer(changed(PC, network={"host_keys": ["ssh-ed25519 B"]}), "b")
    here, _ = diagnose([answer(changed(PC, network=there), "a"), own])
    (finding,) = [one for one in here.findings if one.verdict is Severity.PROBLEM]
    assert "reaches a machine other than b" in finding.sentence
    right = {**there, "peer_keys": {"b": "ssh-ed25519 B"}}
    here, _ = diagnose([answer(changed(PC, network=right), "a"), own])
    assert not here.count(Severity.PROBLEM)
