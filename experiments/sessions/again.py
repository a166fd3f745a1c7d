"""What of a run can go on: its cells and machines as they were against how they are now.

Every cell that has trials left is looked at again, whenever a run continues and whenever a node
comes back. What is found is written down as an addition to the run (`collect.later`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from collect.cells import CellRecord
from collect.later import Facts, Later
from collect.run import RunManifest
from core.errors import HerdError
from core.record import Scalar
from experiments.fleet.cluster import Cluster, Node
from experiments.nodes.gpus import GPU_FACT
from experiments.planning.identity import canonical
from experiments.planning.manifest import run_manifest
from experiments.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class Again:
    """A run as it can go on.

    Attributes:
        plan: of today, its cells under the ids that they have in the run.
        later: what became known since the run was written down.
    """

    plan: Plan
    later: Later


def held_against(manifest: RunManifest, cluster: Cluster) -> Cluster:
    """The same nodes; one that is not what it was when the run saw it first is away for that."""
    return replace(
        cluster,
        nodes=tuple(
            replace(node, away=node_difference(manifest, node)) if node.away is None else node
            for node in cluster.nodes
        ),
    )


def node_difference(manifest: RunManifest, node: Node) -> str | None:
    """How a node differs from what it was when the run saw it first, in words; None if not."""
    facts = manifest.nodes.get(node.name, {})
    if not facts:
        return None
    found = []
    if facts.get("machine_id") != node.facts.get("machine_id"):
        found.append(f"{node.name} is another machine (its machine-id changed)")
    found += [
        f"{key.removesuffix(' sha256')} on {node.name} was rebuilt or replaced"
        for key in sorted(_programs(facts).keys() & _programs(node.facts).keys())
        if facts[key] != node.facts[key]
    ]
    if _computes_on_gpu(manifest, node.name):
        found += [
            f"{key} of {node.name} is now {node.facts[key]}, and was {facts[key]}"
            for key in sorted(_gpus(facts).keys() & _gpus(node.facts).keys())
            if facts[key] != node.facts[key] and not key.endswith("_mib")
        ]
    if node.name in {root for cell in manifest.cells for root in cell.roots}:  # a root has models
        found += [
            f"the model file {name} changed"
            for name in sorted(manifest.models.keys() & node.model_sha256.keys())
            if manifest.models[name] != node.model_sha256[name]
        ]
    if not found:
        return None
    return (
        f"Since the run {manifest.run} began, {'; '.join(found)}. Its trials would not be "
        "comparable. Undo the change, or start another run with --new."
    )


def _computes_on_gpu(manifest: RunManifest, node: str) -> bool:
    """Whether some cell of a run has a node compute on its GPU, if it has one."""
    return any(node in cell.nodes and cell.params.get("device") == "gpu" for cell in manifest.cells)


def look_again(
    manifest: RunManifest, tried: Collection[str], left: Collection[str], plan: Plan
) -> Again:
    """Hold a run against the plan of the same matrix as things are now.

    Args:
        manifest: the run.
        tried: ids of its cells that have attempts.
        left: ids of its cells that have trials left.
        plan: of today; nodes that are no longer what they were are away in it.

    Raises:
        HerdError: a cell has changed, and no machine shows why.
    """
    now = run_manifest(plan, manifest.run, (), "")
    _require_same_tuned(manifest, now)
    pairs = _pairs(manifest, plan)
    cells = {}
    for before, today in pairs:
        cells[before.cell_id] = before
        if not plan.waits_for(today):  # else nothing is known of it that was not
            seen = before.unavailable is None and not manifest.unseen(before.nodes)
            is_fixed = seen or before.cell_id in tried
            found = _now(manifest.run, before, today, is_fixed=is_fixed)
            cells[before.cell_id] = found if before.cell_id in left else before
    later = Later(
        run=manifest.run,
        at=time.time(),
        nodes={
            name: more
            for name, facts in manifest.nodes.items()
            if (more := _more_facts(facts, now.nodes.get(name, {})))
        },
        engines={name: now.engines[name] for name in now.engines.keys() - manifest.engines.keys()},
        models={name: now.models[name] for name in now.models.keys() - manifest.models.keys()},
        cells={
            before.cell_id: cells[before.cell_id]
            for before, _ in pairs
            if cells[before.cell_id] != before
        },
    )
    ids = {today.cell_id: cells[before.cell_id].cell_id for before, today in pairs}
    aligned = replace(
        plan,
        cells=tuple(cells.values()),
        by_id={ids[cell_id]: cell for cell_id, cell in plan.by_id.items()},
        trials=(),
    )
    return Again(aligned, later)


def _require_same_tuned(manifest: RunManifest, now: RunManifest) -> None:
    """See that no fine-tuned model of a run was trained again since it began.

    Raises:
        HerdError: one was; its figures would be those of two models.
    """
    for name, record in now.tuned.items():
        before = manifest.tuned.get(name)
        if before is not None and (before.files, before.parentage) != (
            record.files,
            record.parentage,
        ):
            raise HerdError(
                f"Continuing the run {manifest.run}: the fine-tuned model {name} is another one "
                "than when the run began: it was trained again. Its trials would not be "
                "comparable. Undo the change, or start another run with --new."
            )


def _pairs(manifest: RunManifest, plan: Plan) -> list[tuple[CellRecord, CellRecord]]:
    """Each cell of a run with what it is in the plan of today."""
    planned = {(_key(cell.params), cell.nodes): cell for cell in plan.cells}
    known = [(_key(cell.params), cell.nodes) for cell in manifest.cells]
    if set(known) != planned.keys():
        raise HerdError(
            f"Continuing the run {manifest.run}: its cells do not match its plan_id, so its "
            "run.json was changed. Undo the change, or start another run with --new."
        )
    return [(cell, planned[key]) for cell, key in zip(manifest.cells, known, strict=True)]


def _now(run: str, before: CellRecord, today: CellRecord, *, is_fixed: bool) -> CellRecord:
    """What a cell of a run is now.

    Args:
        run: its name.
        before: the cell so far.
        today: the cell as it would be planned now.
        is_fixed: it was tried, or could have been: it is what it was, or the run is another one.
    """
    if today.cell_id == before.cell_id or today.unavailable is not None:
        return before.model_copy(update={"unavailable": today.unavailable})
    if is_fixed:
        raise HerdError(
            f"Continuing the run {run}: its cells have changed since it began (other programs, "
            "models or protocol). Its trials would not be comparable. Undo the change, or "
            "start another run with --new."
        )
    return today


def _key(params: Mapping[str, Scalar]) -> str:
    return json.dumps(canonical(params))


def _programs(facts: Mapping[str, Scalar | None]) -> Facts:
    return {key: value for key, value in facts.items() if key.endswith(" sha256")}


def _gpus(facts: Mapping[str, Scalar | None]) -> Facts:
    return {key: value for key, value in facts.items() if GPU_FACT.search(key)}


def _more_facts(before: Facts, now: Facts) -> Facts:
    """What a node says for the first time: all, or programs and GPUs that it had not."""
    if not before:
        return now
    found = {**_programs(now), **_gpus(now)}
    return {key: value for key, value in found.items() if key not in before}
