"""What a node says of itself, on file trees as Raspberry Pis and PCs have them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "roles" / "node_base" / "files" / "node_facts.py"
SERIAL = "10000000f2c4a1b7"
TREE = "sys/firmware/devicetree/base"
CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"

PI = {
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    f"{TREE}/serial-number": f"{SERIAL}\0",
    f"{TREE}/chosen/bootloader/build-timestamp": struct.pack(">I", 1_714_732_800),
    f"{CPUFREQ}/scaling_governor": "performance\n",
}
PI_4 = {
    **PI,
    f"{TREE}/model": "Raspberry Pi 4 Model B Rev 1.5\0",
    f"{TREE}/system/linux,revision": struct.pack(">I", 0xC03115),
    "proc/cpuinfo": f"CPU part\t: 0xd08\n\nRevision\t: c03115\nSerial\t\t: {SERIAL}\n",
    "proc/meminfo": "MemTotal:        3884376 kB\n",
    "proc/swaps": "Filename Type Size Used Priority\n/var/swap file 524272 1024 -2\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    f"{CPUFREQ}/cpuinfo_max_freq": "1800000\n",
    "sys/class/net/eth0/speed": "1000\n",
    "sys/class/net/wlan0/phy80211/index": "0\n",
}
PI_5 = {
    **PI,
    f"{TREE}/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    f"{TREE}/system/linux,revision": struct.pack(">I", 0xD04170),
    "proc/cpuinfo": f"CPU part\t: 0xd0b\n\nSerial\t\t: {SERIAL}\n",
    "proc/meminfo": "MemTotal:        8256208 kB\n",
    "proc/swaps": "Filename Type Size Used Priority\n"
    "/dev/zram0 partition 2097136 0 100\n/dev/sda2 partition 1024 0 -2\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    f"{CPUFREQ}/cpuinfo_max_freq": "2400000\n",
    "sys/class/net/eth0/speed": "-1\n",
}
PC = {
    "etc/machine-id": "fedcba9876543210fedcba9876543210\n",
    "sys/class/dmi/id/product_name": "OptiPlex 7050\n",
    "proc/cpuinfo": "model name\t: Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz\n",
    "proc/meminfo": "MemTotal:        16257344 kB\n",
    "proc/swaps": "Filename Type Size Used Priority\n",
}


def load() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("node_facts", str(PROGRAM))
    spec = importlib.util.spec_from_loader("node_facts", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def told(
    folder: Path, files: dict[str, Any], interface: str = "eth0", **said: str
) -> dict[str, Any]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    module = load()
    module.ROOT = folder
    module.said = lambda *argv: said.get(argv[0].replace("-", "_").replace("+", "p"), "")
    facts: dict[str, Any] = module.facts(interface)
    return facts


def test_a_pi_4_tells_board_memory_clock_and_swap_file(tmp_path: Path) -> None:
    facts = told(tmp_path, PI_4, systemd_detect_virt="none", systemctl="inactive\nactive\ninactive")
    assert facts["board"] == "Raspberry Pi 4 Model B Rev 1.5"
    assert (facts["board_revision"], facts["bootloader"]) == ("c03115", "2024-05-03")
    assert (facts["cpu_model"], facts["memory_mib"]) == ("Cortex-A72", 3793)
    assert (facts["max_frequency_mhz"], facts["governor"]) == (1800, "performance")
    assert (facts["swap_mib"], facts["swap_kinds"]) == (511, "file")
    assert (facts["nic"], facts["wireless"], facts["link_mbit"]) == ("eth0", None, None)
    assert facts["clock_service"] == "chrony"
    assert facts["virtualisation"] == "none"


def test_a_pi_5_under_trixie_has_zram_and_pages_of_16_kib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 16384}.__getitem__)
    facts = told(tmp_path, PI_5)
    assert (facts["cpu_model"], facts["board_revision"]) == ("Cortex-A76", "d04170")
    assert (facts["swap_mib"], facts["swap_kinds"]) == (2048, "partition, zram")
    assert facts["page_size"] == 16384
    assert facts["link_mbit"] is None, "-1 is sysfs for a link that is down"


def driven_by(folder: Path, driver: str, *interfaces: str, speed: str = "1000") -> None:
    """Give interfaces a device with a driver, as sysfs shows it."""
    (drivers := folder / f"sys/bus/pci/drivers/{driver}").mkdir(parents=True, exist_ok=True)
    for name in interfaces:
        device = folder / f"sys/class/net/{name}/device"
        device.mkdir(parents=True)
        (device / "driver").symlink_to(drivers)
        (device.parent / "speed").write_text(f"{speed}\n")


def link(folder: Path, interface: str = "eth0") -> tuple[Any, Any, Any]:
    facts = told(folder, {}, interface)
    return facts["nic_driver"], facts["wireless"], facts["link_mbit"]


def test_a_card_of_a_virtual_machine_is_made_up_as_its_speed_is(tmp_path: Path) -> None:
    driven_by(tmp_path, "e1000", "eth0")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("flags\t\t: fpu vme hypervisor lahf_lm\n")
    assert link(tmp_path) == ("e1000", None, None)


def test_a_processor_with_two_kinds_of_cores_tells_both(tmp_path: Path) -> None:
    cores = "CPU part\t: 0xd05\n\nCPU part\t: 0xd05\n\nCPU part\t: 0xd0b\n"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cores)
    assert told(tmp_path, {})["cpu_model"] == "Cortex-A55 and Cortex-A76"


def test_a_device_with_a_driver_of_hardware_is_known_to_be_wired(tmp_path: Path) -> None:
    driven_by(tmp_path, "bcmgenet", "eth0")
    assert link(tmp_path) == ("bcmgenet", False, 1000)


def test_wireless_is_told_by_the_interface_that_engines_use(tmp_path: Path) -> None:
    driven_by(tmp_path, "bcmgenet", "eth0")
    assert told(tmp_path, PI_4, "wlan0")["wireless"] is True
    assert told(tmp_path, PI_4, "eth0")["wireless"] is False


@pytest.mark.parametrize("driver", ["hv_netvsc", "virtio_net", "vmxnet3"])
def test_what_a_hypervisor_lends_has_neither_kind_nor_speed(tmp_path: Path, driver: str) -> None:
    """Windows' Wi-Fi is eth0 with 10000 Mbit/s inside WSL."""
    driven_by(tmp_path, driver, "eth0", speed="10000")
    assert link(tmp_path) == (driver, None, None)


@pytest.mark.parametrize("kind", ["veth", "bridge", "tun"])
def test_an_interface_without_a_device_has_neither(tmp_path: Path, kind: str) -> None:
    files = {f"sys/class/net/eth0/{kind}": "", "sys/class/net/eth0/speed": "10000\n"}
    facts = told(tmp_path, files)
    assert (facts["wireless"], facts["link_mbit"]) == (None, None)


def test_a_bridge_or_bond_is_what_lies_below_it(tmp_path: Path) -> None:
    """Proxmox gives the address to a bridge; the slowest of its cables counts."""
    driven_by(tmp_path, "igb", "enp1s0", speed="1000")
    driven_by(tmp_path, "r8169", "enp2s0", speed="100")
    for upper, below in (("bond0", ("enp1s0", "enp2s0")), ("vmbr0", ("bond0", "veth1"))):
        (folder := tmp_path / f"sys/class/net/{upper}").mkdir(parents=True)
        for name in below:
            (folder / f"lower_{name}").symlink_to(f"../{name}")
    (tmp_path / "sys/class/net/veth1").mkdir()
    assert link(tmp_path, "vmbr0") == ("igb", False, 100)


LEASED = "2: eth0    inet 192.0.2.7/24 brd 192.0.2.255 scope global dynamic noprefixroute eth0\\"
FIXED = "2: eth0    inet 192.0.2.8/24 brd 192.0.2.255 scope global noprefixroute eth0\\"


@pytest.mark.parametrize(
    ("shown", "is_leased"),
    [([LEASED], True), ([FIXED], False), ([LEASED, FIXED], False), ([], None)],
)
def test_an_address_that_runs_out_is_a_lease(
    tmp_path: Path, shown: list[str], *, is_leased: bool | None
) -> None:
    assert told(tmp_path, PI_4, ip="\n".join(shown))["address_leased"] is is_leased


def test_neither_serial_nor_machine_id_is_told_but_their_hashes_stay_the_same(
    tmp_path: Path,
) -> None:
    first = told(tmp_path / "a", PI_4)
    again = told(tmp_path / "b", PI_5)
    assert first["serial_hash"] == again["serial_hash"]
    assert len(first["serial_hash"]) == 16
    for secret in (SERIAL, SERIAL[8:], "0123456789abcdef"):
        assert secret not in json.dumps(first)
    other = told(tmp_path / "c", {**PI_4, f"{TREE}/serial-number": "10000000f2c4a1b8\0"})
    assert other["serial_hash"] != first["serial_hash"]
    assert other["machine_id"] == first["machine_id"]


def test_a_board_without_a_serial_has_no_hash_of_one(tmp_path: Path) -> None:
    assert told(tmp_path, {**PI_4, f"{TREE}/serial-number": "0" * 16})["serial_hash"] is None


def test_a_pc_has_null_for_what_only_a_pi_has(tmp_path: Path) -> None:
    facts = told(tmp_path, PC, "enp0s31f6", gpp="g++ (Debian 14.2.0-19) 14.2.0\nCopyright")
    assert facts["board"] == "OptiPlex 7050"
    assert facts["cpu_model"] == "Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz"
    assert facts["compiler"] == "g++ (Debian 14.2.0-19) 14.2.0"
    assert (facts["swap_mib"], facts["swap_kinds"]) == (0, None)
    for name in ("board_revision", "serial_hash", "bootloader", "governor", "nic_driver"):
        assert facts[name] is None, name


@pytest.mark.parametrize(
    ("limits", "cores", "quota", "memory_mib"),
    [
        ({"cpu.max": "100000 100000\n", "memory.max": "2147483648\n"}, 1, 1.0, 2048),
        ({"cpu.max": "max 100000\n", "memory.max": "max\n"}, None, None, 15876),
        (
            {
                "cpu/cpu.cfs_quota_us": "50000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            1,
            0.5,
            15876,
        ),
    ],
)
def test_a_containers_limits_are_what_it_has(
    tmp_path: Path,
    limits: dict[str, str],
    cores: int | None,
    quota: float | None,
    memory_mib: int,
) -> None:
    facts = told(tmp_path, {**PC, **{f"sys/fs/cgroup/{k}": v for k, v in limits.items()}})
    assert facts["cores"] == (cores or len(os.sched_getaffinity(0)))
    assert facts["cpu_quota"] == quota
    assert facts["memory_mib"] == memory_mib


@pytest.mark.parametrize(
    ("limits", "available_mib"),
    [
        ({}, 1024),
        ({"memory.max": "max\n", "memory.current": "104857600\n"}, 1024),
        (
            {
                "memory.max": "536870912\n",
                "memory.current": "209715200\n",
                "memory.stat": "anon 1\ninactive_file 73400320\nactive_file 31457280\n",
            },
            412,
        ),
        (
            {
                "memory/memory.limit_in_bytes": "1048576\n",
                "memory/memory.usage_in_bytes": "1048576\n",
                "memory/memory.stat": "total_inactive_file 0\n",
            },
            1,
        ),
    ],
)
def test_free_memory_is_what_linux_calls_available_within_a_containers_limit(
    tmp_path: Path, limits: dict[str, str], available_mib: int
) -> None:
    free = {"proc/meminfo": "MemTotal:  8256208 kB\nMemAvailable:  1048576 kB\n"}
    files = {f"sys/fs/cgroup/{name}": text for name, text in limits.items()}
    assert told(tmp_path, {**PC, **free, **files})["available_mib"] == available_mib


def test_the_program_prints_one_line_of_scalars() -> None:
    done = subprocess.run(
        [sys.executable, "-IS", PROGRAM, "lo"], capture_output=True, text=True, check=True
    )
    (line,) = done.stdout.splitlines()
    facts = json.loads(line)
    assert facts["nic"] == "lo"
    assert all(isinstance(v, str | int | float | bool | None) for v in facts.values())
