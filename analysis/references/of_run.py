"""What a run itself draws on: its engines, models, weights, and how models were tuned."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from analysis.blocks import Cite
from collect.run import RunManifest
from core.yaml_file import load_yaml_file

USES = Path(__file__).with_name("uses.yml")
OPTIMISER = "AdamW"
Keys = tuple[str, ...]


class Uses(BaseModel):
    """Keys of references, by the name of what they are about (`uses.yml`).

    Attributes:
        engines: by the engine's name.
        models: by the beginning of a model's name; the longest that fits counts.
        weights: by the type of weights.
        methods: by the method's name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    engines: Mapping[str, Keys]
    models: Mapping[str, Keys]
    weights: Mapping[str, Keys]
    methods: Mapping[str, Keys]

    def of_model(self, name: str) -> Keys:
        """The references of a model; none if it has none, such as one of random weights."""
        fitting = [begin for begin in self.models if name.startswith(begin)]
        return self.models[max(fitting, key=len)] if fitting else ()


@functools.cache
def uses() -> Uses:
    """The table that comes with the toolkit."""
    return load_yaml_file(USES, Uses, "the table of references")


def cites_of_run(run: RunManifest) -> Iterator[Cite]:
    """What a run draws on, each with its name."""
    known, cells = uses(), run.cells
    for engine in dict.fromkeys(str(cell.params["engine"]) for cell in cells):
        yield Cite(engine, known.engines.get(engine, ()))
    for model in dict.fromkeys(str(cell.params["model"]) for cell in cells):
        base = run.tuned[model].parentage.base if model in run.tuned else model
        yield Cite(model, known.of_model(base))
    for weights in dict.fromkeys(str(cell.params["weights"]) for cell in cells):
        yield Cite(weights, known.weights.get(weights, ()))
    for method in dict.fromkeys(record.parentage.method for record in run.tuned.values()):
        yield Cite(method, known.methods.get(method, ()))
    if run.tuned:
        yield Cite(OPTIMISER, ("loshchilov2017",))
