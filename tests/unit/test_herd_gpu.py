"""The program that has a GPU compute: what it says of drivers that do, and of those that do not."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.packing import packed
from herd_gpu import cuda, device_files, main, vulkan

DOUBLES = Path(__file__).resolve().parents[1] / "doubles"
PACKAGE = Path(main.__file__).parent
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drivers' stand-ins, compiled."""
    folder = tmp_path_factory.mktemp("drivers")
    build = ["g++", "-shared", "-fPIC", "-o"]
    for name in ("vulkan", "cuda"):
        source = DOUBLES / f"{name}_double.cpp"
        subprocess.run([*build, folder / f"lib{name}.so.1", source], check=True)
    (folder / "old.cpp").write_text('extern "C" int cuInit(unsigned) { return 0; }\n')
    subprocess.run([*build, folder / "old.so", folder / "old.cpp"], check=True)
    return folder


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, libraries: Path) -> Ask:
    """What the program says of such a driver, on a machine with no device file but those given."""
    (tmp_path / "icd.json").touch()
    monkeypatch.setattr(vulkan, "LIBRARY", str(libraries / "libvulkan.so.1"))
    monkeypatch.setattr(cuda, "LIBRARY", str(libraries / "libcuda.so.1"))
    monkeypatch.setattr(vulkan, "DRIVERS", (str(tmp_path / "*.json"),))
    monkeypatch.setattr(cuda, "DRIVER_VERSION", str(tmp_path / "version"))
    monkeypatch.setattr(cuda, "WSL_LIBRARIES", str(tmp_path / "wsl"))
    for name in ("OF_NVIDIA", "OF_OTHERS"):
        patterns = (
            pattern.replace("/dev", str(tmp_path)) for pattern in getattr(device_files, name)
        )
        monkeypatch.setattr(device_files, name, tuple(patterns))
    monkeypatch.setattr(device_files, "OF_WINDOWS", str(tmp_path / "dxg"))

    def asked(
        backend: str, mode: str = "", index: int = 0, seconds: float = 10.0
    ) -> dict[str, Any]:
        monkeypatch.setenv("MODE", mode)
        return main.asked(backend, index, seconds)

    return asked


def refused(told: dict[str, Any]) -> str:
    """Why there is no proof."""
    assert told["proof"] is False
    reason = str(told["reason"])
    assert reason.isprintable()
    assert reason.endswith(".")
    assert len(reason) <= 600
    return reason


# -- a driver that computes ---------------------------------------------------------------


def test_vulkans_device_is_described_and_computes(ask: Ask) -> None:
    assert ask("vulkan") == {
        "backend": "vulkan",
        "devices": [
            {
                "index": 0,
                "name": "A card",
                "kind": "discrete",
                "memory_mib": 8192,
                "free_mib": 6144,
                "driver": "a driver 1.2",
            }
        ],
        "proof": True,
        "reason": None,
    }


def test_cudas_devices_are_described_and_the_chosen_one_computes(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\n"
    )
    told = ask("cuda", index=1)
    assert told["proof"] is True
    driver = "NVIDIA 550.54.14, CUDA 12.4"
    first = {"index": 0, "name": "First", "kind": "discrete", "driver": driver}
    second = {"index": 1, "name": "Second", "kind": "integrated", "driver": driver}
    assert told["devices"] == [
        {**first, "memory_mib": 8192, "free_mib": 8192},
        {**second, "memory_mib": 8192, "free_mib": 3072},
    ]


@pytest.mark.parametrize(
    ("mode", "key", "expected"),
    [
        *(("software", "kind", "software"), ("odd kind", "kind", "other")),
        *(("no budget", "free_mib", 8192), ("occupied", "free_mib", 0)),
        ("odd counts", "memory_mib", 8192),
    ],
)
def test_what_vulkan_tells_is_taken_with_care(
    ask: Ask, mode: str, key: str, expected: object
) -> None:
    told = ask("vulkan", mode)
    assert told["devices"][0][key] == expected
    assert told["proof"] is True


@pytest.mark.parametrize("backend", ["vulkan", "cuda"])
@pytest.mark.parametrize("mode", ["odd names", "endless names"])
def test_a_name_is_printable_and_short(ask: Ask, backend: str, mode: str) -> None:
    name = ask(backend, mode)["devices"][0]["name"]
    assert name.isprintable()
    assert 0 < len(name) <= 200


@pytest.mark.parametrize("backend", ["vulkan", "cuda"])
def test_of_many_devices_some_are_listed(ask: Ask, backend: str) -> None:
    assert len(ask(backend, "many")["devices"]) == 16


def test_a_driver_that_talks_adds_nothing_to_the_answer(ask: Ask) -> None:
    assert ask("vulkan", "talks")["proof"] is True


# -- a driver that does not ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("no driver", "vkCreateInstance failed with result -9: no driver fits, so install one"),
        ("no device", "There is no device 0: Vulkan finds 0."),
        ("mismatch", "vkCreateDevice failed with result -3: the driver cannot begin"),
        ("full", "vkAllocateMemory failed with result -2: the GPU has too little free memory"),
        ("no queue", "no queue that computes"),
        ("no memory", "no memory that the CPU reaches"),
        ("maps nothing", "vkMapMemory gave no memory"),
        ("lost", "failed with result -4: the GPU stopped working"),
        ("slow", "the GPU did not end its work in time"),
        ("another error", "result -1000: see this number in Vulkan's VkResult"),
        ("computes wrong", "should have written 0x3faf4a4f and wrote 0xbfaf4a4f"),
        ("does nothing", "should have written 0x0 and wrote 0xffffffff"),
        ("exits", "ended the program in vkQueueSubmit (an early exit)"),
    ],
)
def test_what_fails_in_vulkan_is_one_sentence_with_its_cause(
    ask: Ask, mode: str, reason: str
) -> None:
    assert reason in refused(ask("vulkan", mode))


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("2", "error 2: the GPU has too little free memory"),
        ("3", "error 3: the driver is not initialised"),
        ("34", "error 34: the library is a stub of the CUDA toolkit"),
        ("100", "error 100: the driver finds no GPU. "),
        ("802", "nvidia-fabricmanager"),
        ("803", "error 803: the library does not fit the driver in the kernel"),
        ("804", "error 804: the library is newer than this driver"),
        ("999", "error 999: the driver does not know why"),
        ("12345", "error 12345: see this number in CUDA's manual of errors"),
        ("no device", "There is no GPU 0: CUDA finds 0."),
        ("negative", "There is no GPU 0: CUDA finds 0."),
        ("occupied", "cuDevicePrimaryCtxRetain failed with error 46: the GPU is busy"),
        ("full", "error 2: the GPU has too little free memory"),
        ("old driver", "cuModuleLoadData failed with error 222: the driver is too old"),
        ("faults", "cuCtxSynchronize failed with error 700"),
        ("computes wrong", "It computes wrong"),
    ],
)
def test_what_fails_in_cuda_is_one_sentence_with_its_cause(
    ask: Ask, mode: str, reason: str
) -> None:
    assert reason in refused(ask("cuda", mode))


def test_devices_are_listed_even_where_the_chosen_one_fails(ask: Ask) -> None:
    assert [one["name"] for one in ask("cuda", "full")["devices"]] == ["First", "Second"]
    assert ask("cuda", index=2)["reason"].startswith("There is no GPU 2: CUDA finds 2.")
    assert ask("vulkan", "exits")["devices"][0]["name"] == "A card"


@pytest.mark.parametrize(
    ("backend", "mode", "function"),
    [
        ("vulkan", "hangs", "vkQueueSubmit"),
        ("vulkan", "hangs at once", "vkCreateInstance"),
        ("cuda", "hangs", "cuInit"),
    ],
)
def test_a_driver_that_hangs_is_left_behind(
    ask: Ask, backend: str, mode: str, function: str
) -> None:
    begun = time.monotonic()
    reason = refused(ask(backend, mode, seconds=0.4))
    assert time.monotonic() - begun < 5.0
    assert reason == f"The driver did not return from {function} within 0.4 s."


def test_what_a_driver_writes_into_the_programs_own_pipe_is_left_out() -> None:
    reading, writing = os.pipe()
    for line in ("no JSON", "[1", "5", "null", '{"doing": "vkQueueSubmit"}', "\xff"):
        os.write(writing, f"{line}\n".encode("latin-1"))
    os.close(writing)
    told: dict[str, Any] = {"doing": "to start"}
    assert main.heard(reading, told, time.monotonic() + 5.0)
    os.close(reading)
    assert told == {"doing": "vkQueueSubmit"}


# -- what is missing or closed ------------------------------------------------------------


def test_a_library_that_is_missing_names_its_package(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vulkan, "LIBRARY", "libvulkan-of-nobody.so.1")
    monkeypatch.setattr(cuda, "LIBRARY", "libcuda-of-nobody.so.1")
    assert "install Debian's package libvulkan1" in refused(ask("vulkan"))
    assert "install NVIDIA's driver (on Debian the packages" in refused(ask("cuda"))
    (tmp_path / "dxg").touch()
    assert "install or update NVIDIA's driver in Windows" in refused(ask("cuda"))
    (tmp_path / "wsl").mkdir()
    (tmp_path / "wsl" / "libcuda-of-nobody.so.1").touch()
    assert "The loader does not find" in refused(ask("cuda"))


def test_a_library_that_is_broken_or_too_old_is_named(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, libraries: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(cuda, "LIBRARY", str(libraries / "old.so"))
    assert "is too old: it has no function cuDriverGetVersion" in refused(ask("cuda"))
    (tmp_path / "broken.so").write_text("no library")
    monkeypatch.setattr(cuda, "LIBRARY", str(tmp_path / "broken.so"))
    assert "cannot be loaded" in refused(ask("cuda"))


def test_a_machine_without_a_driver_for_vulkan_is_told_which_packages_have_one(
    ask: Ask, tmp_path: Path
) -> None:
    (tmp_path / "icd.json").unlink()
    for mode in ("no driver", "no device"):
        assert "mesa-vulkan-drivers" in refused(ask("vulkan", mode))


def test_inside_wsl_a_gpu_without_vulkan_is_told_to_use_cuda(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "dxg").touch()
    assert "use CUDA (herd_gpu: cuda)" in refused(ask("vulkan", "no device"))


def test_software_is_not_taken_for_a_gpu_that_is_there(ask: Ask, tmp_path: Path) -> None:
    assert ask("vulkan", "software")["proof"] is True
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri" / "renderD128").touch()
    reason = refused(ask("vulkan", "software"))
    assert "software only as device 0 (A card), although" in reason
    assert "dri/renderD128 is there" in reason


def test_a_library_of_linux_in_wsl_is_named(ask: Ask, tmp_path: Path, libraries: Path) -> None:
    (tmp_path / "dxg").touch()
    reason = refused(ask("cuda", "100"))
    assert f"{libraries}/libcuda.so.1 is a Linux driver's, which cannot work in WSL" in reason


def test_without_nvidias_device_files_the_module_is_not_loaded(ask: Ask, tmp_path: Path) -> None:
    assert "/dev/nvidia0 is not there" in refused(ask("cuda", "100"))
    (tmp_path / "nvidia0").touch()
    assert refused(ask("cuda", "100")).endswith("error 100: the driver finds no GPU.")


@pytest.mark.parametrize(
    ("backend", "mode"), [("cuda", "100"), ("cuda", "no device"), ("vulkan", "mismatch")]
)
def test_a_device_file_that_may_not_be_opened_is_named(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str, mode: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as other:  # even root cannot open one
        other.bind("nvidia0")
    assert f"may not open {tmp_path}/nvidia0: " in refused(ask(backend, mode))


# -- the program --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "herd-gpu"
    path.write_text(packed("herd_gpu", PACKAGE))
    return path


def run(program: Path, libraries: Path, *arguments: str, mode: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-IS", program, *arguments],
        env={"LD_LIBRARY_PATH": str(libraries), "MODE": mode},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_prints_one_line_and_ends_by_what_it_found(program: Path, libraries: Path) -> None:
    crashed = "The driver ended the program in vkQueueSubmit (signal 11)."
    for mode, code, reason in (("", 0, None), ("crashes", 1, crashed)):
        status, out, err = run(program, libraries, "vulkan", "0", mode=mode)
        assert (status, out.count("\n"), err) == (code, 1, "")
        assert json.loads(out)["reason"] == reason


def test_in_a_unit_a_gpu_is_called_by_its_number_outside(program: Path, libraries: Path) -> None:
    told = json.loads(run(program, libraries, "cuda", "0", "5", "3")[1])
    assert told["proof"] is True
    assert [one["index"] for one in told["devices"]] == [3, 4]


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            [],
            ["vulkan"],
            ["opencl", "0"],
            ["vulkan", "-1"],
            ["vulkan", "1000"],
            ["cuda", "0", "-1"],
        ),
        *(["cuda", "0", "99999"], ["cuda", "0", "1", "2", "3"], ["cuda", "0\n"], ["cuda", "../0"]),
        *(["cuda", "0", "inf"], ["cuda", "0", ""], ["cuda", "", "0"]),
    ],
    ids=" ".join,
)
def test_it_takes_no_other_arguments(program: Path, libraries: Path, arguments: list[str]) -> None:
    assert run(program, libraries, *arguments) == (
        2,
        "",
        "usage: herd-gpu vulkan|cuda INDEX [SECONDS [CALLED]]\n",
    )
