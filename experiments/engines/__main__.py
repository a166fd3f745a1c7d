"""What Ansible must know of the engines: one line of JSON, an object for each that has a role.

    python -m experiments.engines

name                        as an inventory and `install.json` write it
role                        folder below `roles/`, and the tag of provision.yml
format                      of its model files: `gguf`, `dllama`, `huggingface`
ports                       ranges for the firewall, such as `9990-9999`; two engines may name the
                            same one
options, flags, texts       what a node's helper lets its programs be started with: options with a
                            value, options without one, options whose value is any text. No word is
                            in two of the lists.
reads_model_on_every_node   false: the root alone gets the model's files
wish                        variable that must be true for a node to get it; null: each node gets it
workloads                   kinds that it has
devices                     what it computes on: `cpu`, and `gpu` where a build of it can
"""

from __future__ import annotations

import json
import sys

from experiments.engines import ON_NODES
from experiments.engines.engine import NodeEngine
from experiments.engines.parts import misstated, unstated


def engine_facts(engine: NodeEngine) -> dict[str, object]:
    """One engine's object; ends the program with a sentence where a fact is missing or wrong."""
    missing = ", ".join(f"`{fact}`" for fact in unstated(engine))
    wrong = f"it does not state {missing}" if missing else misstated(engine)
    if wrong:
        sys.exit(f"{engine.name} is incomplete: {wrong}. See docs/adding-an-engine.md.")
    return {
        "name": engine.name,
        "role": engine.slug,
        "format": engine.format,
        "ports": engine.ports,
        "options": engine.options,
        "flags": engine.flags,
        "texts": engine.texts,
        "reads_model_on_every_node": engine.reads_model_on_every_node,
        "wish": engine.wish,
        "workloads": engine.workloads,
        "devices": engine.devices,
    }


if __name__ == "__main__":
    print(json.dumps([engine_facts(engine) for engine in ON_NODES.values()]))  # noqa: T201 - for Ansible
