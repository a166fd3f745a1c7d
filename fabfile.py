"""Every verb of `fab`, from the modules of `verbs/`, and `fab` itself."""

from __future__ import annotations

import sys

from fabric.main import program
from invoke.exceptions import Exit

from verbs import citing, diary, machines
from verbs.bare_words import mark_bare_words
from verbs.citing import cite
from verbs.diary import log
from verbs.lab import lab_down, lab_status, lab_up
from verbs.machines import adopt, doctor, probe
from verbs.models import convert, finetune, models
from verbs.papers import paper
from verbs.plans import plan, prepare
from verbs.results import history, parse_log, rate, report, status
from verbs.run_names import mark_run, mark_runs, require_pair
from verbs.runs import check_agreement, compare, run_matrix
from verbs.sharing import export_run, import_run
from verbs.tuning import tune
from verbs.two_runs import compare_runs
from verbs.verb import PROJECT
from verbs.watching import watch
from verbs.what_if import what_if

__all__ = [
    "adopt",
    "check_agreement",
    "cite",
    "compare",
    "compare_runs",
    "convert",
    "doctor",
    "export_run",
    "finetune",
    "history",
    "import_run",
    "lab_down",
    "lab_status",
    "lab_up",
    "log",
    "models",
    "paper",
    "parse_log",
    "plan",
    "prepare",
    "probe",
    "rate",
    "report",
    "run_matrix",
    "status",
    "tune",
    "watch",
    "what_if",
]


ABOUT_ONE_RUN = (export_run, rate, report, status, watch, what_if)


def mark_words(words: list[str]) -> None:
    """Mark the bare words of verbs that take names of runs, or any number of words."""
    mark_bare_words(words, adopt, machines.MACHINES)
    mark_bare_words(words, log, diary.WORDS)
    mark_bare_words(words, cite, citing.WORDS)
    for verb in ABOUT_ONE_RUN:
        mark_run(words, verb)
    mark_runs(words, paper)
    require_pair(words, compare_runs)


def require_no_rest(words: list[str], rest: str) -> None:
    """Require that nothing is behind a lone `--`, which Fabric would run as a command of a shell.

    Args:
        words: the command line after `fab` and its own flags, without the rest.
        rest: what is behind `--`; may be empty.
    """
    if words and rest:
        raise Exit(
            f"fab {words[0]}: `--` ends the command. Put a text with `--` in quotes.", code=1
        )


if getattr(program, "core", None) is not None:  # not where a test imports this file
    require_no_rest(program.core.unparsed, program.core.remainder)
    mark_words(program.core.unparsed)


def main() -> None:
    """Run as `fab` itself, as `make setup` installs it: Fabric's own would print its version."""
    if sys.argv[1:2] in (["--version"], ["-V"]):
        from core.version import version

        print(f"llama-herd {version(PROJECT)}")
        return
    sys.argv[0] = "fab"
    program.run()


if __name__ == "__main__":
    main()
