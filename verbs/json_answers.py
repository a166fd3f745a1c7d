"""Every shape that `--json` prints, by verb.

`python -m verbs.json_answers` writes their schemas to docs/schemas/.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel

from core.json_answer import schema_of

ANSWERS = {
    "cite": "collect.citing.cite_answer:CiteAnswer",
    "compare-runs": "analysis.two_runs.compare_runs_answer:CompareRunsAnswer",
    "doctor": "experiments.doctor.doctor_answer:DoctorAnswer",
    "history": "experiments.disk.history:HistoryAnswer",
    "lab-status": "experiments.fleet.lab:LabAnswer",
    "log": "collect.diary.log_answer:LogAnswer",
    "models": "models.models_answer:ModelsAnswer",
    "plan": "experiments.planning.plan_answer:PlanAnswer",
    "probe": "experiments.probing.probe_answer:ProbeAnswer",
    "status": "experiments.disk.status:StatusAnswer",
    "what-if": "analysis.what_if.what_if_answer:WhatIfAnswer",
    "what-if --machine": "analysis.what_if.what_if_answer:WhatIfMachineAnswer",
}
"""Verb, with the flag that gives it another shape, to where the shape is."""
SCHEMAS = Path(__file__).resolve().parents[1] / "docs" / "schemas"


def answer_of(verb: str) -> type[BaseModel]:
    """The shape of what a verb prints."""
    module, _, name = ANSWERS[verb].partition(":")
    found: type[BaseModel] = getattr(import_module(module), name)
    return found


def file_of(verb: str) -> Path:
    """Where its schema is documented: `docs/schemas/what-if-machine.json`."""
    return SCHEMAS / f"{verb.replace(' --', '-')}.json"


def schema_text(verb: str) -> str:
    """Write out the schema of a verb."""
    return json.dumps(schema_of(answer_of(verb)), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for name in ANSWERS:
        file_of(name).write_text(schema_text(name), encoding="utf-8")
