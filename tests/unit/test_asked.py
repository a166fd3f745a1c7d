"""Playbooks say so where nothing would be done: tags, groups, limits and wishes to no effect."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.doubles.ansible_calls import AnsibleCalls, ansible_calls

PLAYBOOKS = ("engines", "facts", "gpus", "models", "nodes", "reset", "verify", "windows_hosts")
ASKED = "playbooks/parts/asked.yml"
HOSTS = """
all:
  children:
    cluster:
      hosts:
        pi1:
        pi2: {herd_petals: true}
        desk:
    cuda_nodes:
      hosts:
        desk:
    printers:
      hosts:
        laser:
    windows_hosts:
      hosts: {}
"""
PETALS = (
    "Nothing would be done for petals: no host of --limit pi1 has `herd_petals: true` (set it in "
    "the inventory, or give -e herd_petals=true)."
)
CUDA = "Nothing would be done for cuda: no host of the inventory has both group cuda_nodes"
SKIPPED = "Nothing would be done for petals: --skip-tags skips it."
WSL = (
    "Nothing would be done for wsl: no host of the inventory has group windows_hosts or wsl_guests."
)


NO_NODES = "all: {hosts: {laser: }}\n"
Play = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnsibleCalls]:
    """Ansible, loaded once for all."""
    with ansible_calls(tmp_path_factory.mktemp("asked")) as made:
        yield made


@pytest.fixture
def play(calls: AnsibleCalls, tmp_path: Path) -> Play:
    """A call of `ansible-playbook` for an inventory."""

    def play(*arguments: str, hosts: str = HOSTS) -> tuple[int, str]:
        inventory = tmp_path / "hosts.yml"
        inventory.write_text(hosts)
        return calls("-i", str(inventory), *arguments)

    return play


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("provision.yml", "--tags=petals", "--limit=pi1"), PETALS),
        ((ASKED, "--tags=cuda"), CUDA),
        (("playbooks/gpus.yml",), CUDA),
        (("playbooks/windows_hosts.yml",), WSL),
        ((ASKED, "--tags=base,wsl"), WSL),
        ((ASKED, "--tags=petal"), "There is no tag petal. There are base, engines,"),
        ((ASKED, "--skip-tags=petal"), "There is no tag petal. There are base,"),
        ((ASKED, "--tags=models,petals", "--skip-tags=petals"), SKIPPED),
        ((ASKED, "--limit=laser"), "Nothing would be done on laser: that needs one of"),
        (("playbooks/verify.yml", "--limit=printers"), "no host of --limit printers has group"),
        (("playbooks/facts.yml", "--limit=pi1,laser"), "Nothing would be done on laser: that need"),
        (
            (ASKED, "--limit=pi1,pi9"),
            "--limit pi1,pi9: the inventory has no host or group pi9. Its hosts are pi1, pi2,",
        ),
    ],
)
def test_what_would_do_nothing_is_refused_before_a_machine_is_asked(
    play: Play, arguments: tuple[str, ...], told: str
) -> None:
    code, output = play(*arguments)

    assert code == 2
    assert told in output
    assert "unreachable=1" not in output


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_each_playbook_asks_for_nodes(play: Play, playbook: str) -> None:
    code, output = play(f"playbooks/{playbook}.yml", hosts=NO_NODES)

    assert code == 2
    assert "has no node in group cluster" in output or "Nothing would be done for" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tags=petals",),
        ("--tags=petals", "--limit=pi1", "-e", "herd_petals=true"),
        ("--tags=cuda", "-e", "cuda_driver=true"),
        ("--tags=cuda", "-e", "cuda_hosts=pi1,pi2", "-e", "cuda_toolkit=true"),
        ("--limit=cluster:!desk",),
        ("--limit=pi*",),
        ("--limit=pi1:pi2", "--tags=engines,models"),
        (),
    ],
)
def test_what_does_something_is_let_pass(play: Play, arguments: tuple[str, ...]) -> None:
    code, output = play(ASKED, *arguments)

    assert code == 0, output


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("herd_gpu: true", "herd_gpu of pi1 is true. It must be none, vulkan or cuda."),
        ("herd_gpu: yes", "herd_gpu of pi1 is true. It must be"),
        ("herd_gpu: ~", "herd_gpu of pi1 is null. It must be"),
        ("herd_gpu: CUDA", 'herd_gpu of pi1 is "CUDA". It must be'),
        ("herd_gpu: [vulkan]", 'herd_gpu of pi1 is ["vulkan"]. It must be'),
        ("herd_gpu: 1", "herd_gpu of pi1 is 1. It must be"),
        ("herd_gpu_index: -1", "herd_gpu_index of pi1 is -1. It must be a whole number from 0 "),
        ("herd_gpu_index: 16", "herd_gpu_index of pi1 is 16. It must be a whole number"),
        ("herd_gpu_index: true", "herd_gpu_index of pi1 is true. It must be a whole number"),
        ("herd_gpu_index: 0.5", "herd_gpu_index of pi1 is 0.5. It must be a whole number"),
        ("herd_gpu_index: GPU-0", 'herd_gpu_index of pi1 is "GPU-0". It must be a whole number'),
    ],
)
def test_a_gpu_that_cannot_be_meant_is_refused_by_name(play: Play, said: str, told: str) -> None:
    code, output = play(ASKED, hosts=HOSTS.replace("pi1:", f"pi1: {{{said}}}", 1))

    assert code == 2
    assert told in output


@pytest.mark.parametrize(
    "said", ["herd_gpu: none", "herd_gpu: vulkan", "herd_gpu: cuda, herd_gpu_index: 15"]
)
def test_a_gpu_that_can_be_meant_is_let_pass(play: Play, said: str) -> None:
    code, output = play(ASKED, hosts=HOSTS.replace("pi1:", f"pi1: {{{said}}}", 1))

    assert code == 0, output


def test_all_tags_are_known_and_no_others(play: Play) -> None:
    _, listed = play("provision.yml", "--list-tags")
    told = re.findall(r"TASK TAGS: \[(.*?)\]", listed)
    there = {tag.strip() for tags in told for tag in tags.split(",")} - {"always", "never", ""}

    _, refused = play(ASKED, "--tags=none-of-ours")
    known = re.search(r"There are ([a-z_, ]+)\.", refused)
    assert known is not None
    assert set(known[1].split(", ")) == there


@pytest.mark.parametrize(
    ("arguments", "tags"),
    [
        ((), "distributed_llama, engines, llama_cpp, petals"),
        (("--tags=llama_cpp",), "distributed_llama, engines, llama_cpp, petals"),
        (("--skip-tags=llama_cpp",), "distributed_llama, engines, petals"),
        (("--tags=engines", "--skip-tags=petals,llama_cpp"), "distributed_llama, engines"),
        (("--tags=petals", "--skip-tags=petals"), None),
        (("--skip-tags=engines",), None),
        (("--tags=models",), None),
    ],
)
def test_a_tag_that_is_skipped_leaves_the_other_engines(
    play: Play, arguments: tuple[str, ...], tags: str | None
) -> None:
    _, listed = play("playbooks/engines.yml", "--list-tasks", *arguments)
    found = re.search(r"Install each engine TAGS: \[(.*?)\]", listed)
    assert (found and found[1]) == tags
