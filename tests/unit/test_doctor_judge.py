"""What the doctor makes of recorded facts: each trap by its name, and silence where all is well."""

from __future__ import annotations

import io
import json
import re
import shlex
from typing import Any

import pytest
from rich.console import Console

from core.json_answer import json_text
from experiments.doctor.diagnose import diagnose, worst
from experiments.doctor.doctor_answer import doctor_answer
from experiments.doctor.finding import Finding, NodeAnswer, Severity, problem
from experiments.doctor.show import show_diagnoses
from tests.doubles.doctor_facts import (
    GPU,
    PC,
    PC_GPU,
    PETALS,
    PI,
    TORCH_OK,
    WSL,
    answer,
    changed,
)

CONDA = "/home/ada/miniconda3/envs/llm"
CONDA_TOOLKIT = {"path": CONDA, "conda": True, "compiler": True, "version": "12.4.131"}
SYSTEM = "/usr/local/cuda-12.4"
MOK = "/var/lib/shim-signed/mok/MOK.der"
SYSTEM_TOOLKIT = {"path": SYSTEM, "conda": False, "compiler": True, "version": "12.4.1"}
SEEN = {
    "toolkits": [SYSTEM_TOOLKIT],
    "nvcc_plain": f"{SYSTEM}/bin/nvcc",
    "login": {"nvcc": f"{SYSTEM}/bin/nvcc"},
    "loader_libcudart": [f"{SYSTEM}/targets/x86_64-linux/lib/libcudart.so.12"],
}


def found(facts: dict[str, Any], **told: Any) -> list[Finding]:  # noqa: ANN401
    (diagnosis,) = diagnose([answer(facts, **told)])
    return list(diagnosis.findings)


def bad(facts: dict[str, Any], **told: float) -> list[Finding]:
    return [finding for finding in found(facts, **told) if finding.verdict is not Severity.OK]


def only(facts: dict[str, Any], **told: float) -> Finding:
    """The one finding that is not ok."""
    (finding,) = bad(facts, **told)
    assert finding.sentence.endswith(".")
    assert finding.remedy
    return finding


def sentences(facts: dict[str, Any]) -> str:
    return " ".join(finding.sentence for finding in found(facts))


@pytest.mark.parametrize(
    "facts",
    [
        PC,
        PI,
        WSL,
        PC_GPU,
        changed(PC_GPU, cuda=SEEN, pythons=[TORCH_OK]),
        changed(PC, pythons=[{**TORCH_OK, "torch": "2.13.0+cpu", "torch_cuda": None}]),
    ],
)
def test_where_all_is_well_there_is_nothing_to_do(facts: dict[str, Any]) -> None:
    assert bad(facts) == []
    said = {finding.sentence for finding in found(facts) if finding.remedy}
    assert all(sentence.startswith("No engine uses") for sentence in said)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (PC, "Native Linux: OptiPlex 7050, Ubuntu 24.04.1 LTS"),
        (PI, "Raspberry Pi: Raspberry Pi 4 Model B Rev 1.5"),
        (WSL, "WSL 2: Ubuntu"),
        (changed(PC, machine={"kind": "container", "container": "podman"}), "Container (podman)"),
        (
            changed(WSL, machine={"kind": "container", "container": "docker"}),
            "Container (docker) inside WSL: Ubuntu",
        ),
        (PC_GPU, "NVIDIA GeForce RTX 4090, 24 GiB, compute capability 8.9, driver 550.54.14."),
        (WSL, "WSL 2.3.26, networking mirrored."),
        (PC, "enp0s31f6, wired, 1000 Mbit/s."),
        (
            changed(PC, base={"address_leased": True}),
            "is assigned by DHCP: reserve it in the router",
        ),
        (PC, "15.5 GiB, 13.9 GiB free, swap 4.0 GiB."),
        (PC, "293.0 GiB of 464.8 GiB free at /."),
        (changed(PC, pythons=[TORCH_OK]), f"{PETALS} (venv): PyTorch 2.4.1+cu121 for CUDA 12.1"),
        (
            changed(PC_GPU, cuda=SEEN),
            f"CUDA 12.4.1 at {SYSTEM}: seen by login shell, plain environment, loader cache.",
        ),
        (changed(PC, closed_homes=["/home/eve"]), "this user has no access: /home/eve."),
        (changed(PI, machine={"root_without_password": True}), "as root without a password, by"),
        (changed(PC, network={"listening": [22, 9990]}), "Engines' ports in use: 9990."),
    ],
)
def test_what_a_node_is_is_told_in_words(facts: dict[str, Any], words: str) -> None:
    assert words in sentences(facts)


# -- the traps -----------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [PC_GPU, PC])
def test_a_toolkit_only_inside_conda(facts: dict[str, Any]) -> None:
    cuda = {"toolkits": [CONDA_TOOLKIT], "login": {"nvcc": f"{CONDA}/bin/nvcc"}}

    trap = only(changed(facts, cuda=cuda))

    assert (trap.subject, trap.verdict) == ("cuda", Severity.WARNING), "nothing here needs nvcc"
    assert f"exists only inside Conda ({CONDA})" in trap.sentence
    assert "--tags cuda" in trap.remedy
    assert "inside Conda, seen by login shell." in sentences(changed(facts, cuda=cuda))


def test_the_runtime_that_pytorch_brings_into_conda_is_no_trap() -> None:
    runtime = {**CONDA_TOOLKIT, "compiler": False}
    assert bad(changed(PC_GPU, cuda={"toolkits": [runtime]})) == []


def test_a_compiler_inside_conda_beside_a_runtime_of_the_system_is_the_only_one() -> None:
    toolkits = [{**SYSTEM_TOOLKIT, "compiler": False}, CONDA_TOOLKIT]
    trap = only(changed(PC_GPU, cuda={**SEEN, "toolkits": toolkits}))
    assert "exists only inside Conda" in trap.sentence


def test_a_toolkit_inside_conda_beside_the_systems_is_no_trap() -> None:
    both = {**SEEN, "toolkits": [SYSTEM_TOOLKIT, CONDA_TOOLKIT]}
    assert bad(changed(PC_GPU, cuda=both)) == []


def test_condas_compiler_before_the_systems() -> None:
    cuda = {
        **SEEN,
        "toolkits": [SYSTEM_TOOLKIT, CONDA_TOOLKIT],
        "login": {"nvcc": f"{CONDA}/bin/nvcc"},
    }
    assert f"finds Conda's {CONDA}/bin/nvcc" in only(changed(PC_GPU, cuda=cuda)).sentence


@pytest.mark.parametrize(
    ("parts", "what", "remedy"),
    [
        (
            {"gpu": {"driver_packages": ["nvidia-driver-550", "cuda-drivers"]}},
            "(nvidia-driver-550, cuda-drivers)",
            "apt-get purge -y -- nvidia-driver-550 cuda-drivers",
        ),
        (
            {"wsl": {"linux_libcuda": ["/usr/lib/x86_64-linux-gnu/libcuda.so.1"]}},
            "(/usr/lib/x86_64-linux-gnu/libcuda.so.1)",
            "nvidia-uninstall",
        ),
    ],
)
def test_a_linux_driver_inside_wsl(parts: dict[str, Any], what: str, remedy: str) -> None:
    trap = only(changed(WSL, **parts))

    assert (trap.subject, trap.verdict) == ("wsl", Severity.PROBLEM)
    assert f"A Linux driver is installed inside WSL {what}" in trap.sentence
    assert remedy in trap.remedy


def test_a_driver_package_on_native_linux_is_right() -> None:
    assert bad(changed(PC_GPU, gpu={"driver_packages": ["nvidia-driver-550"]})) == []


@pytest.mark.parametrize(("facts", "verdict"), [(PC_GPU, Severity.PROBLEM), (PC, Severity.WARNING)])
def test_pytorch_newer_than_the_pinned_bitsandbytes_can_serve(
    facts: dict[str, Any], verdict: Severity
) -> None:
    new = {**TORCH_OK, "torch": "2.6.0", "torch_cuda": "12.4"}

    trap = only(changed(facts, pythons=[new]))

    assert (trap.subject, trap.verdict) == ("python", verdict)
    assert "PyTorch 2.6.0 is too new, built for CUDA 12.4" in trap.sentence
    assert "bitsandbytes 0.41.1 supports CUDA 11.0 to 12.2" in trap.sentence
    assert trap.remedy.startswith("Reinstalling CUDA does not help.")


@pytest.mark.parametrize(
    ("served", "words"),
    [([], "has no library for any CUDA version"), (["122"], "supports CUDA 12.2 to 12.2")],
)
def test_a_pytorch_that_is_not_served_for_another_reason_is_not_called_too_new(
    served: list[str], words: str
) -> None:
    trap = only(changed(PC_GPU, pythons=[{**TORCH_OK, "bitsandbytes_cuda": served}]))
    assert "PyTorch 2.4.1+cu121 is built for CUDA 12.1" in trap.sentence
    assert words in trap.sentence


def test_a_new_pytorch_alone_could_not_serve_petals() -> None:
    new = {"path": "/home/ada/v", "kind": "venv", "torch": "2.6.0", "torch_cuda": "12.4"}
    trap = only(changed(PC_GPU, pythons=[new]))
    assert trap.verdict is Severity.WARNING
    assert "bitsandbytes 0.41.1, which Petals pins, supports" in trap.sentence


def test_a_new_pytorch_with_a_bitsandbytes_that_serves_it_is_right() -> None:
    new = {
        **TORCH_OK,
        "torch": "2.6.0",
        "torch_cuda": "12.4",
        "bitsandbytes": "0.45.0",
        "bitsandbytes_cuda": ["121", "124"],
    }
    assert bad(changed(PC_GPU, pythons=[new])) == []


@pytest.mark.parametrize(
    "machine", [{"userland_bits": 32, "dpkg_architecture": "armhf"}, {"dpkg_architecture": "armhf"}]
)
def test_a_32_bit_userland_under_a_64_bit_kernel(machine: dict[str, Any]) -> None:
    trap = only(changed(PI, machine=machine))

    assert trap.verdict is Severity.PROBLEM
    assert trap.sentence.startswith(
        "32-bit userland: the kernel is aarch64, but programs are armhf"
    )
    assert "64-bit" in trap.remedy


@pytest.mark.parametrize(
    ("signer", "words"),
    [(None, "is not signed"), ("ada Secure Boot Module Signature key", "probably not enrolled")],
)
def test_secure_boot_with_a_module_that_it_refuses(signer: str | None, words: str) -> None:
    gpu = {
        "on_bus": 1,
        "secure_boot": True,
        "module": {"installed": True, "signer": signer},
        "nvidia_smi": "/usr/bin/nvidia-smi",
        "nvidia_smi_error": "NVIDIA-SMI has failed because it couldn't communicate",
    }

    trap = only(changed(PC, gpu=gpu))

    assert (trap.subject, trap.verdict) == ("gpu", Severity.PROBLEM)
    assert trap.sentence.startswith("Secure Boot is on")
    assert words in trap.sentence


def test_a_module_by_a_name_of_its_own_and_the_key_that_is_there_are_named() -> None:
    module = {"name": "nvidia-current", "installed": True, "signer": "DKMS", "keys": ["/k;x", MOK]}
    trap = only(changed(PC, gpu={"on_bus": 1, "secure_boot": True, "module": module}))
    assert "kernel module nvidia-current signed by 'DKMS'" in trap.sentence
    assert trap.remedy.startswith(f"On the node: sudo mokutil --import {MOK}, then restart")


def test_secure_boot_with_a_module_that_is_loaded_is_right() -> None:
    assert bad(changed(PC_GPU, gpu={"secure_boot": True})) == []


NAT = {"networking": "nat", "forwards": []}
BEHIND = {"addresses": {"127.0.0.1": "lo", "172.29.112.5": "eth0"}}
FORWARD = {"port": 9990, "to_address": "172.29.112.5", "to_port": 9990}


@pytest.mark.parametrize(
    ("wsl", "verdict", "words"),
    [
        (NAT, Severity.PROBLEM, "it hides this node, and no engine port is forwarded"),
        ({**NAT, "forwards": None}, Severity.PROBLEM, "Windows could not be queried"),
        ({"networking": None, "forwards": None}, Severity.PROBLEM, "networking is nat"),
        ({**NAT, "forwards": [{**FORWARD, "port": 2222}]}, Severity.PROBLEM, "no engine port"),
        ({**NAT, "forwards": [FORWARD]}, Severity.WARNING, "only the ports that Windows forwards"),
        (
            {**NAT, "forwards": [{**FORWARD, "to_address": "172.29.99.9"}]},
            Severity.PROBLEM,
            "an address that WSL no longer has",
        ),
        ({"networking": "virtioproxy"}, Severity.PROBLEM, "networking is virtioproxy"),
    ],
)
def test_nat_that_hides_a_wsl_worker(wsl: dict[str, Any], verdict: Severity, words: str) -> None:
    trap = only(changed(WSL, wsl=wsl, network=BEHIND))

    assert (trap.subject, trap.verdict) == ("wsl", verdict)
    assert words in trap.sentence
    assert "networkingMode=mirrored" in trap.remedy


def told_of_both(**first: bool) -> list[Finding]:
    """What is wrong with a guest behind NAT beside another node."""
    guest = changed(WSL, wsl={**NAT, "forwards": [{**FORWARD, "port": 2222}]}, network=BEHIND)
    here, _ = diagnose([answer(guest, "guest", **first), answer(PI, "pi1")])
    return [one for one in here.findings if one.verdict is not Severity.OK]


def test_a_root_behind_nat_needs_no_forwarded_engines() -> None:
    """It connects to the others; nobody connects to it."""
    assert told_of_both() == []
    assert told_of_both(is_root=True) == []


def test_a_worker_behind_nat_is_hidden_even_where_the_root_was_not_looked_at() -> None:
    (trap,) = told_of_both(is_root=False)
    assert "it hides this node" in trap.sentence


@pytest.mark.parametrize(("rule", "is_told"), [(None, False), (True, False), (False, True)])
def test_both_firewalls_of_windows_before_a_mirrored_guest(
    rule: bool | None,  # noqa: FBT001 - a case
    *,
    is_told: bool,
) -> None:
    guest = answer(changed(WSL, wsl={"engine_rule": rule}), "guest", port=2222, is_root=False)
    here, _ = diagnose([guest, answer(PI, "pi1", engine_address="192.0.2.8")])
    bad = [one for one in here.findings if one.verdict is not Severity.OK]
    assert bool(bad) == is_told
    for one in bad:
        assert "New-NetFirewallRule -DisplayName $n" in one.remedy
        assert "New-NetFirewallHyperVRule -Name $n" in one.remedy
        assert "$p = '2222','9990-9999','50052-50061'" in one.remedy
        assert "$a = 'LocalSubnet','192.0.2.8'" in one.remedy


def test_wsl_that_has_the_address_others_look_for_is_taken_as_mirrored() -> None:
    assert bad(changed(WSL, wsl={"networking": None})) == []


def test_wifi() -> None:
    trap = only(changed(PI, base={"wireless": True, "nic": "wlan0", "link_mbit": None}))
    assert (trap.subject, trap.verdict) == ("link", Severity.WARNING)
    assert trap.sentence.startswith("Engines communicate over Wi-Fi (wlan0)")


def test_what_lies_behind_what_windows_or_a_container_is_lent_is_not_told() -> None:
    for base in ({}, {"wireless": False, "link_mbit": 10000}):
        told = sentences(changed(WSL, base=base))
        assert ("provided by Windows: cable or Wi-Fi, and the speed, are not visible") in told
        assert "10000 Mbit/s" not in told
    assert "whether it uses a cable" in sentences(changed(PC, base={"wireless": None}))


@pytest.mark.parametrize(
    ("facts", "remedy"),
    [
        (changed(PC, base={"clock_service": None}), "apt-get install -y systemd-timesyncd"),
        (
            changed(PC, base={"clock_service": None}, machine={"clock_units": ["chrony"]}),
            "systemctl enable --now chrony",
        ),
        (changed(PC, base={"clock_service": "chrony"}), "chronyc sources"),
    ],
)
def test_what_keeps_a_clock_depends_on_what_is_installed(
    facts: dict[str, Any], remedy: str
) -> None:
    assert remedy in only(changed(facts, base={"clock_synchronised": False})).remedy


def test_a_clock_that_is_not_the_machines_own_is_set_where_it_is() -> None:
    off = {"offset_s": -4000.0, "offset_error_s": 0.01}
    container = changed(PC, machine={"kind": "container", "container": "lxc"})
    assert "wsl --shutdown" in only(WSL, **off).remedy
    assert "uses its host's clock" in only(container, **off).remedy
    for facts in (WSL, container, PC):
        assert "hwclock" not in only(facts, **off).remedy, "not there on Ubuntu 24.04"


# -- what else can be wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (changed(PI, base={"link_mbit": 100}), Severity.WARNING, "100 Mbit/s; Gigabit is usual"),
        (changed(PC, network={"ufw": True}), Severity.WARNING, "ufw is on"),
        (
            changed(PC, base={"available_mib": 200}),
            Severity.WARNING,
            "Little memory is free: 15.5 GiB",
        ),
        (
            changed(PC, base={"clock_synchronised": False, "clock_service": None}),
            Severity.WARNING,
            "nothing keeps it synchronised",
        ),
        (
            changed(PC, base={"clock_synchronised": False}),
            Severity.WARNING,
            "systemd-timesyncd has not set it yet",
        ),
        (
            changed(PC, disks=[{"path": "/", "total_mib": 30_000, "free_mib": 3000}]),
            Severity.WARNING,
            "Only 2.9 GiB of 29.3 GiB free at /",
        ),
        (
            changed(PC, disks=[{"path": "/", "total_mib": 30_000, "free_mib": 100}]),
            Severity.PROBLEM,
            "Only 0.1 GiB",
        ),
        (changed(PC, machine={"systemd": False}), Severity.PROBLEM, "systemd is not running"),
        (changed(WSL, machine={"systemd": False}), Severity.PROBLEM, "systemd is not running"),
        (changed(WSL, machine={"kind": "wsl1"}), Severity.PROBLEM, "WSL 1 has no Linux kernel"),
        (changed(PC, machine={"python": "3.8.10"}), Severity.PROBLEM, "Its Python is 3.8.10"),
        (
            changed(PC, machine={"os_id": "fedora"}),
            Severity.PROBLEM,
            "provisioning supports only Debian",
        ),
        (changed(PC, base={"architecture": "riscv64"}), Severity.PROBLEM, "Its processor is"),
        (changed(PI, base={"emulated": True}), Severity.WARNING, "processor is emulated"),
        (
            changed(PC, network={"addresses": {"192.0.2.99": "eth0"}}),
            Severity.PROBLEM,
            "None of its interfaces has 192.0.2.7",
        ),
        (changed(PC, gpu={"on_bus": 1}), Severity.WARNING, "no driver for it"),
        (
            changed(PC, gpu={"on_bus": 1, "nouveau": True}),
            Severity.PROBLEM,
            "nouveau controls the GPU",
        ),
        (
            changed(
                PC,
                gpu={
                    "on_bus": 1,
                    "nvidia_smi": "/usr/bin/nvidia-smi",
                    "nvidia_smi_error": "Driver/library version mismatch",
                },
            ),
            Severity.PROBLEM,
            "version mismatch",
        ),
        (
            changed(
                WSL,
                gpu={
                    "gpus": [],
                    "nvidia_smi_error": "Failed to initialize NVML: GPU access blocked",
                },
            ),
            Severity.PROBLEM,
            "GPU access blocked",
        ),
        (
            changed(PC_GPU, cuda={**SEEN, "toolkits": [{**SYSTEM_TOOLKIT, "version": "13.0.1"}]}),
            Severity.PROBLEM,
            "CUDA 13.0.1 needs driver 580 or newer",
        ),
        (
            changed(PC_GPU, cuda={**SEEN, "loader_libcudart": []}),
            Severity.WARNING,
            "loader's cache lists none",
        ),
        (
            changed(
                PC_GPU,
                cuda={**SEEN, "login": {"ld_library_path": "/usr/local/cuda/lib64"}},
            ),
            Severity.WARNING,
            "LD_LIBRARY_PATH is set for logins",
        ),
        (
            changed(PC_GPU, pythons=[{**TORCH_OK, "bitsandbytes": None}]),
            Severity.PROBLEM,
            "Petals is installed without bitsandbytes",
        ),
        (
            changed(PC_GPU, pythons=[{**TORCH_OK, "torch_cuda": None}]),
            Severity.WARNING,
            "built for the CPU",
        ),
        (
            changed(
                PC_GPU,
                gpu={"gpus": [{**GPU["gpus"][0], "driver": "470.256.02"}]},
                pythons=[TORCH_OK],
            ),
            Severity.PROBLEM,
            "PyTorch for CUDA 12.1 needs driver 525 or newer, but this is 470.256.02",
        ),
        (
            changed(
                PC_GPU,
                gpu={"gpus": [{**GPU["gpus"][0], "compute_capability": "12.0"}]},
                pythons=[TORCH_OK],
            ),
            Severity.PROBLEM,
            "compute capability 12.0",
        ),
        (
            changed(PC_GPU, pythons=[{**TORCH_OK, "imported": {"error": "RuntimeError: CUDA"}}]),
            Severity.PROBLEM,
            "importing ended with RuntimeError: CUDA",
        ),
        (
            changed(
                PC_GPU,
                pythons=[{**TORCH_OK, "imported": {"module": "petals", "error": "OSError: no."}}],
            ),
            Severity.PROBLEM,
            "importing petals ended with OSError: no.",
        ),
        (
            changed(
                PC_GPU,
                gpu={"gpus": [{**GPU["gpus"][0], "compute_capability": "3.7"}]},
                pythons=[TORCH_OK],
            ),
            Severity.PROBLEM,
            "compute capability 3.7, which is older than",
        ),
        (changed(PC, gpu={"tegra": True}), Severity.WARNING, "A Jetson"),
        (
            changed(PC_GPU, pythons=[{**TORCH_OK, "imported": {"torch_sees_gpu": False}}]),
            Severity.PROBLEM,
            "sees no GPU",
        ),
    ],
)
def test_what_else_is_wrong(facts: dict[str, Any], verdict: Severity, words: str) -> None:
    finding = only(facts)
    assert finding.verdict is verdict
    assert words in finding.sentence


@pytest.mark.parametrize(
    ("offset_s", "error_s", "verdict"),
    [
        (0.4, 0.01, Severity.OK),
        (-1.5, 0.01, Severity.WARNING),
        (1.5, 1.0, Severity.OK),
        (3600.0, 0.01, Severity.PROBLEM),
    ],
)
def test_a_clock_is_wrong_only_beyond_the_error_of_asking(
    offset_s: float, error_s: float, verdict: Severity
) -> None:
    told = found(PC, offset_s=offset_s, offset_error_s=error_s)
    (clock,) = (finding for finding in told if finding.subject == "clock")
    assert clock.verdict is verdict


def test_a_containers_clock_is_its_hosts() -> None:
    facts = changed(PC, machine={"kind": "container"}, base={"clock_synchronised": False})
    assert bad(facts) == []


# -- nodes together ----------------------------------------------------------------------------


SILENT = NodeAnswer("gone", "192.0.2.9", "192.0.2.9", silence=problem("connection", "No.", "Try."))


def test_a_node_that_others_do_not_reach_is_told_where_it_was_missed() -> None:
    here = answer(changed(PC, network={"peers": {"b": "timed out", "c": None}}), "a")

    first, *others = diagnose([here, answer(PC, "b"), answer(PC, "c")])

    (missed,) = (one for one in first.findings if one.verdict is Severity.PROBLEM)
    assert "b cannot be reached from here at 192.0.2.7: timed out." in missed.sentence
    assert all(not one.count(Severity.PROBLEM) for one in others)


def test_a_node_that_tells_nothing_is_one_finding_and_no_crash() -> None:
    here = answer(changed(PC, network={"peers": {"gone": "No route to host", "b": None}}), "a")

    first, _, gone = diagnose([here, answer(PC, "b"), SILENT])

    assert not first.count(Severity.PROBLEM), "it is told once, at the node itself"
    assert "Reaches SSH of b;" in " ".join(f.sentence for f in first.findings)
    assert list(gone.findings) == [SILENT.silence]
    assert worst([first, gone]) is Severity.PROBLEM


def test_the_screen_names_verdict_subject_sentence_and_remedy() -> None:
    text = io.StringIO()
    used = {"gpu_engines": {"petals": "cuda"}}
    nat = answer(changed(WSL, wsl=NAT, network=BEHIND, provisioned=used), "laptop")

    show_diagnoses(diagnose([answer(PI, "pi1"), nat, SILENT]), Console(file=text, width=100))

    screen = text.getvalue()
    assert "pi1  192.0.2.7\nok " in screen
    assert "PROBLEM           WSL's networking is nat" in screen
    assert "→ With Windows 11 22H2" in screen
    assert screen.endswith("3 nodes: 2 problems, 0 warnings.\n")
    for part in screen.split("\n\n"):
        assert len(part.splitlines()) <= 24, "a node fits on a screen"


def test_json_holds_findings_and_the_facts_that_they_rest_on() -> None:
    told = json.loads(json_text(doctor_answer(diagnose([answer(PC_GPU, "desk"), SILENT]))))

    desk, gone = told["nodes"]
    assert (told["verdict"], desk["node"]) == ("problem", "desk")
    assert desk["facts"]["gpu"]["gpus"][0]["driver"] == "550.54.14"
    assert {finding["verdict"] for finding in desk["findings"]} == {"ok"}
    assert gone["facts"] is None
    assert gone["findings"][0] == {
        "subject": "connection",
        "verdict": "problem",
        "sentence": "No.",
        "remedy": "Try.",
    }


def test_of_lists_without_an_end_so_much_is_told_as_can_be_read() -> None:
    disk = {"path": "/", "total_mib": 1, "free_mib": 1}
    addresses = {f"10.1.{i // 256}.{i % 256}": "eth0" for i in range(2000)}
    told = found(changed(PC, disks=[disk] * 60_000, network={"addresses": addresses}))
    assert len(told) == 1001
    assert "more than is plausible" in told[-1].sentence
    assert max(len(finding.sentence) for finding in told) <= 2000


def test_words_of_a_node_in_a_command_are_words_to_its_shell() -> None:
    trap = only(changed(WSL, gpu={"driver_packages": ["cuda; reboot"]}))
    (command,) = re.findall(r"ansible node .*", trap.remedy)
    assert "'cuda; reboot'" in shlex.split(command)[-1]
