"""The inventory that machines are added to: what it has, and what it will have."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import HerdError
from core.foreign import visible
from experiments.adopt.files import read_whole, replace_whole
from experiments.adopt.ini_hosts import add_to_ini
from experiments.adopt.yaml_hosts import CannotAddError, Variables, add_to_yaml, is_mapping
from experiments.fleet import commands
from experiments.fleet.cluster import CLUSTER, Node
from experiments.fleet.inventory import listed, read_cluster

DEFAULT = "inventory/fleet.yml"
YAML_NAMES = frozenset({".yml", ".yaml"})
INI_NAMES = frozenset({".ini", ".cfg", ""})
HEAD = """\
# The machines of this fleet. docs/real-fleet.md and inventory/example.yml describe further settings
# here. The first of group cluster is the root: it stores the models and starts the prompts.
"""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A machine as the inventory is to have it.

    Attributes:
        name: of the node.
        variables: its variables.
        groups: groups other than `cluster` that it is to be in.
    """

    name: str
    variables: Variables
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fleet:
    """An inventory as it is before anything is added.

    Attributes:
        project: folder with `ansible.cfg`, in which Ansible runs.
        given: the inventory as it was named, for commands that are printed.
        content: of the file; None where there is none yet.
        nodes: of group `cluster`.
        names: of all its hosts and groups.
        listing: what `ansible-inventory --list` prints.
    """

    project: Path
    given: str
    content: bytes | None
    nodes: tuple[Node, ...]
    names: frozenset[str]
    listing: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The file."""
        return self.project / Path(self.given).expanduser()

    def with_newcomers(self, newcomers: Sequence[Newcomer]) -> bytes:
        """The file with these machines at the end of their groups.

        Raises:
            HerdError: it is written in a way that cannot be added to; the message has the lines
                to add by hand.
        """
        try:
            text = self._text()
            return _added(text, newcomers, is_yaml=self._is_yaml(text)).encode()
        except CannotAddError as error:
            raise self._by_hand(newcomers, str(error)) from None

    def tried(self, content: bytes, newcomers: Sequence[Newcomer]) -> list[Node]:
        """The machines as Ansible reads them in the file with this content.

        The content is next to the file while Ansible reads it, so that `group_vars` count.

        Raises:
            HerdError: Ansible reads something else than was there and these machines at the end.
        """
        with _beside(self.path, content) as draft, commands.remembered():
            listing, nodes = self._read(str(draft))
        before = [node.name for node in self.nodes]
        names = [one.name for one in newcomers]
        is_right = listing is None or _told(listing, names) == _expected(self.listing, newcomers)
        if not is_right or [node.name for node in nodes] != [*before, *names]:
            raise self._by_hand(
                newcomers,
                f"adding them would also change how Ansible reads something else: {self._shared()}",
            )
        return [node for node in nodes if node.name in names]

    def write(self, content: bytes) -> None:
        """Replace the file, unless it changed since it was read.

        Raises:
            HerdError: it cannot be written, or it changed.
        """
        replace_whole(self.path, self.content, content)

    def _read(self, draft: str) -> tuple[dict[str, Any] | None, tuple[Node, ...]]:
        """All that Ansible lists, None where nothing was there before, and the nodes."""
        with ThreadPoolExecutor() as pool:  # each takes a second
            listing = pool.submit(listed, self.project, draft) if self.content else None
            nodes = read_cluster(self.project, draft, must_resolve=False).nodes
            return (listing.result() if listing else None), nodes

    def _text(self) -> str:
        if self.content is None:
            return HEAD if self.path.suffix in YAML_NAMES else ""
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            raise CannotAddError("it is not UTF-8 text") from None

    def _is_yaml(self, text: str) -> bool:
        if text.startswith("$ANSIBLE_VAULT"):
            raise CannotAddError("all of it is encrypted")
        if self.path.suffix in YAML_NAMES:
            return True
        if self.path.suffix not in INI_NAMES:
            raise CannotAddError("it is neither YAML nor INI")
        if self.content is not None and os.access(self.path, os.X_OK) and text.startswith("#!"):
            raise CannotAddError("it is a program")
        return is_mapping(text)

    def _parts(self) -> list[str]:
        """The groups that the cluster is made of."""
        return list(self.listing.get(CLUSTER, {}).get("children", []))

    def _shared(self) -> str:
        """Why its end is no place for newcomers."""
        if parts := self._parts():
            return (
                f"group {CLUSTER} is made of other groups ({', '.join(parts)}), and the new "
                "machines would come before theirs. They belong in one of those groups"
            )
        return f"group {CLUSTER} may share its hosts through an anchor, or be written twice"

    def _by_hand(self, newcomers: Sequence[Newcomer], why: str) -> HerdError:
        try:
            is_yaml = self._is_yaml(self._text())
        except CannotAddError:
            is_yaml = True
        lines = _added("", newcomers, is_yaml=is_yaml, group=(self._parts() or [CLUSTER])[-1])
        return HerdError(
            f"{self.given} was not changed, because {why}. Add these machines yourself, then "
            f"repeat the command to confirm their keys:\n\n{lines}"
        )


def read_fleet(project: Path, given: str) -> Fleet:
    """The inventory as it is.

    Args:
        project: folder with `ansible.cfg`.
        given: path of the inventory; the file need not be there yet.

    Raises:
        HerdError: it is no file, or Ansible cannot read it.
    """
    fleet = Fleet(project, given, None, (), frozenset(), {})
    path = fleet.path
    if path.is_dir() or "," in given:
        what = "a folder" if path.is_dir() else "a list of names"
        raise HerdError(
            f"--inventory {visible(given)}: machines can only be added to a file, but this is "
            f"{what}. Name one of its files."
        )
    if not path.parent.is_dir():
        raise HerdError(f"--inventory {visible(given)}: there is no folder {path.parent}.")
    content = read_whole(path)
    if content is None or content.strip() in {b"", b"---"}:
        return Fleet(project, given, content, (), frozenset(), {})
    if "plugin" in _top_keys(content):
        raise HerdError(
            f"--inventory {visible(given)}: it configures a plugin that finds machines, so none "
            f"can be added to it. Name another file, such as {DEFAULT}."
        )
    listing = listed(project, given)
    nodes = read_cluster(project, given, must_resolve=False).nodes if _has_cluster(listing) else ()
    names = frozenset({*listing, *_members(listing)})
    return Fleet(project, given, content, nodes, names, listing)


def _added(text: str, newcomers: Sequence[Newcomer], *, is_yaml: bool, group: str = CLUSTER) -> str:
    """The text with these machines at the end of a group and of the others that are theirs."""
    groups: dict[str, dict[str, Variables]] = {group: {}}
    for one in newcomers:
        groups[group][one.name] = one.variables
        for other in one.groups:
            groups.setdefault(other, {}).setdefault(one.name, {})
    add = add_to_yaml if is_yaml else add_to_ini
    for name, hosts in groups.items():
        text = add(text, name, hosts)
    return text


def _top_keys(content: bytes) -> set[str]:
    lines = content.decode("utf-8", "replace").splitlines()
    return {line.partition(":")[0] for line in lines if ":" in line}


def _members(listing: Mapping[str, Any]) -> set[str]:
    return {host for group in listing.values() for host in group.get("hosts", [])}


def _has_cluster(listing: Mapping[str, Any], group: str = CLUSTER) -> bool:
    entry = listing.get(group, {})
    return bool(entry.get("hosts")) or any(
        _has_cluster(listing, child) for child in entry.get("children", [])
    )


def _told(listing: Mapping[str, Any], new: Collection[str] = ()) -> dict[str, Any]:
    """The hosts of every group that has some, and the variables of every host that is not new."""
    variables = listing.get("_meta", {}).get("hostvars", {})
    told: dict[str, Any] = {
        f"host {host}": values for host, values in variables.items() if host not in new
    }
    for group, entry in listing.items():
        if entry.get("hosts") and group != "ungrouped":
            told[f"group {group}"] = list(entry["hosts"])
    return told


def _expected(listing: Mapping[str, Any], newcomers: Sequence[Newcomer]) -> dict[str, Any]:
    """The same once the newcomers are at the end of their groups, and in no other."""
    told = _told(listing)
    for one in newcomers:
        for group in (CLUSTER, *one.groups):
            told.setdefault(f"group {group}", []).append(one.name)
    return told


@contextmanager
def _beside(path: Path, content: bytes) -> Iterator[Path]:
    """A draft of the file in its folder; Ansible passes over hidden files of a folder."""
    draft = path.with_name(f".draft-{os.getpid()}-{path.name}")
    replace_whole(draft, None, content)
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)
