"""The verb that compares two runs."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit

from verbs.verb import JSON_HELP, PROJECT, say, say_json, verb

REGRESSION, UNFINISHED = 3, 4
"""Exit codes where a limit is broken, and where the contender lacks what it takes to judge it."""


@verb(
    positional=["baseline", "contender"],
    help={
        "baseline": "the run that is compared with: a name in results/, or the path of a folder",
        "contender": "the run that is looked at: the same",
        "fail-below": "exit with 3 if a speed is shown to be slower by more than that, such as 5%; "
        "with 4 if the contender is not finished",
        "assume": "by how much two runs of the same differ at most in 95 % of cases, where too few "
        "of them are there to measure it (default 3%)",
        "json": JSON_HELP,
    },
)
def compare_runs(
    _context: Context,
    baseline: str,
    contender: str,
    fail_below: str | None = None,
    assume: str | None = None,
    json: bool = False,
) -> None:
    """Compare a run with an earlier one, cell by cell, and write a page about it."""
    from analysis.statistics.two_runs import ASSUMED
    from analysis.two_runs.comparison import Asking, compared_runs
    from analysis.two_runs.limit import bound_of, limit_of
    from analysis.two_runs.page import require_judged, write_comparison
    from analysis.two_runs.sentences import caveats, details, headline
    from core.language.choice import languages_of
    from experiments.disk.named import neighbours, run_named

    asked = Asking(bound_of(assume, ASSUMED), limit_of(fail_below), (baseline, contender))
    results = PROJECT / "results"
    one, other = run_named(results, baseline), run_named(results, contender)
    found = compared_runs(one, other, neighbours(results, (one, other)), asked)
    require_judged(found)
    page = write_comparison(found, results, languages_of())
    if json:
        from analysis.two_runs.compare_runs_answer import compare_runs_answer

        say_json(compare_runs_answer(found, page))
    else:
        for line in (f"Comparison: {page}", headline(found), *details(found), *caveats(found)):
            say(line)
    if found.is_regression:
        raise Exit(code=REGRESSION)
    if fail_below is not None and found.unfinished:
        raise Exit(code=UNFINISHED)
