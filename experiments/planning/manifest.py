"""What is written down of a plan when its run begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from collect.run import RunManifest, SystemRecord
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from core.record import Scalar
from experiments.engines.common import model_spec
from experiments.engines.petals_prompts import ADAPTER, NO_ADAPTER
from experiments.fleet.cluster import Installation, Node
from experiments.planning.plan import Plan
from models import tuned as layout
from models.fine_tuned import has_tuned, read_tuned
from models.tuned import TunedRecord


def run_manifest(plan: Plan, run: str, command: Sequence[str], toolkit: str) -> RunManifest:
    """The record with which a run of that plan begins."""
    matrix = plan.matrix
    names = dict.fromkeys(name for cell in plan.cells for name in cell.params)
    has_cells = {cell.params.get("part") for cell in plan.cells}
    parts = {n: part.record(n) for n, part in matrix.chosen_parts.items() if n in has_cells}
    return RunManifest(
        run=run,
        title=matrix.title,
        plan_id=plan.plan_id,
        created_at=time.time(),
        matrix_file=_below_project(matrix.file),
        workload=matrix.workload,
        axes={
            name: tuple(dict.fromkeys(c.params[name] for c in plan.cells if name in c.params))
            for name in names
        },
        repeats=max((part.repeats for part in parts.values()), default=matrix.repeats),
        parts=parts,
        seed=matrix.seed,
        warmup=matrix.warmup,
        max_attempts=matrix.max_attempts,
        equivalence_margin=matrix.equivalence_margin,
        cells=plan.cells,
        trials=plan.trials,
        nodes={
            node.name: dict(node.facts) if node.away is None else {} for node in plan.cluster.nodes
        },
        engines=_engine_stamps(plan),
        models=_model_hashes(plan),
        command=tuple(command),
        toolkit=toolkit,
        systems={
            str(cell.params["system"]): SystemRecord(
                url=cell.endpoint.url, model=cell.model, price=cell.endpoint.price
            )
            for cell in plan.by_id.values()
            if cell.endpoint is not None
        },
        tuned=_fine_tuned(plan),
        electricity=plan.cluster.electricity,
    )


def _below_project(file: str) -> str:
    """Return a path relative to the project, if it is inside the project."""
    path = Path(file).resolve()
    return str(path.relative_to(PROJECT_FOLDER) if path.is_relative_to(PROJECT_FOLDER) else file)


def _roots(plan: Plan) -> dict[str, Node]:
    """The nodes that cells begin on and that reported what they have, by name, in their order."""
    roots = {name for cell in plan.cells for name in cell.roots}
    return {
        node.name: node for node in plan.cluster.nodes if node.name in roots and node.away is None
    }


def _engine_stamps(plan: Plan) -> dict[str, dict[str, Scalar | None]]:
    roots = _roots(plan)
    found: dict[str, Installation] = {}
    for cell in plan.cells:
        root = roots.get(cell.nodes[0]) if cell.nodes else None
        installed = root.engines.get(str(cell.params["engine"])) if root else None
        if installed is not None:
            found.setdefault(installed.engine, installed)
    return {
        name: {
            "version": one.version,
            "protocol": one.protocol,
            **{
                key: value
                for key, value in one.details.items()
                if isinstance(value, str | int | float | bool | None)
            },
        }
        for name, one in found.items()
    }


def _fine_tuned(plan: Plan) -> dict[str, TunedRecord]:
    """The fine-tuned models, by their names without added heads, and the adapters of cells."""
    names = dict.fromkeys(c.model for c in plan.by_id.values() if c.endpoint is None)
    records = [model_spec(name).tuned for name in names]
    adapters = dict.fromkeys(str(c.params.get(ADAPTER.name, NO_ADAPTER)) for c in plan.cells)
    folder = layout.TUNED_FOLDER
    for name in (one for one in adapters if one != NO_ADAPTER and has_tuned(folder, one)):
        with suppress(HerdError):  # its cells say why they are unavailable
            records.append(read_tuned(folder, name))
    return {record.name: record for record in records if record is not None}


def _model_hashes(plan: Plan) -> dict[str, str]:
    used = {model_spec(cell.model).slug for cell in plan.by_id.values() if cell.endpoint is None}
    found: dict[str, str] = {}
    for root in _roots(plan).values():
        for name, sha256 in root.model_sha256.items():
            if name.partition("/")[0] in used:
                found.setdefault(name, sha256)
    return found
