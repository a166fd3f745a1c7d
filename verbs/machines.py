"""Verbs for machines: what each is, and how more are added."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit

from verbs.bare_words import BareWords
from verbs.matrices import MATRIX_HELP
from verbs.verb import PROJECT, say, say_besides, say_json, verb

MACHINES = BareWords("--machine")


@verb(
    help={
        "limit": "names of nodes, such as pi3,desk (default: all)",
        "deep": "also import PyTorch and bitsandbytes wherever they are installed",
        "json": "findings and facts as one JSON object (docs/json.md)",
        "inventory": MATRIX_HELP["inventory"],
    }
)
def doctor(
    _context: Context,
    limit: str | None = None,
    deep: bool = False,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Show what each machine is, what will not work on it, and how to fix it. Changes nothing."""
    from rich.console import Console

    from experiments.doctor.diagnose import worst
    from experiments.doctor.finding import Severity
    from experiments.doctor.run import examine
    from experiments.doctor.show import show_diagnoses

    diagnoses = examine(PROJECT, inventory, limit, deep=deep)
    if json:
        from experiments.doctor.doctor_answer import doctor_answer

        say_json(doctor_answer(diagnoses))
    else:
        show_diagnoses(diagnoses, Console())
    if worst(diagnoses) is Severity.PROBLEM:
        raise Exit(code=1)


@verb(
    help={
        "limit": "names of nodes, such as pi3,desk (default: all)",
        "json": "the stored record as one JSON object (docs/json.md)",
        "inventory": MATRIX_HELP["inventory"],
    }
)
def probe(
    _context: Context,
    limit: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    """Measure memory and arithmetic of each node, and latency and rate of links. No engine runs."""
    from rich.console import Console

    from experiments.probing.run import probe as measure
    from experiments.probing.show import show_probe

    record, path = measure(PROJECT, inventory, limit, say_besides)
    if json:
        from experiments.probing.probe_answer import probe_answer

        say_json(probe_answer(record))
    else:
        show_probe(record, Console())
        say(f"Stored as {path.relative_to(PROJECT)}")
    if record.left_out or record.links_left_out:
        raise Exit(code=1)


@verb(
    help={
        "machine": "[name=][user@]host[:port]; bare words after `adopt` are also machines",
        "inventory": "the inventory file, created if missing (default inventory/fleet.yml)",
        "fingerprint": "fingerprint of a host key that you trust, instead of a question; may be "
        "given several times",
        "key": "private key for the login, added to the inventory (default: SSH's own choice)",
    },
    iterable=["machine", "fingerprint"],
)
def adopt(
    _context: Context,
    machine: list[str] | None = None,
    inventory: str | None = None,
    fingerprint: list[str] | None = None,
    key: str | None = None,
) -> None:
    """Add machines to the inventory: fab adopt pi@192.0.2.11 pi@192.0.2.12 …; the first is root."""
    from rich.console import Console

    from experiments.adopt.fleet import DEFAULT
    from experiments.adopt.run import adopt as adopt_machines
    from experiments.adopt.screen import Terminal, next_commands
    from experiments.doctor.diagnose import worst
    from experiments.doctor.finding import Severity
    from experiments.doctor.run import examine
    from experiments.doctor.show import show_diagnoses

    chosen = inventory or DEFAULT
    adopted = adopt_machines(
        PROJECT, machine or [], chosen, Terminal(), fingerprints=fingerprint or [], key=key
    )
    say("")
    diagnoses = examine(PROJECT, chosen, ",".join(adopted.names), deep=False)
    show_diagnoses(diagnoses, Console())
    for line in next_commands(adopted.nodes, diagnoses):
        say(line)
    if not adopted.is_all or worst(diagnoses) is Severity.PROBLEM:
        raise Exit(code=1)
