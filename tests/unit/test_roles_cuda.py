"""CUDA is refused before anything changes where it cannot work, and allowed where it can."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.fake_hosts import PROJECT, failures, play, refusals

NATIVE, WSL = "6.1.0-31-amd64", "6.6.87.2-microsoft-standard-WSL2"
DRIVER: dict[str, Any] = {"cuda_driver": True, "cuda_driver_version": "580.126.20"}
TOOLKIT: dict[str, Any] = {"cuda_toolkit": True, "cuda_toolkit_version": "12.8.1"}


def machine(
    *more: str,
    system: str = "debian 12",
    kernel: str = NATIVE,
    architecture: str = "amd64",
    container: str = "none",
    gpu: bool = True,
) -> dict[str, Any]:
    """What the probe answers on a machine."""
    lines = [
        f"system {system}",
        f"kernel {kernel}",
        f"architecture {architecture}",
        f"container {container}",
        "secure_boot",
        *(["gpu 0000:01:00.0"] if gpu else []),
        *more,
    ]
    return {"cuda_probe": {"stdout_lines": lines}}


def guest(*more: str, system: str = "ubuntu 24.04", kernel: str = WSL) -> dict[str, Any]:
    return machine(*more, system=system, kernel=kernel, container="wsl", gpu=False)


# What a machine asks for, and what the refusal must say; None: it is let pass.
CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "nothing_wanted_on_a_pi": (machine(architecture="arm64"), None),
    "debian_12": (machine() | DRIVER | TOOLKIT, None),
    "debian_13": (machine(system="debian 13") | DRIVER | TOOLKIT, None),
    "ubuntu_22_04": (machine(system="ubuntu 22.04") | DRIVER | TOOLKIT, None),
    "ubuntu_24_04": (machine(system="ubuntu 24.04") | DRIVER | TOOLKIT, None),
    "debian_11": (machine(system="debian 11") | DRIVER, "Debian 12 or 13"),
    "unstable": (machine(system="debian ") | DRIVER, "Debian 12 or 13"),
    "arm64": (machine(architecture="arm64") | TOOLKIT, "on amd64"),
    "toolkit_in_a_container": (machine(container="podman", gpu=False) | TOOLKIT, None),
    "driver_in_a_container": (machine(container="podman") | DRIVER, "is a container (podman)"),
    "driver_without_a_gpu": (machine(gpu=False) | DRIVER, "no NVIDIA GPU"),
    "no_version": (machine() | {"cuda_driver": True}, "like 580.126.20"),
    "branch_only": (machine() | DRIVER | {"cuda_driver_version": "580"}, "exact versions"),
    "toolkit_series_only": (machine() | TOOLKIT | {"cuda_toolkit_version": "12.8"}, "like 12.8.1"),
    "toolkit_in_wsl": (guest("gpu wsl") | TOOLKIT, None),
    "driver_in_wsl": (guest() | DRIVER, "NVIDIA's driver in Windows"),
    "toolkit_in_wsl_1": (guest(kernel="4.4.0-19041-Microsoft") | TOOLKIT, "WSL 2"),
    "toolkit_in_wsl_on_debian": (guest(system="debian 12") | TOOLKIT, "Ubuntu in WSL 2"),
    "driver_found_in_wsl": (
        guest("package install installed libnvidia-compute-580 580.126.20-1ubuntu1") | TOOLKIT,
        "apt-get purge libnvidia-compute-580",
    ),
    "toolkit_found_in_wsl": (
        guest("package hold installed cuda-toolkit-12-8 12.8.1-1") | TOOLKIT,
        None,
    ),
    "wsl_guest_with_the_repository_of_ubuntu": (
        guest("repository ubuntu2404") | TOOLKIT,
        "it needs wsl-ubuntu",
    ),
    "repository_of_its_own": (machine("repository debian12") | DRIVER, None),
    "repository_of_another_debian": (
        machine("repository debian12", system="debian 13") | DRIVER,
        "another system: debian12",
    ),
    "secure_boot": (machine("secure_boot 1") | DRIVER, "mokutil --import"),
    "secure_boot_toolkit_only": (machine("secure_boot 1") | TOOLKIT, None),
    "secure_boot_enrolled": (
        machine("secure_boot 1", "key_enrolled /var/lib/dkms/mok.pub") | DRIVER,
        None,
    ),
    "secure_boot_driver_loaded": (
        machine("secure_boot 1", "module nvidia 580.126.20") | DRIVER,
        None,
    ),
    "other_kind_of_driver": (
        machine("package install installed cuda-drivers 580.126.20-1") | DRIVER,
        "together with nvidia-open",
    ),
    "driver_too_old_for_the_toolkit": (
        machine() | DRIVER | {**TOOLKIT, "cuda_toolkit_version": "13.0.2"}
        | {"cuda_driver_version": "550.163.01"},
        "needs driver 580",
    ),
    "loaded_driver_too_old": (
        machine("module nvidia 470.256.02") | TOOLKIT,
        "has 470.256.02",
    ),
}  # fmt: skip

DRIVER_PACKAGES = (
    "cuda",
    "cuda-12-8",
    "cuda-12",
    "cuda-drivers",
    "cuda-drivers-580",
    "cuda-runtime-12-8",
    "cuda-demo-suite-12-8",
    "nvidia-open",
    "nvidia-open-580",
    "nvidia-driver-580-open",
    "nvidia-driver-cuda",
    "nvidia-kernel-open-dkms",
    "nvidia-headless-580",
    "libnvidia-compute-580",
    "libcuda1",
    "linux-modules-nvidia-580-server-generic",
    "xserver-xorg-video-nvidia-580",
)
HARMLESS_PACKAGES = (
    "cuda-toolkit-12-8",
    "cuda-nvcc-12-8",
    "cuda-cudart-dev-12-8",
    "libcublas-12-8",
    "libcudnn9-cuda-12",
    "nvidia-container-toolkit",
    "nvidia-cuda-toolkit",
    "nvidia-cuda-dev",
    "libnvidia-ml-dev",
    "libnvidia-container1",
)


def extra(host: dict[str, Any], *names: str) -> dict[str, Any]:
    return host | {"cuda_extra_packages": [f"{name}=1.0-1" for name in names]}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    hosts = {name: host for name, (host, _) in CASES.items()}
    hosts["drivers_in_wsl"] = extra(guest(), *DRIVER_PACKAGES, *HARMLESS_PACKAGES)
    hosts["drivers_native"] = extra(machine(), *DRIVER_PACKAGES)
    hosts["harmless_in_wsl"] = extra(guest(), *HARMLESS_PACKAGES)
    return refusals(tmp_path_factory.mktemp("cuda"), "cuda", hosts)


@pytest.mark.parametrize("name", CASES)
def test_each_machine_is_refused_or_let_pass(refused: dict[str, str], name: str) -> None:
    words = CASES[name][1]
    if words is None:
        assert name not in refused
    else:
        assert words in refused[name]
        assert name in refused[name]


def test_packages_that_bring_a_linux_driver_are_refused_by_name(refused: dict[str, str]) -> None:
    names = ", ".join(DRIVER_PACKAGES)
    assert f"a Linux driver: {names}. Inside WSL" in refused["drivers_in_wsl"]
    assert f"a Linux driver: {names}. A driver is" in refused["drivers_native"]


def test_libraries_are_no_drivers(refused: dict[str, str]) -> None:
    assert "harmless_in_wsl" not in refused


def test_a_wrong_argument_is_refused_with_a_sentence(tmp_path: Path) -> None:
    hosts = {
        "modules": {"cuda_driver_modules": "nouveau"},
        "driver": {"cuda_driver": "perhaps"},
        "packages": {"cuda_extra_packages": {"libcudnn9-cuda-12": "9.8"}},
    }
    account = play(tmp_path, hosts, [{"ansible.builtin.include_role": {"name": "cuda"}}])
    told = failures(account)
    assert "value of cuda_driver_modules must be one of: open, proprietary" in told["modules"]
    assert "'perhaps' is not a valid boolean" in told["driver"]
    assert "cuda_extra_packages" in told["packages"]


OFFERS = """
nvidia-open | 590.48.01-1 | https://example.org/cuda/repos/debian12/x86_64  Packages
nvidia-open | 580.126.20-1 | https://example.org/cuda/repos/debian12/x86_64  Packages
nvidia-open | 580.126.2-1 | https://example.org/cuda/repos/debian12/x86_64  Packages
cuda-toolkit-12-8 | 12.8.1-1 | https://example.org/cuda/repos/debian12/x86_64  Packages
libcudnn9-cuda-12 | 9.8.0.87-1 | https://example.org/cuda/repos/debian12/x86_64  Packages
""".strip().splitlines()
INSTALLED = """
package install installed nvidia-open 580.126.20-1
package hold installed libnvidia-ml1 580.126.20-1
package install installed cuda-nvcc-12-8 12.8.93-1
package install installed cuda-nvcc-13-0 13.0.88-1
package install installed libc6 2.36-9
""".strip().splitlines()
ASKED: dict[str, dict[str, Any]] = {
    "both": machine() | DRIVER | TOOLKIT
    | {"cuda_extra_packages": ["libcudnn9-cuda-12=9.8.0.87-1"]},
    "lacking": machine() | DRIVER | TOOLKIT
    | {"cuda_driver_version": "580.126.2", "cuda_toolkit_version": "12.8.0"}
    | {"cuda_extra_packages": ["libcudnn9-cuda-12=9.9.0-1"]},
    "guest": guest("gpu wsl") | TOOLKIT,
    "same": machine("module nvidia 580.126.20") | DRIVER,
    "older": machine("module nvidia 550.163.01") | DRIVER,
    "nouveau": machine("module nouveau") | DRIVER,
}  # fmt: skip


@pytest.fixture(scope="module")
def worked_out(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the role works out for each of the machines above."""
    names = ("chosen", "toolkit_choice", "missing", "unheld", "needs_restart", "repository")
    expressions = {name: f"{{{{ cuda_{name} }}}}" for name in names}
    template = PROJECT / "roles" / "cuda" / "templates" / "preferences.j2"
    expressions["preferences"] = f"{{{{ lookup('ansible.builtin.template', '{template}') }}}}"
    given = {"cuda_offers": {"stdout_lines": OFFERS}, "cuda_installed": {"stdout_lines": INSTALLED}}
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.include_role": {"name": "cuda", "tasks_from": "refuse", "public": True}},
        {"name": "Values", "ansible.builtin.debug": {"msg": expressions}},
    ]
    folder = tmp_path_factory.mktemp("cuda")
    account = play(folder, {name: host | given for name, host in ASKED.items()}, tasks)
    told = account["plays"][0]["tasks"][-1]["hosts"]
    return {host: result["msg"] for host, result in told.items()}


def test_the_revision_is_found_and_what_the_repository_lacks_is_named(
    worked_out: dict[str, dict[str, Any]],
) -> None:
    both, lacking = worked_out["both"], worked_out["lacking"]
    assert both["chosen"] == ["nvidia-open=580.126.20-1", "cuda-toolkit-12-8=12.8.1-1"]
    assert both["toolkit_choice"] == [
        "cuda-toolkit-12-8=12.8.1-1",
        "libcudnn9-cuda-12=9.8.0.87-1",
    ]
    assert both["missing"] == []
    assert lacking["chosen"] == ["nvidia-open=580.126.2-1"]
    assert lacking["missing"] == ["cuda-toolkit-12-8 12.8.0", "libcudnn9-cuda-12=9.9.0-1"]


def test_what_was_installed_and_is_not_held_yet_is_held(
    worked_out: dict[str, dict[str, Any]],
) -> None:
    assert worked_out["both"]["unheld"] == ["nvidia-open", "cuda-nvcc-12-8"]
    assert worked_out["guest"]["unheld"] == ["cuda-nvcc-12-8"]


def test_a_restart_is_needed_only_for_another_driver_that_is_loaded(
    worked_out: dict[str, dict[str, Any]],
) -> None:
    needed = {host: told["needs_restart"] for host, told in worked_out.items()}
    assert sorted(host for host, needs in needed.items() if needs) == ["nouveau", "older"]


def test_the_repository_is_the_hosts_own(worked_out: dict[str, dict[str, Any]]) -> None:
    assert worked_out["both"]["repository"] == "debian12"
    assert worked_out["guest"]["repository"] == "wsl-ubuntu"


def test_apt_may_never_take_a_linux_driver_inside_wsl(
    worked_out: dict[str, dict[str, Any]],
) -> None:
    package, pin, priority = worked_out["guest"]["preferences"].splitlines()[1:]
    assert {"cuda", "cuda-drivers*", "nvidia-driver*", "libcuda1*"} <= set(package.split()[1:])
    assert not any("toolkit" in name for name in package.split())
    assert (pin, priority) == ("Pin: release *", "Pin-Priority: -1")
    native = worked_out["both"]["preferences"].splitlines()
    assert native[2:] == ["Pin: version 580.126.20-*", "Pin-Priority: 1001"]


def test_a_fleet_without_gpus_does_not_notice(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(json.dumps({"cluster": {"hosts": {"a": None}}}))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i", str(tmp_path / "hosts.yml"), "playbooks/parts/gpus.yml",
        ],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert "no hosts matched" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr
