"""The whole of `fab adopt`: from words to nodes that can be provisioned.

A machine that something is wrong with is named and left out; the others go on. Nothing is written
before the host keys are confirmed, and there is no login to a machine before that. Keys are written
before the inventory: after a crash between the two, the same command continues from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import HerdError
from experiments.adopt.asked import read_words
from experiments.adopt.fleet import Fleet, read_fleet
from experiments.adopt.keys import (
    HostKey,
    State,
    add_keys,
    known_hosts_of,
    learn,
    read_fingerprints,
)
from experiments.adopt.look import Inspection, inspect
from experiments.adopt.machine import ENGINES_ADDRESS, Machine, again_with, machines_of
from experiments.adopt.screen import Talk, confirm, inventory_difference, show_changes
from experiments.adopt.trust import sound
from experiments.fleet import commands
from experiments.nodes.together import in_parallel


@dataclass(frozen=True, slots=True)
class Adopted:
    """The result.

    Attributes:
        names: nodes of the inventory, of those machines that were named.
        is_all: whether these are all.
        nodes: how many the cluster has now.
    """

    names: tuple[str, ...]
    is_all: bool
    nodes: int


def adopt(
    project: Path,
    words: Sequence[str],
    inventory: str,
    talk: Talk,
    *,
    fingerprints: Sequence[str] = (),
    key: str | None = None,
) -> Adopted:
    """Add machines to an inventory, and their keys to the file of known hosts.

    Args:
        project: folder with `ansible.cfg`.
        words: the machines, as `experiments.adopt.asked` reads them.
        inventory: the inventory's file; it need not be there yet.
        talk: the person at the terminal.
        fingerprints: of host keys that are trusted; without any the person is asked.
        key: file of the private key to log in with, for the inventory.

    Raises:
        HerdError: something is wrong with what was given or with the inventory, no one confirmed
        the keys, or no machine is left.
    """
    commands.remember(inventory)
    trusted = read_fingerprints(fingerprints)
    asked = read_words(words)
    if key is not None:
        _require_key(project, key)
    fleet = read_fleet(project, inventory)
    machines = machines_of(fleet, asked, key)
    found = in_parallel(lambda one: learn(one.node, project, trusted), machines)
    going = sound(fleet, machines, found, trusted, key, talk)
    if not going:
        raise HerdError("There are no machines left to adopt.")
    show_changes(fleet, going, talk)
    for one in machines:
        if passed_over := one.passed_over(key):
            talk.say(f"\n{one.asked.word}: {passed_over}.")
    fresh = [(one, host) for one, host in going if host.state is State.NEW]
    if fresh and not trusted:
        keys = [host for _, host in fresh]
        confirm(keys, again_with(words, key, keys), talk)
    _write_keys(project, fresh, talk)
    let_in = _let_in(project, [one for one, _ in going], talk)
    later = f"When that is fixed: {again_with(words, key)}"
    if not let_in:
        raise HerdError(f"There are no machines left to adopt. {later}")
    _write_inventory(fleet, let_in, [one for one, _ in going], talk)
    if not fleet.nodes and let_in[0].asked is not asked[0]:
        talk.say(
            f"{let_in[0].node.name} is the root now: {asked[0].word} was named first but is not "
            "available. For another root, move its lines to the top of group cluster."
        )
    if len(let_in) < len(machines):
        talk.say(later)
    added = sum(one.newcomer is not None for one in let_in)
    names = tuple(one.node.name for one in let_in)
    return Adopted(names, len(let_in) == len(machines), len(fleet.nodes) + added)


def _require_key(project: Path, key: str) -> None:
    path = project / Path(key).expanduser()
    if key.endswith(".pub"):
        raise HerdError(f"--key {key}: this is the public key. Give the private key instead.")
    if not path.is_file():
        raise HerdError(f"--key {key}: no such file. ssh-keygen -t ed25519 -f {key}")


def _write_keys(project: Path, fresh: Sequence[tuple[Machine, HostKey]], talk: Talk) -> None:
    files: dict[Path, list[HostKey]] = {}
    for one, host in fresh:
        files.setdefault(known_hosts_of(one.node, project), []).append(host)
    for path, keys in files.items():
        add_keys(path, keys)
        many = "" if len(keys) == 1 else "s"
        talk.say(f"{commands.below(path, project)}: {len(keys)} key{many} added.")


def _let_in(project: Path, machines: Sequence[Machine], talk: Talk) -> list[Machine]:
    """The machines that let us in and can be nodes, as they are to be written."""
    looks = in_parallel(
        lambda one: Inspection() if one.newcomer is None else inspect(one.node, project), machines
    )
    let_in = []
    for one, seen in zip(machines, looks, strict=True):
        trouble, remedy = seen.trouble, seen.remedy
        if not trouble and one.lacks_address(seen):
            trouble = (
                "engines need an IPv4 address, and it is unclear which of its other addresses "
                "is reachable"
            )
            remedy = (
                f"Adopt it by one of its addresses: {', '.join(seen.addresses)}."
                if seen.addresses
                else f"Add it to the inventory yourself, with {ENGINES_ADDRESS}."
            )
        if trouble:
            talk.say(f"{one.asked.word}: {trouble}")
            if remedy:
                talk.say(f"→ {remedy}")
        else:
            let_in.append(one.seen(seen))
    return let_in


def _write_inventory(
    fleet: Fleet,
    let_in: Sequence[Machine],
    going: Sequence[Machine],
    talk: Talk,
) -> None:
    """Write those that let us in, as Ansible has read them in a draft."""
    newcomers = [one.newcomer for one in let_in if one.newcomer is not None]
    if not newcomers:
        talk.say(f"{fleet.given}: nothing to add.")
        return
    content = fleet.with_newcomers(newcomers)
    if fleet.content:  # a new file has nothing that could come to say something else
        fleet.tried(content, newcomers)
    fleet.write(content)
    talk.say(f"{fleet.given}: {len(newcomers)} node{'' if len(newcomers) == 1 else 's'} added.")
    if newcomers != [one.newcomer for one in going if one.newcomer is not None]:
        change = inventory_difference(fleet, content)
        talk.say(f"With what the machines reported, the change is:\n\n{change}")
