"""Measures the nodes of a cluster and their links, and stores the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collect.probe import LinkProbe, NodeProbe, ProbeRecord, write_probe
from core.errors import HerdError
from core.foreign import one_line
from core.paths import RESULTS_FOLDER
from core.version import version
from experiments.engines import ON_NODES
from experiments.fleet.cluster import Cluster, Node
from experiments.fleet.inventory import read_cluster
from experiments.fleet.limit import chosen
from experiments.nodes.facts import look
from experiments.nodes.herd import Herd
from experiments.nodes.launcher import Launcher, Reply, Request
from experiments.nodes.owner import Owner
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.probing.order import by_asking, links_to_measure, machine_of, rounds
from experiments.probing.second_look import LOOKS, suspects, with_better
from experiments.probing.told import link_probes, node_probe

PROGRAM = "/usr/local/libexec/llama-herd/herd-probe"
LISTENING, MEASURING = "herd-probe-listen", "herd-probe-measure"
"""Units on nodes."""
NODE_S = 60
"""A node's own measurement takes 3 s; with a slow compiler some more."""
MOST_S = 86_400
LINK_S = 45
"""Of one link, where everything is as slow as the program lets it be."""
READY_S, ANSWER_S = 20, 10.0
SHARE = 4
"""A quarter of the memory that is free may be read."""
MOST_MIB = 2048

Hears = Callable[[str], None]


def probe(
    project: Path, inventory: str | None, limit: str | None, hear: Hears
) -> tuple[ProbeRecord, Path]:
    """Measure the inventory's nodes, or those of `limit`; the record and its file.

    Args:
        project: folder of `fabfile.py`; the record goes below it.
        inventory: another inventory than that of `ansible.cfg`.
        limit: names of nodes, separated by commas.
        hear: gets a line before each stage.

    Raises:
        HerdError: the inventory cannot be read, or no node can be measured.
    """
    cluster = read_cluster(project, inventory)
    launcher = SshLauncher(project)
    results = project / RESULTS_FOLDER
    try:
        nodes = tuple(chosen(cluster.nodes, limit))
        record = probe_on(Cluster(nodes), launcher, hear=hear, toolkit=version(project))
    finally:
        launcher.close()
    return record, write_probe(results, record)


def probe_on(
    cluster: Cluster,
    launcher: Launcher,
    *,
    hear: Hears,
    toolkit: str = "",
    owner: Owner | None = None,
) -> ProbeRecord:
    """Measure nodes that a launcher reaches. No engine runs there meanwhile: they are owned.

    Args:
        cluster: the nodes, root first.
        launcher: reaches them.
        hear: gets a line before each stage.
        toolkit: version of this toolkit.
        owner: who measures; this process if not given.

    Raises:
        HerdError: no node can be measured.
    """
    started_at, begun = time.time(), time.monotonic()
    nodes = look(cluster, launcher).nodes
    left_out = {node.name: reason for node in nodes if (reason := _obstacle(node)) is not None}
    there = tuple(node for node in nodes if node.name not in left_out)
    herd = Herd(launcher, there, owner or Owner.me())
    try:
        herd.own_those_there()
        probing = Probing(herd, left_out | herd.reasons())
        probing.measure_nodes([node for node in there if node.name not in probing.left_out], hear)
        measured = [node for node in there if node.name in probing.nodes]
        if not measured:
            reasons = " ".join(probing.left_out.values())
            raise HerdError(f"No node could be measured. {reasons}")
        kind, pairs = links_to_measure(measured)
        if pairs:
            hear(f"Measuring {len(pairs)} links, one after the other: about {len(pairs)} s")
            listening = probing.listen([pair.listens for pair in pairs], LINK_S * len(pairs))
            for asks, listens in by_asking(pairs):
                probing.measure_links(asks, [one for one in listens if one.name in listening])
            probing.look_again({node.name: node for node in measured}, hear)
    finally:
        herd.close()
    return ProbeRecord(
        started_at=started_at,
        took_s=time.monotonic() - begun,
        nodes=tuple(probing.nodes.values()),
        links=tuple(probing.links),
        pairs=kind,
        left_out={name: one_line(why) for name, why in probing.left_out.items()},
        links_left_out=tuple(map(one_line, probing.links_left_out)),
        toolkit=toolkit,
    )


def _obstacle(node: Node) -> str | None:
    """Why a node is not measured, a sentence; None if it is."""
    if node.away is not None:
        return node.away
    if node.facts.get("emulated"):
        return f"{node.name} is emulated, so its speed says nothing about a machine."
    return None


@dataclass
class Probing:
    """What was measured so far.

    Attributes:
        herd: the nodes, which are owned.
        left_out: node name to why it was not measured.
        nodes: what was measured of each, by name.
        links: what was measured of links.
        links_left_out: which were not measured and why, a sentence each.
    """

    herd: Herd
    left_out: dict[str, str]
    nodes: dict[str, NodeProbe] = field(default_factory=dict)
    links: list[LinkProbe] = field(default_factory=list)
    links_left_out: list[str] = field(default_factory=list)

    def measure_nodes(self, nodes: list[Node], hear: Hears) -> None:
        """Have nodes measure themselves, those of one machine one after the other."""
        found: dict[str, NodeProbe] = {}
        for turn in rounds(nodes):
            hear(f"Measuring memory and arithmetic of {', '.join(node.name for node in turn)}")
            found |= self._measure_at_once(turn)
        shared = [machine_of(node) for node in nodes]
        for node in (node for node in nodes if node.name in found):
            told = found[node.name]
            if shared.count(machine_of(node)) > 1:
                words = "it shares a machine with another node; each was measured alone"
                told = told.model_copy(update={"remarks": (*told.remarks, words)})
            self.nodes[node.name] = told

    def _measure_at_once(self, nodes: list[Node]) -> dict[str, NodeProbe]:
        requests = {node.name: _run(_node_argv(node), NODE_S) for node in nodes}
        replies, silent = self.herd.ask_each(requests, "measure itself", NODE_S + ANSWER_S)
        self.left_out |= silent
        found = {}
        for node in (node for node in nodes if node.name in replies):
            reply = replies[node.name]
            try:
                found[node.name] = node_probe(node, _out(node, reply), _why_ended(reply))
            except HerdError as error:
                self.left_out[node.name] = str(error)
        return found

    def listen(self, nodes: Iterable[Node], longest_s: int) -> set[str]:
        """Start the programs that answer; the names of the nodes where one does."""
        asked = {node.name: node for node in nodes}
        # They end with the conversation; this is for one that is not ended.
        deadline_s = min(MOST_S, longest_s + NODE_S)
        requests = {name: _start(node, deadline_s) for name, node in asked.items()}
        replies, silent = self.herd.ask_each(requests, "listen", READY_S + ANSWER_S)
        refused = {name: reply.why() for name, reply in replies.items() if not reply.ok}
        for name, reason in (silent | refused).items():
            self.links_left_out.append(f"Links to {name} were not measured: {reason}.")
        return asked.keys() - silent.keys() - refused.keys()

    def measure_links(self, asks: Node, listens: list[Node]) -> None:
        """Have a node measure its links to others, one after the other."""
        if not listens:
            return
        found, reasons, because = self._linked(asks, listens)
        self.links += found
        known = {(link.source, link.target) for link in found}
        for node in listens:
            if (asks.name, node.name) not in known:
                why = reasons.get(node.name, because).rstrip(".")
                self.links_left_out.append(
                    f"The link {asks.name} to {node.name} was not measured: {why}."
                )

    def look_again(self, nodes: Mapping[str, Node], hear: Hears) -> None:
        """Measure links again while they look slow; of all figures the best one counts."""
        for most in LOOKS:
            pairs = suspects(self.links, most)
            if pairs:
                hear(f"Measuring {len(pairs)} links that look slow again")
            for asks, listens in pairs:
                again, _, _ = self._linked(nodes[asks], [nodes[listens]])
                self.links = with_better(self.links, again)

    def _linked(
        self, asks: Node, listens: list[Node]
    ) -> tuple[list[LinkProbe], dict[str, str], str]:
        """The links of a node, by target why there is none, and why there are no others."""
        addresses = [node.engine_address for node in listens]
        argv = (PROGRAM, "links", str(port()), *addresses)
        longest_s = LINK_S * len(listens)
        replies, silent = self.herd.ask_each(
            {asks.name: _run(argv, longest_s)}, "measure its links", longest_s + ANSWER_S
        )
        if asks.name in silent:
            return [], {}, silent[asks.name]
        reply = replies[asks.name]
        try:
            found, reasons = link_probes(asks, listens, _out(asks, reply))
        except HerdError as error:
            return [], {}, str(error)
        return found, reasons, _why_ended(reply) or "it did not come to it"


def port() -> int:
    """The port on which nodes answer: the last one of a range that the firewall has for engines.

    A node refuses to listen where something else does, so no engine is ever connected to.
    """
    ranges = [one.partition("-") for engine in ON_NODES.values() for one in engine.ports]
    first = min(ranges, key=lambda one: int(one[0]))
    return int(first[2] or first[0])


def _node_argv(node: Node) -> tuple[str, ...]:
    most_mib = min(MOST_MIB, (node.available_mib or node.memory_mib) // SHARE)
    return PROGRAM, "node", str(most_mib), str(node.cores)


def _run(argv: tuple[str, ...], deadline_s: int) -> Request:
    fields = [("unit", MEASURING), ("deadline", str(deadline_s)), *(("arg", one) for one in argv)]
    return Request("run", tuple(fields))


def _start(node: Node, deadline_s: int) -> Request:
    argv = (PROGRAM, "listen", node.listen_address, str(port()))
    fields = [
        ("unit", LISTENING),
        ("deadline", str(deadline_s)),
        ("port", str(port())),
        ("ready", str(READY_S)),
        *(("arg", one) for one in argv),
    ]
    return Request("start", tuple(fields))


def _out(node: Node, reply: Reply) -> bytes:
    """What the program printed.

    Raises:
        HerdError: the node did not start it.
    """
    if not reply.ok:
        raise HerdError(f"{node.name}: {reply.why()}.")
    return reply.parts.get("out", b"")


def _why_ended(reply: Reply) -> str | None:
    """Why a program ended early, a clause; None if it did not."""
    state = reply.state
    if state.exit_code == 0:
        return None
    said = one_line(reply.text("err")[-300:])
    if state.signal is not None:
        how = f"signal {state.signal}"
    else:
        how = "no status" if state.exit_code is None else f"status {state.exit_code}"
    result = f", {one_line(state.result, 40)}" if state.result not in {None, "success"} else ""
    return f"{how}{result}{f': {said}' if said else ''}"
