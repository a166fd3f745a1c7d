"""What a node says about its GPU: asked once an interface, and any answer ends in a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.fleet.cluster import Cluster, Gpu
from experiments.nodes.facts import ask_facts
from experiments.nodes.gpus import MOST_DEVICES
from tests.doubles.gpus import BROKEN, LLVMPIPE, RTX, SOFTWARE, device, told
from tests.doubles.scripted import ScriptedConversation, ScriptedLauncher, cluster
from tests.doubles.scripted_run import world


def gpu_after(folder: Path, answer: bytes, index: int = 0) -> Gpu:
    asked = Cluster(tuple(replace(node, gpu_index=index) for node in cluster(1).nodes))
    (node,) = ask_facts(asked, ScriptedLauncher(world(folder, gpu=lambda _: answer))).nodes
    return node.gpus["vulkan"]


def test_a_gpu_that_works_is_described(tmp_path: Path) -> None:
    gpu = gpu_after(tmp_path, told())

    assert gpu == Gpu("vulkan", 0, RTX, "discrete", 12288, 11000, "580.1", None)
    assert not gpu.is_software


def test_software_is_known_as_such(tmp_path: Path) -> None:
    gpu = gpu_after(tmp_path, SOFTWARE)

    assert (gpu.name, gpu.is_software, gpu.reason) == (LLVMPIPE, True, None)


def test_the_one_that_the_inventory_names_is_taken(tmp_path: Path) -> None:
    two = told(devices=[device(name="first"), device(name="second", index=1)])

    assert gpu_after(tmp_path, two, 1).name == "second"
    assert gpu_after(tmp_path, two, 2).reason == "vulkan shows no GPU with the number 2"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (BROKEN, "libvulkan.so.1 is not installed"),
        (b"refused: another runner owns it", "another runner owns it"),
        (told(devices=[]), "vulkan shows no GPU"),
        (told(proof=False), "it computes nothing, for an unknown reason"),
        (told(backend="cuda"), "it was tried with cuda instead of vulkan"),
        (told(reason="a\x1b[2Jb\n" * 9, proof=False), r"a\x1b[2Jb a\x1b"),
        *(
            (answer, "what it says about itself is damaged")
            for answer in (
                b"5",
                b"[" * 100_000,
                b"\xff\xfe",
                b"null",
                told(proof="true"),
                told(proof=1),
                told(backend="opencl"),
                told(devices={}),
                told(devices=[device()] * (MOST_DEVICES + 1)),
                told(devices=[device(index=MOST_DEVICES)]),
                told(devices=[device(index=-1)]),
                told(devices=[device(kind="quantum")]),
                told(devices=[device(memory_mib=-1)]),
                told(devices=[device(free_mib=10**400)]),
                told(devices=[device(free_mib="much")]),
                told(devices=[device(name="x" * 5000)]),
                told(devices=[device(name=5)]),
                told(reason=[1]),
            )
        ),
    ],
)
def test_any_other_answer_is_a_reason(tmp_path: Path, answer: bytes, reason: str) -> None:
    gpu = gpu_after(tmp_path, answer)

    assert gpu.reason is not None
    assert reason in gpu.reason
    assert "\n" not in gpu.reason
    assert "\x1b" not in gpu.reason


def test_a_hostile_name_is_shown_on_one_line(tmp_path: Path) -> None:
    gpu = gpu_after(tmp_path, told(devices=[device(name="a\x1b[2J\nb" * 400, driver="\r1")]))

    assert len(gpu.name) <= 200
    assert gpu.name.isprintable()
    assert gpu.driver.isprintable()


def test_a_node_without_a_gpu_set_up_is_not_asked(tmp_path: Path) -> None:
    the_world = world(tmp_path)
    (node,) = ask_facts(cluster(1), ScriptedLauncher(the_world)).nodes

    assert node.gpus == {}
    assert "tried its GPU" not in {line["event"] for line in the_world.journal()}
    assert not [name for name in node.facts if "GPU" in name]


def test_engines_with_the_same_interface_cost_one_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = ScriptedConversation._facts

    def of_two(self, fields, request):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        reply = facts(self, fields, request)
        stamp = json.loads(reply.parts["install.distributed-llama"])
        other = json.dumps({**stamp, "engine": "llama.cpp"}).encode()
        return replace(reply, parts={**reply.parts, "install.llama.cpp": other})

    monkeypatch.setattr(ScriptedConversation, "_facts", of_two)
    the_world = world(tmp_path, gpu=lambda _: told())
    (node,) = ask_facts(cluster(1), ScriptedLauncher(the_world)).nodes

    assert set(node.engines) == {"distributed-llama", "llama.cpp"}
    assert [line["event"] for line in the_world.journal()] == ["tried its GPU"]


def test_a_gpu_that_works_is_among_the_facts(tmp_path: Path) -> None:
    launcher = ScriptedLauncher(world(tmp_path, gpu=lambda _: told()))

    (node,) = ask_facts(cluster(1), launcher).nodes
    assert {name: value for name, value in node.facts.items() if "GPU" in name} == {
        "distributed-llama GPU interface": "vulkan",
        "vulkan GPU": RTX,
        "vulkan GPU driver": "580.1",
        "vulkan GPU kind": "discrete",
        "vulkan GPU memory_mib": 12288,
    }
