"""What `fab adopt` shows and asks before it writes anything."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

from core.errors import HerdError
from core.terminal import say_text
from experiments.adopt.fleet import Fleet
from experiments.adopt.keys import HostKey, State
from experiments.adopt.machine import Machine
from experiments.doctor.diagnose import worst
from experiments.doctor.facts import Root
from experiments.doctor.finding import Diagnosis, Severity
from experiments.fleet import commands


class Talk(Protocol):
    """The person at the terminal."""

    def say(self, text: str, /) -> None:
        """Print a line, or several."""

    def confirm(self, question: str, /) -> bool | None:
        """Whether they say yes; None where there is no terminal to ask at."""


class Terminal:
    """The person at the terminal that this process has."""

    def say(self, text: str) -> None:
        """Print a line, or several."""
        say_text(text)

    def confirm(self, question: str) -> bool | None:
        """Ask, unless standard input or output is no terminal."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            return None
        sys.stdout.write(question)
        sys.stdout.flush()
        answer = sys.stdin.buffer.readline()  # half of a character would not decode
        if not answer.endswith(b"\n"):
            say_text("")
        return answer.strip().lower() in {b"y", b"yes"}


def show_changes(fleet: Fleet, going: Sequence[tuple[Machine, HostKey]], talk: Talk) -> None:
    """What is to be written, and the keys that are to be trusted."""
    newcomers = [one.newcomer for one, _ in going if one.newcomer is not None]
    if newcomers:
        talk.say(f"For {fleet.given}{'' if fleet.content else ' (a new file)'}:\n")
        talk.say(inventory_difference(fleet, fleet.with_newcomers(newcomers)))
    talk.say("Host keys:\n")
    width = max(len(one.node.name) for one, _ in going)
    for one, host in going:
        told = host.told if host.state is State.NEW else "already known"
        talk.say(f"  {one.node.name:{width}}  {one.place}\n  {'':{width}}  {told}")


def inventory_difference(fleet: Fleet, content: bytes) -> str:
    """The lines that come, with some around them; the whole file where it is new."""
    after = content.decode().splitlines()
    if not fleet.content:
        told = after
    else:
        before = fleet.content.decode().splitlines()
        told = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    return "".join(f"  {line}\n" for line in told)


def confirm(fresh: Sequence[HostKey], again: str, talk: Talk) -> None:
    """Have the new keys confirmed.

    Args:
        fresh: the keys.
        again: the command to print where there is no terminal for a question.
        talk: the person.

    Raises:
        HerdError: they were not confirmed.
    """
    files = sorted({host.file for host in fresh})
    talk.say(
        "\nCompare each with what the machine itself prints, on its own screen or in a session "
        "that you\nalready trust:\n" + "".join(f"  ssh-keygen -lf {file}\n" for file in files)
    )
    answer = talk.confirm(f"Trust {'these keys' if len(fresh) > 1 else 'this key'}? [y/N] ")
    if answer is None:
        raise HerdError(
            "There is no terminal for confirming the keys, so nothing was written. Once you "
            f"have compared them: {again}"
        )
    if not answer:
        raise HerdError("Not confirmed: nothing was written.")


def next_commands(nodes: int, diagnoses: Sequence[Diagnosis]) -> Iterator[str]:
    """What to do now: make the nodes ready, then measure.

    Args:
        nodes: how many the cluster has.
        diagnoses: what the doctor found about those that were adopted.
    """
    if worst(diagnoses) is Severity.PROBLEM:
        yield "Once the problems are solved, provision the machines and measure:"
    else:
        yield "Provision the machines, then measure:"
    roots = [one.answer.facts.root for one in diagnoses if one.answer.facts is not None]
    asks = len(roots) < nodes or any(not _becomes_root(root) for root in roots)
    # Where the nodes do not tell, the inventory does: it may give a password.
    yield f"  {commands.provision(password=None if asks else False)}"
    counts = [2**power for power in range(nodes.bit_length()) if 2**power < nodes]
    yield f"  {commands.fab('run-matrix', '--nodes', ','.join(map(str, [*counts, nodes])))}"


def _becomes_root(root: Root | None) -> bool:
    """Whether the account becomes root without a password."""
    return root is not None and (root.is_root or root.asks == "nothing")
