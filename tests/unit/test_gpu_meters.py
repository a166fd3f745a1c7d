"""What the helper finds out about GPUs, by NVIDIA's library and the kernel, and what counts."""

from __future__ import annotations

import ctypes
import json
import os
import select
from pathlib import Path
from typing import Any

import pytest

from collect.account import Account
from collect.attempt import GpuReading, NodeReading, NodeRecord
from experiments.nodes.ssh.readings import node_reading
from experiments.nodes.told import MOST_FACTS
from experiments.trials.execution import Execution
from experiments.trials.validity import invalidity
from herd_node import cards, conversation, driver, gpus
from herd_node.messages import Reply, Request
from tests.doubles.nvml import nvml_library
from tests.doubles.scripted import ScriptedConversation
from tests.doubles.scripted_run import matrix, run, world

NO_LIBRARY = "libno-such.so"


def facts(nvml: str = NO_LIBRARY, devices: str = "/no-such") -> dict[str, Any]:
    """Facts of the GPUs of a prepared machine."""
    return gpus.gpu_facts(nvml, devices)


def test_a_gpu_by_nvidia_is_described_with_what_its_driver_knows(tmp_path: Path) -> None:
    assert facts(nvml_library(tmp_path)) == {
        "gpu_0_name": "NVIDIA GeForce RTX 3060",
        "gpu_0_driver": "550.54.14",
        "gpu_0_memory_mib": 12288,
        "gpu_0_free_mib": 11776,
        "gpu_0_power_limit_w": 170.0,
        "gpu_0_power_limit_default_w": 170.0,
        "gpu_0_power_limit_maximum_w": 212.0,
        "gpu_0_clock_mhz": 210,
        "gpu_0_clock_maximum_mhz": 2100,
        "gpu_0_memory_clock_mhz": 405,
        "gpu_0_memory_clock_maximum_mhz": 7501,
        "gpu_0_pcie_generation": 1,
        "gpu_0_pcie_generation_maximum": 4,
        "gpu_0_pcie_width": 16,
        "gpu_0_pcie_width_maximum": 16,
        "gpu_0_persistence_mode": True,
        "gpu_0_compute_mode": "default",
        "gpu_0_used_by": "a process (pid 4194304)",
    }


def test_what_a_driver_does_not_know_costs_nothing_else(tmp_path: Path) -> None:
    windows = facts(nvml_library(tmp_path, WSL=1, OLD=1, GPUS=2))
    assert windows["gpu_1_name"] == "NVIDIA GeForce RTX 3060"
    assert windows["gpu_1_memory_mib"] == 12288
    lacking = ("power_limit", "persistence_mode", "compute_mode", "used_by")
    assert not any(word in name for name in windows for word in lacking)


def test_a_machine_without_a_driver_has_no_such_facts(tmp_path: Path) -> None:
    assert facts() == {}
    assert facts(nvml_library(tmp_path, INIT=9)) == {}


@pytest.mark.parametrize("how", ["crash", "hang", "exit"])
def test_a_driver_that_crashes_or_hangs_costs_nothing_but_its_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(driver, "ANSWER_S", 1)
    at_once, later = ({when: f'"{how}"'} for when in ("FAILS_AT_ONCE", "FAILS_LATER"))
    assert facts(nvml_library(tmp_path, **at_once)) == {}
    library = nvml_library(tmp_path, **later)
    assert facts(library)["gpu_0_name"] == "NVIDIA GeForce RTX 3060"
    meter = gpus.GpuMeter(0, library)
    assert meter.reading()["gpu_power_limit_mw"] == 170000
    assert meter.energy() == {}, "it failed"
    assert meter.reading() == {"gpu_index": 0, "gpu_reasons": None} | {
        name: None for name in meter.reading() if name != "gpu_index"
    }


def test_a_driver_that_talks_or_shows_too_much_is_taken_with_care(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = facts(nvml_library(tmp_path, GPUS="(1u << 31)", NAME='"\\033[31mred"', TALKS=1))
    assert told["gpu_0_name"] == "?[31mred"
    assert "gpu_15_name" in told
    assert "gpu_16_name" not in told
    assert len(told) < MOST_FACTS
    assert capfd.readouterr() == ("", ""), "the helper's replies go there"


def test_the_process_of_a_driver_ends_with_who_asks_it(tmp_path: Path) -> None:
    started = driver.Driver(nvml_library(tmp_path))
    pid = ctypes.c_uint()
    assert started.result_of("own_pid", pid) == 0
    assert started.result_of("no_such") is None
    assert not started.is_gone
    process = os.pidfd_open(pid.value)
    try:
        del started
        assert select.select([process], [], [], 5.0)[0]
    finally:
        os.close(process)


def test_processes_of_others_are_named_and_our_own_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = nvml_library(tmp_path, PID=os.getpid())
    name = Path("/proc/self/comm").read_text().strip()
    expected = f"a process (pid 4194304), {name} (pid {os.getpid()}, 350 MiB)"
    assert facts(library)["gpu_0_used_by"] == expected
    ours = "0::/system.slice/herd-r1-root.service\n"
    monkeypatch.setattr(gpus, "content", lambda path: ours if str(os.getpid()) in path else "")
    assert facts(library)["gpu_0_used_by"] == "a process (pid 4194304)"


def test_a_gpu_by_amd_is_described_by_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "devices" / "0000:03:00.0"
    sensors = folder / "hwmon/hwmon3"
    for part in (folder / "drm/renderD128", folder / "drm/card0", sensors, tmp_path / "amdgpu"):
        part.mkdir(parents=True)
    (folder / "driver").symlink_to(tmp_path / "amdgpu")
    for path, text in {
        folder / "vendor": "0x1002",
        folder / "device": "0x73bf",
        folder / "mem_info_vram_total": "17163091968",
        folder / "mem_info_vram_used": "1073741824",
        folder / "current_link_speed": "16.0 GT/s PCIe",
        folder / "max_link_width": "16",
        sensors / "power1_cap": "203000000",
        sensors / "freq1_input": "500000000",
    }.items():
        path.write_text(f"{text}\n")
    devices = str(tmp_path / "devices")
    assert facts(devices=devices) == {}, "it has no node in /dev, as in a container"

    there = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: "/dev/dri/" in path or there(path))
    assert facts(devices=devices) == {
        "gpu_0_name": "AMD GPU 0x73bf",
        "gpu_0_driver": "amdgpu",
        "gpu_0_memory_mib": 16368,
        "gpu_0_free_mib": 15344,
        "gpu_0_power_limit_w": 203,
        "gpu_0_clock_mhz": 500,
        "gpu_0_pcie_generation": 4,
        "gpu_0_pcie_width_maximum": 16,
    }
    (folder / "vendor").write_text("0x1234\n")
    assert facts(devices=devices) == {}, "a screen of a virtual machine"


# -- readings of a trial


def told(meter: Any) -> NodeReading:  # noqa: ANN401 - of a program
    """A reading as it arrives at the controller."""
    values = {key: str(value) for key, value in meter.reading().items() if value is not None}
    return node_reading(values)


def test_a_meter_sees_between_two_readings_why_clocks_were_held_back(tmp_path: Path) -> None:
    meter = gpus.GpuMeter(0, nvml_library(tmp_path, REASONS=0x40))
    before = told(meter).gpu
    assert before is not None
    assert (before.reasons, before.power_limit_w) == (0x1, 170.0)
    assert meter.look() == meter.EVERY_S
    assert 0 < meter.look() <= meter.EVERY_S, "it is not time again"
    after = told(meter).gpu
    assert after is not None
    assert (after.reasons_meanwhile, after.clock_meanwhile_mhz) == (0x40, 210)
    again = told(meter).gpu
    assert again is not None
    assert again.reasons_meanwhile == 0, "it was reported"


def test_a_gpu_that_is_not_there_is_never_looked_at(tmp_path: Path) -> None:
    for meter in (gpus.GpuMeter(0, NO_LIBRARY), gpus.GpuMeter(3, nvml_library(tmp_path))):
        assert meter.look() is None
        assert meter.reading() == {}
    assert node_reading({}).gpu is None


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> conversation.Conversation:
    """A conversation on a machine with such a GPU."""
    library = nvml_library(tmp_path)
    monkeypatch.setattr(conversation, "Systemd", lambda: None)
    monkeypatch.setattr(conversation, "number_of_nvidia", lambda backend, index: index)
    monkeypatch.setattr(conversation, "GpuMeter", lambda index: gpus.GpuMeter(index, library))
    return conversation.Conversation()


def test_only_units_with_a_gpu_have_it_looked_at(talk: conversation.Conversation) -> None:
    talk._watch_gpu(Request(["run", "unit=herd-a-root"]))
    assert not any(key.startswith("gpu") for key in talk._reading())
    with_gpu = Request(["run", "unit=herd-b-root", "gpu=cuda", "gpu_index=0"])
    talk._watch_gpu(with_gpu)
    assert talk._reading()["gpu_index"] == 0
    talk._watch_gpu(Request(["run", "unit=herd-c-root"]))
    assert not any(key.startswith("gpu") for key in talk._reading()), "herd-b was refused a start"


def test_facts_have_a_part_for_gpus(
    talk: conversation.Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, bytes | str] = {}
    monkeypatch.setattr(conversation, "facts", lambda reply, interface: None)
    monkeypatch.setattr(conversation, "gpu_facts", lambda: {"gpu_0_name": "x"})
    monkeypatch.setattr(Reply, "part", lambda self, name, content: said.update({name: content}))
    monkeypatch.setattr(Reply, "send", lambda self, **_: None)
    talk.verb_facts(Request(["facts"]), Reply("facts"))
    assert json.loads(said["gpus"]) == {"gpu_0_name": "x"}


# -- what makes a trial invalid

CALM = GpuReading(
    index=0,
    reasons=0x1,
    reasons_meanwhile=0,
    power_held_s=5.0,
    heat_held_s=3.0,
    set_clock_mhz=1800,
    power_limit_w=170.0,
    power_default_w=170.0,
    temperature_c=61.0,
)


def reason(before: dict[str, object] | None = None, **after: object) -> str | None:
    """Why a trial does not count whose GPU was so before and after it."""
    readings = [
        NodeReading(gpu=CALM.model_copy(update=changed)) for changed in (before or {}, after)
    ]
    record = NodeRecord(before=readings[0], after=readings[1])
    return invalidity(Execution(started_at=0.0, readings={"desk": record}), {}, {})


def test_a_calm_gpu_is_no_reason() -> None:
    assert reason() is None
    assert reason(power_held_s=5.1, heat_held_s=3.1) is None, "one step of the counters"
    assert reason(reasons_meanwhile=0x1 | 0x2 | 0x10 | 0x100) is None, "idle, or set by the user"


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"reasons_meanwhile": 0x20}, "slowed down because of heat (61 °C after it)"),
        ({"reasons_meanwhile": 0x48}, "slowed down because of heat"),
        ({"heat_held_s": 3.5}, "slowed down because of heat"),
        ({"reasons_meanwhile": 0x8}, "slowed down by its hardware"),
        ({"reasons": 0x80}, "slowed down by its hardware"),
        ({"reasons": None, "power_limit_w": None}, "driver stopped answering meanwhile"),
        ({"reasons_meanwhile": 0x4}, "power limit (170 W) held its clocks back"),
        ({"power_held_s": 5.3}, "`sudo nvidia-smi -i 0 -pl 144`"),
        ({"power_limit_w": 150.0}, "power limit was changed from 170 to 150 W"),
        ({"set_clock_mhz": 1500}, "clock setting was changed from 1800 to 1500 MHz"),
    ],
)
def test_a_gpu_that_was_slowed_down_or_set_differently_is_one(
    after: dict[str, object], expected: str
) -> None:
    found = str(reason(**after))
    assert found.startswith("desk: its GPU")
    assert expected in found


def test_a_power_limit_that_the_user_chose_is_part_of_the_machine() -> None:
    chosen: dict[str, object] = {"power_limit_w": 144.0}
    assert reason(chosen, **chosen, power_held_s=60.0, reasons_meanwhile=0x4) is None
    unknown: dict[str, object] = {"power_limit_w": None, "power_default_w": None}
    assert reason(unknown, **unknown, reasons_meanwhile=0x4) is None, "a laptop's cannot be set"
    assert "heat" in str(reason(chosen, **chosen, reasons_meanwhile=0x24))


def test_counters_that_a_driver_lacks_are_no_reason() -> None:
    nothing = dict.fromkeys(GpuReading.model_fields.keys() - {"index"})
    assert reason(nothing, **nothing) is None


# -- which GPU it is, and its energy


def test_a_unit_without_other_counters_has_the_energy_of_its_gpu(
    talk: conversation.Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk._energy.obstacle = "its processor has no energy counter that the kernel knows"
    assert talk._joules() == {}
    talk._watch_gpu(Request(["run", "unit=herd-b-root", "gpu=cuda", "gpu_index=0"]))
    first, second = talk._joules(), talk._joules()
    assert first.keys() == {"at_s", "NVML gpu-0"}
    assert float(str(second["NVML gpu-0"])) - float(str(first["NVML gpu-0"])) == 0.25
    monkeypatch.setattr(talk._energy, "reading", lambda: {"at_s": "1", "RAPL package-0": "2"})
    assert "RAPL package-0" in talk._joules()


def test_only_gpus_by_nvidia_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    card = cards.Card
    amd, first, second = (
        card("0000:01:00.0", None, "renderD128"),
        *(card(f"0000:0{bus}:00.0", minor, "") for bus, minor in ((2, 1), (3, 0))),
    )
    monkeypatch.setattr(cards, "there", lambda *_: [])
    monkeypatch.setattr(cards, "cards_of_nvidia", lambda: [first, second])
    monkeypatch.setattr(cards, "cards_of_vulkan", lambda _: [amd, first, second])
    assert [cards.number_of_nvidia("cuda", index) for index in range(3)] == [0, 1, None]
    assert [cards.number_of_nvidia("vulkan", index) for index in range(4)] == [None, 0, 1, None]
    monkeypatch.setattr(cards, "there", lambda *_: ["/dev/dxg"])
    assert (cards.number_of_nvidia("cuda", 1), cards.number_of_nvidia("vulkan", 0)) == (1, None)


def test_an_attempt_on_a_hot_gpu_is_recorded_as_invalid_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ScriptedConversation._reading
    hot = b"gpu_index=0\ngpu_reasons=20\ngpu_used_by=Xorg (pid 812, 350 MiB)\n"
    monkeypatch.setattr(
        ScriptedConversation, "_reading", lambda self, swapped: usual(self, swapped) + hot
    )
    asked = matrix(repeats=1, warmup=0, max_attempts=1)
    result = run(tmp_path, world(tmp_path), asked=asked)

    account = Account.read(result.folder)
    attempt = next(one for state in account.trials for one in state.attempts)
    assert attempt.record is not None
    assert attempt.record.outcome == "invalid"
    assert attempt.record.cause == (
        "pi1: its GPU was slowed down because of heat: give it more air, or a lower power limit "
        "(`sudo nvidia-smi -i 0 -pl WATTS`)"
    )
    after = attempt.record.nodes["pi1"].after
    assert after is not None
    assert after.gpu == GpuReading(index=0, reasons=0x20, used_by="Xorg (pid 812, 350 MiB)")
