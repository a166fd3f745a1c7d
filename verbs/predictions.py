"""Verbs for what was not measured."""

from __future__ import annotations

from invoke.context import Context

from verbs.verb import PROJECT, say, verb


@verb(
    help={
        "run": "name of the run (default: the latest)",
        "engine": "which fit of the run, by its engine or as the report calls it",
        "model": "a model of the catalogue (default: one that was measured)",
        "nodes": "how many nodes (default: the most that were measured)",
        "link": "rate of the links in Mbit/s",
        "weights": "type of the weights, such as q4_0",
        "root": "name of the node that is the root",
        "memory": "how many times faster the memory is, such as 1.5",
    }
)
def what_if(
    _context: Context,
    run: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    nodes: str | None = None,
    link: str | None = None,
    weights: str | None = None,
    root: str | None = None,
    memory: str | None = None,
) -> None:
    """Predict a token's time on other nodes, links, weights or memory, from a run's cost model."""
    from analysis.network.what_if import Wish
    from analysis.network.what_if import what_if as answer
    from experiments.disk.ledger import find_run

    wish = Wish.read(nodes, link, memory, engine=engine, model=model, weights=weights, root=root)
    for sentence in answer(find_run(PROJECT / "results", run), wish):
        say(sentence)
