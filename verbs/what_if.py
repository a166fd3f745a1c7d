"""The verb that asks what would be."""

from __future__ import annotations

from invoke.context import Context

from verbs.run_names import LATEST_RUN
from verbs.verb import JSON_HELP, PROJECT, say, say_json, verb


@verb(
    help={
        "run": LATEST_RUN,
        "engine": "whose fit, by its engine or as the report calls it (default: each)",
        "model": "model, of the run or of the catalogue (default: the fastest that was measured)",
        "nodes": "how many; several values with commas, as for each of these: 2,4,8",
        "weights": "type of weights: q4_0",
        "link": "rate of the links in Mbit/s, such as 2500, or 10x for ten times as fast as now",
        "latency": "how long a step waits, as a multiple of now: 0.5 is half as long",
        "memory": "how many times as fast the memory is",
        "processor": "how many times as fast the processors are",
        "root": "name of the machine that is the root",
        "machine": "without a run: a machine of the catalogue, such as `Raspberry Pi 5 8GB`",
        "json": JSON_HELP,
    }
)
def what_if(
    _context: Context,
    run: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    nodes: str | None = None,
    weights: str | None = None,
    link: str | None = None,
    latency: str | None = None,
    memory: str | None = None,
    processor: str | None = None,
    root: str | None = None,
    machine: str | None = None,
    json: bool = False,
) -> None:
    """Predict the time of a token in a setting that was not measured, from a run's cells."""
    from analysis.what_if.asking import about_run
    from analysis.what_if.told import consulted_lines
    from analysis.what_if.what_if_answer import what_if_answer, what_if_machine_answer
    from experiments.disk.ledger import find_run

    given = {
        "model": model, "nodes": nodes, "weights": weights, "link": link, "latency": latency,
        "memory": memory, "processor": processor, "root": root,
    }  # fmt: skip
    if machine is not None:
        from analysis.what_if.bought import bought_lines, bought_of

        guessed = bought_of(machine, engine, given | {"run": run})
        if json:
            say_json(what_if_machine_answer(guessed))
        for line in () if json else bought_lines(guessed):
            say(line)
        return
    asked = about_run(find_run(PROJECT / "results", run), engine, given)
    if json:
        say_json(what_if_answer(asked))
        return
    for line in consulted_lines(asked):
        say(line)
