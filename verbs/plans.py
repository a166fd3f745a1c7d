"""Verbs that look at a matrix before it is measured."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit

from core.errors import HerdError
from verbs.matrices import MATRIX_HELP, NOISE_HELP, WITHOUT_HELP, leaving_out, matrix_of, names_of
from verbs.verb import JSON_HELP, PROJECT, say, say_json, verb


@verb(
    help={
        **MATRIX_HELP,
        "without": WITHOUT_HELP,
        "noise": NOISE_HELP,
        "precision": "say how many repeats make the 95 % interval that narrow, such as 3%",
        "pilot": "a run whose trials show how they vary (default: any with the same cells)",
        "json": JSON_HELP,
    },
    iterable=["set", "without"],
)
def plan(
    _context: Context,
    nodes: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    repeats: str | None = None,
    seed: str | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
    noise: bool = False,
    precision: str | None = None,
    pilot: str | None = None,
    json: bool = False,
) -> None:
    """Show the trials of a matrix, their order, time and cost, and why a cell cannot run."""
    from core.paths import RESULTS_FOLDER
    from experiments.planner import pilots_of, plan_matrix
    from experiments.planning.describe import describe
    from experiments.planning.precision import precision_lines, require_speed, share_of

    if pilot is not None and precision is None:
        raise HerdError(f"--pilot {pilot}: give --precision, too, such as --precision 3%.")
    share = None if precision is None else share_of(precision, "precision")

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    left_out = names_of(without)
    wanted = matrix_of(matrix, set or [], named, repeats, seed, noise=noise)
    wanted = leaving_out(wanted, left_out)
    require_speed(wanted.workloads, share, "precision")
    found = plan_matrix(wanted, PROJECT, inventory=inventory, without=left_out)
    pilots = {} if share is None else pilots_of(PROJECT / RESULTS_FOLDER, found, pilot)
    if json:
        from experiments.planning.plan_answer import plan_answer

        say_json(plan_answer(found, share, pilots))
        return
    for line in describe(found):
        say(line)
    if share is not None:
        for line in ("", *precision_lines(found, pilots, share)):
            say(line)


@verb(
    help={
        **{name: MATRIX_HELP[name] for name in ("nodes", "engine", "model", "weights", "set")},
        "matrix": MATRIX_HELP["matrix"],
        "systems": "prepare a comparison of these systems instead, as for `fab compare`",
        "systems-file": "another systems file",
        "questions": "questions file (default: the matrix's)",
        "inventory": MATRIX_HELP["inventory"],
        "without": WITHOUT_HELP,
    },
    iterable=["set", "without"],
)
def prepare(
    _context: Context,
    nodes: str | None = None,
    engine: str | None = None,
    model: str | None = None,
    weights: str | None = None,
    set: list[str] | None = None,  # noqa: A002  # the flag is called --set
    matrix: str | None = None,
    systems: str | None = None,
    systems_file: str | None = None,
    questions: str | None = None,
    inventory: str | None = None,
    without: list[str] | None = None,
) -> None:
    """Put the engines and models that a matrix needs on the nodes that need them."""
    from experiments.prepare import prepare as prepare_nodes

    named = {"nodes": nodes, "engine": engine, "model": model, "weights": weights}
    if systems or systems_file or questions:
        from experiments.planning.compare import comparison

        given = [f"--{name}" for name, values in (*named.items(), ("set", set)) if values]
        if given:
            raise HerdError(
                f"{given[0]}: a comparison sets this itself; leave out this flag or --systems."
            )
        wanted = comparison(
            matrix=matrix, questions=questions, systems=systems, systems_file=systems_file
        )
    else:
        wanted = matrix_of(matrix, set or [], named, None, None)
    left_out = names_of(without)
    if not prepare_nodes(wanted, PROJECT, say, inventory=inventory, without=left_out):
        raise Exit(code=1)
