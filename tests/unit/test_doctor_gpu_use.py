"""Whether the doctor finds GPUs of all makers, who uses them, and proves that engines compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import HerdError
from experiments.doctor.diagnose import diagnose
from experiments.doctor.finding import Finding, Proof, Severity
from experiments.doctor.probe.engines import provisioned
from experiments.doctor.probe.machine import wsl
from experiments.doctor.probe.render import render_gpus
from experiments.doctor.proofs import prove
from experiments.fleet import commands
from experiments.fleet.cluster import Backend, Node
from experiments.nodes.launcher import Reply, Request
from experiments.nodes.ssh.wire import reply_of
from tests.doubles.doctor_facts import PC, PC_GPU, WSL, answer, changed
from tests.doubles.doctor_place import prepared

AMD = {"name": "AMD Navi 21", "driver": "amdgpu", "node": "/dev/dri/renderD128"}
PC_AMD = changed(PC, gpu={"others": [AMD], "vulkan_drivers": ["radeon_icd.x86_64.json"]})
VULKAN = {"helper": True, "gpu_engines": {"llama.cpp": "vulkan"}}


def of_gpu(facts: dict[str, Any], **told: Any) -> list[Finding]:  # noqa: ANN401
    """Findings about a GPU of a node whose inventory is `fleet.yml`."""
    with commands.remembered("fleet.yml", {"desk": False}):
        (diagnosis,) = diagnose([answer(facts, "desk", **told)])
    return [one for one in diagnosis.findings if one.subject in ("gpu", "wsl")]


def last(facts: dict[str, Any], **told: Any) -> Finding:  # noqa: ANN401
    return of_gpu(facts, **told)[-1]


# -- what the probe finds


def test_gpus_that_the_kernel_drives_are_found_with_their_names(tmp_path: Path) -> None:
    device = "/sys/class/drm/renderD128/device"
    files = {
        "/dev/dri/renderD128": "",
        f"{device}/vendor": "0x1002\n",
        f"{device}/device": "0x73bf\n",
        "/dev/dri/renderD129": "",
        "/sys/class/drm/renderD129/device/vendor": "0x10de\n",
        "/usr/share/misc/pci.ids": (
            "# A list\n1001  Other\n\t73bf  Another\n1002  Advanced Micro Devices\n"
            "\t73a5  Navi 21\n\t73bf  Navi 21 [Radeon RX 6800]\n\t\t1002 0e3a  Board\n"
            "1003  Next\n\t73bf  Wrong\n"
        ),
        "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json": "{}",
    }
    place = prepared(tmp_path, files)
    (tmp_path / "amdgpu").mkdir()
    (tmp_path / device.lstrip("/") / "driver").symlink_to(tmp_path / "amdgpu")
    told = render_gpus(place)
    assert told["others"] == [{**AMD, "name": "AMD Navi 21 [Radeon RX 6800]"}]
    assert told["vulkan_drivers"] == ["radeon_icd.x86_64.json"]
    (tmp_path / "usr/share/misc/pci.ids").unlink()
    assert render_gpus(place)["others"][0]["name"] == "AMD GPU 0x73bf"


def test_what_engines_were_installed_for_is_in_their_records(tmp_path: Path) -> None:
    engines = "/opt/llama-herd/engines"
    stamps = {
        "llama.cpp": {"installed": True, "gpu": "vulkan"},
        "petals": {"installed": True, "gpu": None},
        "refused": {"installed": False, "gpu": "cuda"},
        "odd": {"installed": True, "gpu": ["cuda"]},
    }
    files = {f"{engines}/{name}/install.json": json.dumps(one) for name, one in stamps.items()}
    files[f"{engines}/torn/install.json"] = '{"gpu": "cu'
    files["/usr/local/libexec/llama-herd/herd-node"] = "#!/usr/bin/python3"
    told = provisioned(prepared(tmp_path, files))
    assert told == {"helper": True, "gpu_engines": {"llama.cpp": "vulkan"}}
    assert provisioned(prepared(tmp_path / "bare", {}))["helper"] is False


def test_a_toolkit_that_brings_a_libcuda_into_wsl_is_found(tmp_path: Path) -> None:
    files = {
        "/proc/version": "Linux version 5.15-microsoft-standard-WSL2",
        "/usr/lib/wsl/lib/libcuda.so.1": "",
        "/usr/local/cuda-12.4/compat/libcuda.so.1": "",
        "/usr/local/cuda-12.4/targets/x86_64-linux/lib/stubs/libcuda.so": "",
    }
    told = wsl(prepared(tmp_path, files))
    assert told is not None
    assert told["windows_libcuda"]
    assert told["linux_libcuda"] == ["/usr/local/cuda-12.4/compat/libcuda.so.1"]


# -- what is said about it


@pytest.mark.parametrize(
    ("facts", "sentence", "variable"),
    [
        (PC_GPU, "No engine uses NVIDIA GeForce RTX 4090.", "herd_gpu: vulkan (or cuda)"),
        (WSL, "No engine uses NVIDIA GeForce RTX 4090.", "herd_gpu: cuda"),
        (PC_AMD, "No engine uses AMD Navi 21.", "herd_gpu: vulkan"),
    ],
)
def test_a_gpu_that_no_engine_uses_is_advice(
    facts: dict[str, Any], sentence: str, variable: str
) -> None:
    found = next(one for one in of_gpu(facts) if "No engine uses" in one.sentence)
    assert (found.verdict, found.sentence) == (Severity.OK, sentence)
    assert f"add {variable} to desk in fleet.yml. Then: " in found.remedy
    assert found.remedy.endswith("-i fleet.yml provision.yml --limit desk")


def test_where_there_is_no_gpu_nothing_is_advised() -> None:
    assert [one.remedy for one in of_gpu(PC)] == [""]
    assert "models run on the processor" in last(PC).sentence
    assert not any("No engine uses" in one.sentence for one in of_gpu(PC_GPU, herd_gpu="vulkan"))
    used = changed(PC_GPU, provisioned=VULKAN)
    assert not any("No engine uses" in one.sentence for one in of_gpu(used))


def test_a_wish_that_was_not_provisioned_is_named() -> None:
    found = last(PC_AMD, herd_gpu="vulkan")
    assert found.verdict is Severity.WARNING
    assert "herd_gpu: vulkan, but no engine was installed for it yet" in found.sentence
    assert "provision.yml" in found.remedy
    assert all(one.verdict is Severity.OK for one in of_gpu(changed(PC_AMD, provisioned=VULKAN)))


def test_a_wish_that_the_machine_cannot_fulfil_is_a_problem() -> None:
    cuda, vulkan = (
        next(one for one in of_gpu(facts, herd_gpu=wish) if one.verdict is Severity.PROBLEM)
        for facts, wish in ((PC_AMD, "cuda"), (PC, "vulkan"))
    )
    assert "there is no NVIDIA GPU" in cuda.sentence
    assert "fleet.yml, set herd_gpu of desk to none" in cuda.remedy
    assert "no Vulkan driver is installed" in vulkan.sentence
    assert "apt-get install -y mesa-vulkan-drivers" in vulkan.remedy
    failed = Proof("llama.cpp", "vulkan", reason="No driver fits.")
    installed = changed(PC, provisioned=VULKAN)
    problems = [one.remedy for one in of_gpu(installed, herd_gpu="vulkan", proofs=[failed])][1:]
    assert problems == [vulkan.remedy], "it is said once"


def test_a_proof_ends_the_findings_about_a_gpu() -> None:
    facts = changed(PC_AMD, provisioned=VULKAN)
    works = Proof("llama.cpp", "vulkan", "AMD Navi 21")
    found = last(facts, herd_gpu="vulkan", proofs=[works])
    assert (found.verdict, found.sentence) == (
        Severity.OK,
        "llama.cpp computes by Vulkan on AMD Navi 21.",
    )
    software = Proof("llama.cpp", "vulkan", "llvmpipe", is_software=True)
    assert "which is software: the processor computes" in last(facts, proofs=[software]).sentence


@pytest.mark.parametrize(
    ("facts", "backend", "remedy"),
    [
        (PC, "vulkan", "apt-get install -y mesa-vulkan-drivers"),
        (PC_GPU, "vulkan", "nvidia-vulkan-icd"),
        (WSL, "vulkan", "set herd_gpu of desk to cuda"),
        (PC_AMD, "vulkan", "If no other program uses the GPU, provision the node again: "),
        (PC_AMD, "cuda", "cuda_driver=true"),
        (PC_GPU, "cuda", "provision the node again: "),
        (changed(WSL, wsl={"windows_libcuda": False}), "cuda", "NVIDIA's driver in Windows"),
    ],
)
def test_a_proof_that_fails_has_one_remedy(
    facts: dict[str, Any], backend: Backend, remedy: str
) -> None:
    failed = Proof("llama.cpp", backend, reason="vkCreateInstance found no driver.")
    found = last(changed(facts, provisioned=VULKAN), proofs=[failed])
    assert found.verdict is Severity.PROBLEM
    assert found.sentence.endswith("vkCreateInstance found no driver.")
    assert remedy in found.remedy


def test_a_number_that_no_gpu_has_is_corrected_and_nothing_is_provisioned_for_it() -> None:
    reason = "there is no GPU 3 for vulkan here (0 is 0000:01:00.0): correct herd_gpu_index"
    failed = Proof("llama.cpp", "vulkan", reason=reason)
    found = last(changed(PC, provisioned=VULKAN), proofs=[failed])
    assert found.remedy == "Correct herd_gpu_index of desk in fleet.yml."


def test_windows_driver_is_named_and_what_hides_it() -> None:
    assert any("NVIDIA's driver is that of Windows." in one.sentence for one in of_gpu(WSL))
    hidden = changed(WSL, wsl={"linux_libcuda": ["/usr/local/cuda-12.4/compat/libcuda.so.1"]})
    assert any("cuda-12.4/compat" in one.sentence for one in of_gpu(hidden))


# -- asking the helper


class Helper:
    """A conversation whose replies are given."""

    def __init__(self, node: Node, replies: dict[str, Reply | HerdError]) -> None:
        self.node = node
        self.heard: list[Request] = []
        self._replies = replies

    def send(self, request: Request) -> None:
        self.heard.append(request)

    def poll(self, timeout_s: float) -> Reply:
        reply = self._replies[self.heard[-1].verb]
        if isinstance(reply, HerdError):
            raise reply
        return reply

    def close(self, timeout_s: float) -> None:
        """Nothing to end."""

    def open(self, node: Node) -> Helper:
        return self

    def drop(self, node: Node) -> None:
        """Nothing to forget."""


NODE = Node(name="desk", address="192.0.2.7", engine_address="192.0.2.7", gpu_index=1)
UNUSED = {"memory_mib": 1, "free_mib": 1, "driver": "1"}
DEVICES = [
    {"index": 0, "name": "llvmpipe", "kind": "software", **UNUSED},
    {"index": 1, "name": "NVIDIA RTX 3060", "kind": "discrete", **UNUSED},
]


def proved(**told: Any) -> Reply:  # noqa: ANN401
    answer = {"backend": "vulkan", "devices": DEVICES, "proof": True, "reason": None, **told}
    return reply_of("gpu", ok=True, parts={"gpu": json.dumps(answer).encode()})


def test_each_engine_is_asked_for_the_gpu_that_it_is_to_use() -> None:
    helper = Helper(NODE, {"gpu": proved()})
    assert prove(NODE, {"llama.cpp": "vulkan"}, helper) == [
        Proof("llama.cpp", "vulkan", "NVIDIA RTX 3060")
    ]
    assert helper.heard == [Request("gpu", (("engine", "llama.cpp"), ("gpu_index", "1")))]
    assert prove(NODE, {}, helper) == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (proved(proof=False, reason="No device was found."), "No device was found."),
        (proved(devices=DEVICES[:1]), "vulkan shows no GPU with the number 1."),
        (reply_of("gpu", ok=False, parts={"error": b"another runner owns it"}), "another runner"),
        (reply_of("gpu", ok=True, parts={"gpu": b"[]"}), "is damaged"),
        (HerdError("desk stopped answering"), "desk stopped answering"),
    ],
)
def test_why_nothing_was_computed_is_kept(reply: Reply | HerdError, reason: str) -> None:
    (proof,) = prove(NODE, {"llama.cpp": "vulkan"}, Helper(NODE, {"gpu": reply}))
    assert proof.device is None
    assert reason in proof.reason


def ended(code: int, **parts: bytes) -> Reply:
    """What the helper reports of a program that ended."""
    props = (
        f"ActiveState=inactive\nExecMainCode=1\nExecMainStatus={code}\n"
        "ExecMainExitTimestampMonotonic=9\n"
    )
    return reply_of("run", ok=True, parts={"props": props.encode(), **parts})


def test_pytorch_multiplies_in_petals_own_environment() -> None:
    own = reply_of("own", ok=True, parts={})
    done = ended(0, out=b"petals 2.2.0, torch 2.4.1+cu121, NVIDIA RTX 3060\n", err=b"")
    helper = Helper(NODE, {"gpu": proved(backend="cuda"), "own": own, "run": done})
    (_, torch) = prove(NODE, {"petals": "cuda"}, helper)
    assert torch == Proof("PyTorch of petals", "cuda", "NVIDIA RTX 3060")
    run = helper.heard[-1]
    assert ("gpu", "cuda") in run.fields
    assert [value for key, value in run.fields if key == "arg"][1:] == ["--device", "cuda"]

    failed = ended(1, out=b"", err=b"warning\nno GPU can be used here\n")
    (_, torch) = prove(NODE, {"petals": "cuda"}, Helper(NODE, {**helper._replies, "run": failed}))
    assert torch.reason.endswith("no GPU can be used here")
    held = reply_of("own", ok=False, parts={"error": b"another runner owns it"})
    (_, torch) = prove(NODE, {"petals": "cuda"}, Helper(NODE, {**helper._replies, "own": held}))
    assert "another runner owns it" in torch.reason
