"""Every verb of `fab`, from the modules of `verbs/`, and `fab` itself."""

from __future__ import annotations

import sys

from fabric.main import program

from verbs.citing import cite, name_cite_words
from verbs.diary import log, name_words
from verbs.lab import lab_down, lab_status, lab_up
from verbs.machines import adopt, doctor, name_machines, probe
from verbs.models import convert, finetune, models
from verbs.papers import name_runs, paper
from verbs.plans import plan, prepare
from verbs.results import history, parse_log, rate, report, status
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


def mark_words(words: list[str]) -> None:
    """Mark bare words of verbs that take any number of them; Invoke's tasks take a fixed one."""
    name_machines(words)
    name_words(words)
    name_runs(words)
    name_cite_words(words)


if getattr(program, "core", None) is not None:  # not where a test imports this file
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
