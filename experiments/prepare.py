"""`fab prepare`: exactly the engines and models that a matrix needs, on the nodes that need them.

Nothing is taken away: what else a node has, and models that the inventory names, stay as they are.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from collect.labels import cell_label
from core.errors import HerdError
from core.progress import Reporter, StderrReporter
from experiments.engines import ENGINES, ON_NODES
from experiments.engines.base import Cell
from experiments.engines.common import model_spec, taking_part
from experiments.engines.several import obstacle
from experiments.fleet import commands
from experiments.fleet.cluster import Cluster, Node
from experiments.fleet.programs import NOT_INSTALLED, ansible_environment
from experiments.nodes.facts import look
from experiments.nodes.ssh.launcher import SshLauncher
from experiments.planning.lacks import Lacks, Wanted, lacks_of, obstacle_beyond
from experiments.planning.matrix import Matrix
from experiments.planning.plan import inventory_of, those_left
from models.build import ensure_artifact, expected_size_bytes
from models.fetch import open_checkpoint

_MIB = 1024 * 1024

Say = Callable[[str], None]
Play = Callable[[list[str]], int]
Refused = dict[Wanted | str, str]
"""What cannot be had to the reason: files of an engine, or those of a model's publisher."""


@dataclass(frozen=True, slots=True)
class AnsibleCall:
    """One call of Ansible.

    Attributes:
        nodes: names of the nodes that it is for.
        engines: that they get.
        models: that those of them get that read its files.
        roots: those of them that get models as the inventory's first node does.
    """

    nodes: tuple[str, ...]
    engines: tuple[str, ...]
    models: tuple[Wanted, ...]
    roots: tuple[str, ...] = ()

    def argv(self) -> list[str]:
        """The words of the command."""
        return commands.provision_argv(*self._tags, limit=self.nodes, variables=self._variables)

    def command(self) -> str:
        """The command as one can paste it."""
        return commands.provision(*self._tags, limit=self.nodes, variables=self._variables)

    @property
    def _tags(self) -> list[str]:
        return [
            *(ON_NODES[engine].slug for engine in self.engines),
            *["models"][: len(self.models)],
        ]

    @property
    def _variables(self) -> dict[str, object]:
        # Given on the command line they stand in place of the inventory's for this call alone.
        wishes = (ON_NODES[engine].wish for engine in self.engines)
        wanted: dict[str, object] = {wish: True for wish in wishes if wish}
        if self.models:
            wanted["herd_models"] = _entries(self.models)
        if self.roots:
            wanted["herd_roots"] = list(self.roots)
        return wanted


def _entries(models: Iterable[Wanted]) -> list[dict[str, object]]:
    """Models as `herd_models` lists them."""
    weights: dict[tuple[str, str], list[str]] = {}
    for one in models:
        weights.setdefault((one.model, one.engine), []).append(one.weights)
    engines: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (model, engine), types in weights.items():
        engines.setdefault((model, tuple(types)), []).append(engine)
    return [
        {"name": model, "weights": list(types), "engines": names}
        for (model, types), names in engines.items()
    ]


def prepare(
    matrix: Matrix,
    project: Path,
    say: Say,
    *,
    inventory: str | None = None,
    without: Sequence[str] = (),
) -> bool:
    """Install what a matrix lacks, and report what still cannot run.

    Args:
        matrix: what is to be measured.
        project: folder of `provision.yml`.
        say: prints a line.
        inventory: another one than that of `ansible.cfg`.
        without: names of nodes that are passed over as though they were not in the inventory.

    Returns:
        Whether everything that can be installed is there now, on every node.

    Raises:
        HerdError: the lab is down, the inventory cannot be read or has fewer nodes.
    """
    whole = inventory_of(matrix, project, inventory, without)
    cluster = those_left(whole, matrix)
    if not cluster.nodes:
        say("This matrix asks only APIs: no node needs anything.")
        return True
    return prepare_on(
        matrix,
        lambda: _seen(cluster, project),
        lambda argv: run_ansible(argv, project),
        say,
        StderrReporter(),
        whole.root.name,
    )


def prepare_on(
    matrix: Matrix,
    look_again: Callable[[], Cluster],
    play: Play,
    say: Say,
    reporter: Reporter,
    first: str,
) -> bool:
    """The same with the world given.

    Args:
        matrix: what is to be measured.
        look_again: asks the nodes.
        play: runs a command of Ansible and gives its exit code.
        say: prints a line.
        reporter: hears what happens while models are fetched and built.
        first: name of the inventory's first node, to which models go in any case.
    """
    cluster = look_again()
    cells = [cell for cell in matrix.cells(cluster) if cell.endpoint is None]
    for node in _away(cluster.nodes):
        say(f"{node.name} is skipped. {node.away}")
    lacks = lacks_of(cells, cluster)
    refused: Refused = {}
    if lacks:
        say("Missing, and where it will be installed:")
        for line in lacks_in_words(lacks):
            say(f"  {line}")
        refused = have_models(lacks, reporter)
        for step in steps_of(without(lacks, refused), first):
            say("Calling Ansible:")
            say(f"  {step.command()}")
            if play(step.argv()) != 0:
                say("Ansible stopped early; see its messages above.")
        cluster = look_again()
    left = still_missing(cells, cluster, refused)
    say("Still cannot run:" if left else "Everything that this matrix needs is installed.")
    for line in left:
        say(f"  {line}")
    return not (refused or _away(cluster.nodes) or lacks_of(cells, cluster))


def lacks_in_words(lacks: Lacks) -> list[str]:
    """What is missing, a line each."""
    engines = [f"{engine} on {', '.join(nodes)}" for engine, nodes in lacks.engines.items()]
    models = [f"{_described(one)} on {', '.join(nodes)}" for one, nodes in lacks.models.items()]
    originals = [
        f"{model} as published, for the reference, on this machine" for model in lacks.originals
    ]
    return [*engines, *models, *originals]


def _described(wanted: Wanted) -> str:
    spec, form = model_spec(wanted.model), ON_NODES[wanted.engine].format
    size_mib = expected_size_bytes(spec, form, wanted.weights) / _MIB
    return f"{wanted.model} {wanted.weights} for {wanted.engine} ({size_mib:.0f} MiB)"


def steps_of(lacks: Lacks, first: str) -> list[AnsibleCall]:
    """The calls of Ansible, engines before models, one for each group of nodes.

    Args:
        lacks: what is missing.
        first: name of the inventory's first node, to which models go in any case.
    """
    engines: dict[tuple[str, ...], list[str]] = {}
    for engine, nodes in lacks.engines.items():
        engines.setdefault(nodes, []).append(engine)
    models: dict[tuple[str, ...], list[Wanted]] = {}
    for wanted, nodes in lacks.models.items():
        # The role leaves alone the nodes that do not read this model's files.
        with_engine = lacks.engines.get(wanted.engine, ())
        all_read = ON_NODES[wanted.engine].reads_model_on_every_node
        is_for_all = not all_read and set(nodes) <= set(with_engine)
        models.setdefault(with_engine if is_for_all else nodes, []).append(wanted)
    return [
        AnsibleCall(
            nodes,
            tuple(engines.get(nodes, ())),
            tuple(models.get(nodes, ())),
            _roots(models.get(nodes, ()), lacks, first),
        )
        for nodes in dict.fromkeys((*engines, *models))
        if nodes
    ]


def _roots(models: Iterable[Wanted], lacks: Lacks, first: str) -> tuple[str, ...]:
    """The nodes that read these models' files as the first does, without the first itself."""
    readers = (
        name
        for wanted in models
        if not ON_NODES[wanted.engine].reads_model_on_every_node
        for name in lacks.models[wanted]
    )
    return tuple(dict.fromkeys(name for name in readers if name != first))


def have_models(lacks: Lacks, reporter: Reporter) -> Refused:
    """Get the files of each model onto this machine; return which are not available.

    The role would do it, too, but out of sight, and would end at the first that cannot be had.
    """
    refused: Refused = {}
    for wanted in lacks.models:
        spec = model_spec(wanted.model)
        try:
            ensure_artifact(spec, ON_NODES[wanted.engine].format, wanted.weights, reporter)
        except HerdError as error:
            refused[wanted] = str(error)
    for model in lacks.originals:
        try:
            open_checkpoint(model_spec(model), reporter)
        except HerdError as error:
            refused[model] = str(error)
    return refused


def without(lacks: Lacks, refused: Refused) -> Lacks:
    """The same but for these models."""
    models = {wanted: nodes for wanted, nodes in lacks.models.items() if wanted not in refused}
    return replace(lacks, models=models)


def still_missing(cells: Iterable[Cell], cluster: Cluster, refused: Refused) -> list[str]:
    """The cells that cannot run now and why, a line each."""
    return [
        f"{cell_label(cell.params)}: {reason}"
        for cell in cells
        if (reason := _obstacle(cell, cluster, refused)) is not None
    ]


def _obstacle(cell: Cell, cluster: Cluster, refused: Refused) -> str | None:
    away = _away(taking_part(cell, cluster))
    if away:
        return f"it waits for {', '.join(node.name for node in away)}"
    wanted = Wanted(cell.engine, cell.model, cell.weights)
    return (
        refused.get(wanted)
        or refused.get(cell.model)
        or obstacle_beyond(cell, cluster)
        or obstacle(ENGINES[cell.engine], cell, cluster)
    )


def _away(nodes: Iterable[Node]) -> list[Node]:
    return [node for node in nodes if node.away is not None]


def _seen(cluster: Cluster, project: Path) -> Cluster:
    """The nodes with what they have, or why they are away, over separate connections."""
    launcher = SshLauncher(project)
    try:
        return look(cluster, launcher)
    finally:
        launcher.close()


def run_ansible(argv: list[str], project: Path) -> int:
    """Run a command of Ansible in the project's folder, on this terminal, and give its exit code.

    Without a terminal, no password can be asked for, and Ansible does not try.

    Raises:
        HerdError: it is not installed.
    """
    words = argv if sys.stdin.isatty() else [word for word in argv if word != "-K"]
    try:
        done = subprocess.run(words, cwd=project, env=ansible_environment(project), check=False)
    except FileNotFoundError:
        raise HerdError(f"{words[0]} is not installed. {NOT_INSTALLED}") from None
    return done.returncode
