"""`fab compare`: a matrix of systems that are asked the same questions."""

from __future__ import annotations

import os
from pathlib import Path

from collect.questions import load_questions
from collect.workloads import Questions
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from experiments.fleet.commands import from_project
from experiments.planning.matrix import Matrix, load_matrix

COMPARISON = PROJECT_FOLDER / "experiments" / "matrices" / "compare.yml"


def comparison(
    *,
    matrix: str | None = None,
    questions: str | None = None,
    systems: str | None = None,
    systems_file: str | None = None,
    repeats: str | int | None = None,
    replay: bool = False,
) -> Matrix:
    """The matrix of a comparison.

    Args:
        matrix: file of a matrix with the workload `questions`; the project's own by default.
        questions: file of questions; those of the matrix by default.
        systems: names with commas between; those of the matrix by default.
        systems_file: where they are defined; the project's own by default.
        repeats: how often each is asked.
        replay: let APIs answer from what was kept.

    Raises:
        HerdError: a file is missing or wrong, a system is unknown, the matrix asks no questions.
    """
    asked = load_matrix(Path(matrix) if matrix else COMPARISON)
    workload = asked.workload
    if asked.parts:
        raise HerdError(
            f"Reading the matrix {asked.file}: it has `parts`, and a comparison asks the questions "
            "of one `workload`. Name a matrix whose `workload` is `questions`."
        )
    if not isinstance(workload, Questions):
        raise HerdError(f"Reading the matrix {asked.file}: its workload must be `questions`.")
    if questions is not None:
        found = {
            "file": from_project(questions),
            "asked": load_questions(Path(questions).resolve()),
        }
        workload = workload.model_copy(update=found)
    axes = {"system": systems, "answers": "replayed" if replay else None}
    asked = asked.override(
        axes={name: value for name, value in axes.items() if value}, repeats=repeats
    )
    if "system" not in asked.axes:
        raise HerdError("Comparing: name the systems, as in --systems chatgpt,distributed-llama.")
    files = {"--matrix": matrix, "--questions": questions, "--systems-file": systems_file}
    flags = [w for flag, file in files.items() if file for w in (flag, from_project(file))]
    flags += ["--systems", systems] if systems else []
    changed: dict[str, object] = {
        "workload": workload,
        "flags": tuple(flags or ("--matrix", from_project(str(COMPARISON)))),
    }
    if systems_file is not None:
        changed["systems_file"] = str(Path(systems_file).resolve())
    return asked.model_copy(update=changed)


def require_writable(file: Path) -> None:
    """See that a file can be written before it is needed, hours later.

    Raises:
        HerdError: it cannot.
    """
    folder = file.resolve().parent
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise HerdError(
            f"--export {file}: it cannot be written. Name a file in an existing, writable folder."
        )
