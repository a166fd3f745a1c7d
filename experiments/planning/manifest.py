"""What is written down of a plan when its run begins."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from collect.run import RunManifest, Scalar, SystemRecord
from core.paths import PROJECT_FOLDER
from experiments.engines.common import model_spec
from experiments.planning.plan import Plan


def run_manifest(plan: Plan, run: str, command: Sequence[str], toolkit: str) -> RunManifest:
    """The record with which a run of that plan begins."""
    matrix = plan.matrix
    names = dict.fromkeys(name for cell in plan.cells for name in cell.params)
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
        repeats=matrix.repeats,
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
    )


def _below_project(file: str) -> str:
    """Return a path relative to the project, if it is inside the project."""
    path = Path(file).resolve()
    return str(path.relative_to(PROJECT_FOLDER) if path.is_relative_to(PROJECT_FOLDER) else file)


def _has_root(plan: Plan) -> bool:
    """Whether there is a root that reported its installation."""
    return bool(plan.cluster.nodes) and plan.cluster.root.away is None


def _engine_stamps(plan: Plan) -> dict[str, dict[str, Scalar | None]]:
    if not _has_root(plan):
        return {}
    used = dict.fromkeys(str(cell.params["engine"]) for cell in plan.cells)
    installed = plan.cluster.root.engines
    return {
        name: {
            "version": installed[name].version,
            "protocol": installed[name].protocol,
            **{
                key: value
                for key, value in installed[name].details.items()
                if isinstance(value, str | int | float | bool | None)
            },
        }
        for name in used
        if name in installed
    }


def _model_hashes(plan: Plan) -> dict[str, str]:
    if not _has_root(plan):
        return {}
    used = {model_spec(cell.model).slug for cell in plan.by_id.values() if cell.endpoint is None}
    return {
        name: sha256
        for name, sha256 in plan.cluster.root.model_sha256.items()
        if name.partition("/")[0] in used
    }
