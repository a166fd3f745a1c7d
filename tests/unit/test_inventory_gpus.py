"""What the inventory says about groups of nodes and their GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import HerdError
from experiments.fleet import inventory
from experiments.fleet.inventory import read_cluster
from herd_node import cards

FLEET = """\
cluster:
  hosts:
    desk: {ansible_host: 192.0.2.1, herd_gpu: "{{ usual_gpu }}", herd_gpu_index: 1}
    pi2: {ansible_host: 192.0.2.3}
    pi1: {ansible_host: 192.0.2.2, herd_gpu: none}
raspberry_pis:
  children: {old_pis: {hosts: {pi1: }}}
  hosts: {pi2: , elsewhere: }
lone: {hosts: {desk: }}
all: {vars: {usual_gpu: vulkan}}
"""


def read(folder: Path, text: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    path = folder / "hosts.yml"
    path.write_text(text)
    return read_cluster(folder, str(path)).nodes


def test_nodes_know_their_groups_and_the_gpu_that_they_are_given(tmp_path: Path) -> None:
    desk, pi2, pi1 = read(tmp_path, FLEET)

    assert desk.groups == {"all", "cluster", "lone"}
    assert pi1.groups == {"all", "cluster", "raspberry_pis", "old_pis"}
    assert pi2.groups == {"all", "cluster", "raspberry_pis"}
    assert [(n.herd_gpu, n.gpu_index) for n in (desk, pi2, pi1)] == [
        ("vulkan", 1),
        (None, 0),
        (None, 0),
    ]


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("herd_gpu: opencl", "herd_gpu of a is `opencl`, but it must be one of none, vulkan, cuda"),
        ("herd_gpu_index: -1", "herd_gpu_index of a is `-1`, but it must be the number of one"),
        ("herd_gpu: '{{ nowhere }}'", "herd_gpu of a cannot be evaluated"),
    ],
)
def test_what_a_gpu_cannot_be_is_refused_by_name(tmp_path: Path, variable: str, told: str) -> None:
    text = f"cluster:\n  hosts:\n    a:\n      ansible_host: 192.0.2.1\n      {variable}\n"

    with pytest.raises(HerdError) as caught:
        read(tmp_path, text)

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("value", "told"), [(None, "is empty,"), ("", "is empty,"), (True, "is `true`,")]
)
def test_what_yaml_makes_of_a_word_is_told_in_its_words(value: object, told: str) -> None:
    with pytest.raises(HerdError, match=f"herd_gpu of a {told} but it must be one of none, "):
        inventory._herd_gpu("a", {"herd_gpu": value})


@pytest.mark.parametrize("value", [True, "CUDA", ["cuda"], "", {}, 1])
def test_no_other_word_is_an_interface(value: object) -> None:
    with pytest.raises(HerdError, match="herd_gpu of a is"):
        inventory._herd_gpu("a", {"herd_gpu": value})


@pytest.mark.parametrize("value", [16, "first", 0.5, True, [0], ""])
def test_nothing_else_is_the_number_of_a_gpu(value: object) -> None:
    with pytest.raises(HerdError, match="herd_gpu_index of a is"):
        inventory._gpu_index("a", {"herd_gpu_index": value})


def test_the_last_gpu_is_the_last_that_the_helper_knows() -> None:
    last = cards.MOST_GPUS - 1
    assert inventory._gpu_index("a", {"herd_gpu_index": last}) == last
    with pytest.raises(HerdError, match=f"from 0 to {last}"):
        inventory._gpu_index("a", {"herd_gpu_index": cards.MOST_GPUS})


@pytest.mark.parametrize("value", [1, "1"])
def test_a_number_may_be_written_as_a_text(value: object) -> None:
    assert inventory._gpu_index("a", {"herd_gpu_index": value}) == 1
