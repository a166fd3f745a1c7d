"""What trials use: counters that begin anew, go, or were never there, up to the tables."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from pathlib import Path
from typing import Any

import pytest

from collect.account import Account
from collect.energy import trial_energy
from collect.tables import build_tables
from experiments.trials.meter import energy_between
from herd_node import meters
from tests.doubles.scripted import World
from tests.doubles.scripted_run import matrix, run, world
from tests.unit.test_trial_server import HeardLauncher

RANGE_UJ = 262_143_328_850


class Machine:
    """A prepared /sys/class/powercap."""

    def __init__(self, folder: Path) -> None:
        self.powercap = folder / "powercap"
        self.powercap.mkdir()
        self.container = folder / "container"

    def zone(self, path: str, name: str, energy_uj: int) -> Path:
        """A zone as the kernel shows it."""
        folder = self.powercap / path
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        (folder / "energy_uj").write_text(f"{energy_uj}\n")
        return folder / "energy_uj"

    def energy(self, nvml: str = "libno-such.so") -> Any:  # noqa: ANN401 - of a program
        """What the helper makes of it."""
        return meters.Energy(str(self.powercap), str(self.container), nvml)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def used(energy: Any, begin: dict[str, str]) -> dict[str, float]:  # noqa: ANN401 - likewise
    """Joules by counter since a reading."""
    end = energy.reading()
    return {name: float(end[name]) - float(begin[name]) for name in begin if name != "at_s"}


def test_packages_and_the_memory_beside_them_are_counted_and_their_parts_are_not(
    machine: Machine,
) -> None:
    package = machine.zone("intel-rapl:0", "package-0", 1_000_000)
    machine.zone("intel-rapl:0/intel-rapl:0:0", "core", 7)
    memory = machine.zone("intel-rapl:0/intel-rapl:0:1", "dram", 500)
    machine.zone("intel-rapl:1", "psys", 7)
    machine.zone("intel-rapl-mmio:0", "package-0", 7)

    energy = machine.energy()
    assert energy.obstacle == ""
    assert energy.names() == "RAPL package-0, RAPL package-0 dram"
    begin = energy.reading()
    package.write_text("3500000")
    memory.write_text("250500")
    assert used(energy, begin) == {"RAPL package-0": 2.5, "RAPL package-0 dram": 0.25}


def test_a_counter_that_begins_anew_goes_on(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0", RANGE_UJ - 1_000_000)
    energy = machine.energy()
    begin = energy.reading()
    package.write_text("2000000")
    assert used(energy, begin) == {"RAPL package-0": pytest.approx(3.0)}


def test_a_counter_is_looked_at_before_it_could_begin_anew_twice(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0", 0)
    energy = machine.energy()
    begin = energy.reading()
    for energy_uj in (RANGE_UJ // 2, 10, RANGE_UJ // 2, 10):
        package.write_text(str(energy_uj))
        energy._due = 0.0  # half a minute went by
        assert energy.look() == meters.Energy.EVERY_S
    assert used(energy, begin) == {"RAPL package-0": pytest.approx(2 * RANGE_UJ / 1e6)}
    assert 0 < energy.look() <= meters.Energy.EVERY_S, "it is not time again"


def test_a_counter_that_goes_leaves_no_reading(machine: Machine) -> None:
    package = machine.zone("intel-rapl:0", "package-0", 5)
    energy = machine.energy()
    assert energy.reading()
    package.unlink()
    assert energy.reading() == {}
    assert energy.look() is None
    package.write_text("7")
    assert energy.reading() == {}, "what was missed is not known"


def test_why_energy_is_not_known_is_told(machine: Machine) -> None:
    none = machine.energy()
    assert none.obstacle == "its processor has no energy counter that the kernel knows"
    assert none.reading() == {}

    locked = machine.zone("intel-rapl:0", "package-0", 5)
    locked.unlink()
    locked.mkdir()  # cannot be read, by root neither
    assert machine.energy().obstacle == ("the kernel does not let its processor's counter be read")
    machine.container.touch()
    assert machine.energy().obstacle == (
        "it runs in a container, where the host's counters include other nodes"
    )


NVML = """
static unsigned long long energy_mj = 5000;
int nvmlInit_v2(void) {{ return {init}; }}
int nvmlDeviceGetCount_v2(unsigned *count) {{ *count = 2; return 0; }}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {{
    static int devices[2];
    *device = &devices[index];
    return 0;
}}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *energy) {{
    *energy = energy_mj += 250;
    return {energy};
}}
"""
"""A library with the functions of NVML that are asked, and their signatures."""


def nvml(folder: Path, init: int = 0, energy: int = 0, source: str = NVML) -> str:
    """Such a library, whose functions return so."""
    file, library = folder / "nvml.c", folder / "libnvml-double.so"
    file.write_text(source.format(init=init, energy=energy))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, file], check=True)
    return str(library)


def test_gpus_are_counted_beside_the_processor(machine: Machine, tmp_path: Path) -> None:
    machine.zone("intel-rapl:0", "package-0", 5)
    energy = machine.energy(nvml(tmp_path))
    assert energy.names() == "RAPL package-0, NVML gpu-0, NVML gpu-1"
    begin = energy.reading()
    assert used(energy, begin) == {"RAPL package-0": 0, "NVML gpu-0": 0.5, "NVML gpu-1": 0.5}


def test_a_gpu_that_does_not_count_makes_the_machine_unknown(
    machine: Machine, tmp_path: Path
) -> None:
    machine.zone("intel-rapl:0", "package-0", 5)
    energy = machine.energy(nvml(tmp_path, energy=3))
    assert energy.obstacle == "it has an NVIDIA GPU that does not count its energy"


def test_a_driver_that_knows_no_energy_makes_the_machine_unknown(
    machine: Machine, tmp_path: Path
) -> None:
    machine.zone("intel-rapl:0", "package-0", 5)
    old = NVML.replace("nvmlDeviceGetTotalEnergyConsumption", "nvmlSomethingElse")
    energy = machine.energy(nvml(tmp_path, source=old))
    assert energy.obstacle == "it has an NVIDIA GPU that does not count its energy"


def test_a_gpu_whose_driver_is_not_loaded_is_not_in_use(machine: Machine, tmp_path: Path) -> None:
    machine.zone("intel-rapl:0", "package-0", 5)
    assert machine.energy(nvml(tmp_path, init=9)).names() == "RAPL package-0"


def test_the_doubles_library_is_called_as_c_does(tmp_path: Path) -> None:
    library = ctypes.CDLL(nvml(tmp_path))
    value = ctypes.c_ulonglong(0)
    assert library.nvmlDeviceGetTotalEnergyConsumption(None, ctypes.byref(value)) == 0
    assert value.value == 5250


def test_between_two_readings_lies_what_was_used() -> None:
    before = {"at_s": "10.5", "RAPL package-0": "100.25"}
    found = energy_between(before, {"at_s": "14.5", "RAPL package-0": "160.5"})
    assert found is not None
    assert (found.joules, found.window_s) == ({"RAPL package-0": 60.25}, 4.0)
    assert energy_between(before, {}) is None
    assert energy_between({}, before) is None
    assert energy_between(before, {**before, "NVML gpu-0": "1"}) is None


# -- a run


def counting_world(tmp_path: Path, *without: str, **changed: object) -> World:
    """Each node is a machine of its own that counts 100 J from look to look, but for some."""
    made, looks = world(tmp_path), itertools.count()
    made.boot_id = lambda node: f"boot of {node}"
    made.joules = lambda node: None if node in without else {"RAPL package-0": 100.0 * next(looks)}
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def test_a_trial_has_what_all_its_nodes_used(tmp_path: Path) -> None:
    result = run(tmp_path, counting_world(tmp_path))

    account = Account.read(result.folder)
    trials = build_tables(result.folder).trials
    done = trials[trials["state"] == "done"]
    assert set(done["nodes"]) == {1, 2}
    assert (done["energy_j"] > 0).all()
    assert (done["energy_window_s"] > 0).all()
    assert set(done["energy_counters"]) == {"RAPL package-0"}
    per_token = done["energy_j"] / done["generated_tokens"]
    assert (done["energy_j_per_token"] - per_token).abs().max() < 1e-9
    assert done["energy_j_per_answer"].isna().all()
    for state in account.trials:
        for attempt in state.attempts:
            assert attempt.record is not None
            assert set(attempt.record.energy) == set(state.cell.nodes)
    nodes = build_tables(result.folder).nodes
    assert (nodes["energy_j"] > 0).all()


def test_a_trial_of_which_one_node_does_not_count_has_no_energy(tmp_path: Path) -> None:
    result = run(tmp_path, counting_world(tmp_path, "pi2"))
    trials = build_tables(result.folder).trials
    by_nodes = trials[trials["state"] == "done"].groupby("nodes")["energy_j"]
    assert by_nodes.count().to_dict() == {1: 2, 2: 0}


def test_nodes_of_one_machine_are_not_counted_twice(tmp_path: Path) -> None:
    result = run(tmp_path, counting_world(tmp_path, boot_id=lambda node: "the same"))
    trials = build_tables(result.folder).trials
    by_nodes = trials[trials["state"] == "done"].groupby("nodes")["energy_j"]
    assert by_nodes.count().to_dict() == {1: 2, 2: 0}


def test_only_nodes_with_counters_are_asked_and_the_roots_never(tmp_path: Path) -> None:
    for without, asked in ((("pi1", "pi2", "pi3"), []), ((), ["pi2"])):
        folder = tmp_path / str(len(without))
        folder.mkdir()
        made = counting_world(folder, *without)
        launcher = HeardLauncher(made)
        run(folder, made, launcher=launcher, asked=matrix(repeats=1, warmup=0))
        heard = [node for node, request in launcher.heard if request.verb == "energy"]
        assert heard == asked * 2


def test_an_api_has_no_energy(tmp_path: Path) -> None:
    result = run(tmp_path, counting_world(tmp_path))
    account = Account.read(result.folder)
    chosen = next(state.chosen for state in account.trials if state.chosen)
    assert chosen.record is not None
    assert chosen.measurement is not None
    assert trial_energy(account.manifest, (), chosen.record, chosen.measurement) == {}
