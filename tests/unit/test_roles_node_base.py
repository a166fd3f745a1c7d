"""What a machine must be to become a node: others are refused by name before anything changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles.fake_hosts import refusals

# What the role's question brings first: the system's name for people, then ID and ID_LIKE.
DEBIAN = ["operator pi", "system Debian GNU/Linux 12 (bookworm)", "system like debian "]
FEDORA = ["operator pi", "system Fedora Linux 42 (Server Edition)", "system like fedora "]
FOUND: dict[str, tuple[list[str], str | None]] = {
    "debian": (DEBIAN, None),
    "raspbian": (["system Raspbian GNU/Linux 12", "system like raspbian debian"], None),
    "ubuntu": (["system Ubuntu 24.04.1 LTS", "system like ubuntu debian"], None),
    "mint": (["system Linux Mint 22", "system like linuxmint ubuntu debian"], None),
    "pi4": (FEDORA, "pi4 runs Fedora Linux 42 (Server Edition). Nodes need Debian, Ubuntu or"),
    "arch": (
        ["system Arch Linux", "system like arch "],
        "arch runs Arch Linux. Nodes need Debian",
    ),
    "alike": (["system Undebian", "system like undebian "], "alike runs Undebian. Nodes need"),
    "bare": (["operator root"], "bare runs a system without /etc/os-release. Nodes need Debian"),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    hosts = {name: {"node_base_probe": {"stdout_lines": told}} for name, (told, _) in FOUND.items()}
    return refusals(tmp_path_factory.mktemp("node_base"), "node_base", hosts)


@pytest.mark.parametrize("name", FOUND)
def test_a_system_without_debians_packages_is_refused_by_name(
    refused: dict[str, str], name: str
) -> None:
    words = FOUND[name][1]
    if words is None:
        assert name not in refused
    else:
        assert words in refused[name]
        assert f"or remove {name} from group cluster." in refused[name]


def test_nothing_is_changed_before_all_refusals() -> None:
    tasks = Path("roles/node_base/tasks/main.yml").read_text()
    assert tasks.index("refuse.yml") < tasks.index("Install packages")
