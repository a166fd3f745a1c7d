"""Verbs for the virtual nodes."""

from __future__ import annotations

from invoke.context import Context

from verbs.verb import JSON_HELP, say, say_json, verb

LAB_NODES = 8


@verb(
    help={
        "nodes": "how many (1 to 16)",
        "arm64": "how many of them (the last ones) are emulated Raspberry Pis: never for "
        "measuring speed",
        "release": "their Debian releases, in turn: bookworm,trixie (default: that of this "
        "machine)",
        "vulkan": "names of nodes with a software Vulkan driver, such as pi1,pi3: never for "
        "measuring speed",
    }
)
def lab_up(
    _context: Context,
    nodes: int = LAB_NODES,
    arm64: int = 0,
    release: str = "",
    vulkan: str = "",
) -> None:
    """Start the virtual nodes."""
    from experiments.fleet import lab

    lab.lab_up(nodes, arm64, release, vulkan)


@verb()
def lab_down(_context: Context) -> None:
    """Remove the virtual nodes; only the cached image is kept."""
    from experiments.fleet import lab

    lab.lab_down()


@verb(help={"json": JSON_HELP})
def lab_status(_context: Context, json: bool = False) -> None:
    """List the virtual nodes and the state of each."""
    from experiments.fleet import lab

    nodes = lab.lab_status()
    if json:
        say_json(lab.LabAnswer(nodes=tuple(nodes)))
        return
    if not nodes:
        say("The lab is down. Bring it up with: fab lab-up --nodes 8")
    for node in nodes:
        say(
            f"{node.name:5} {node.address:12} {node.state:7} {node.release:8} {node.architecture} "
            f"{'?' if node.cpus is None else f'{node.cpus:g}'} CPU {node.memory} "
            f"{node.link_mbit} Mbit/s"
            f"{' emulated' if node.is_emulated else ''}"
            f"{' software Vulkan' if node.gpu == 'vulkan' else ''}"
        )
