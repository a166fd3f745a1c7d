"""Parts of a matrix: several workloads, each with its own repeats, measured as one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field

from collect.run import PartName, PartRecord
from collect.workloads import Greedy, Questions, Workload
from core.foreign import one_line
from core.record import Record, Scalar, Words
from core.yaml_file import LONGEST_SHOWN

Place = tuple[str | int, ...]
"""Where in a matrix something is wrong: keys and places in lists."""


class PartOfMatrix(Record):
    """A workload among several.

    Attributes:
        repeats: trials of each of its cells.
        title: what the report calls it; its name by default.
    """

    workload: Workload
    repeats: int = Field(default=6, ge=1, le=10_000)
    title: Words = ""

    def record(self, name: str) -> PartRecord:
        """What a run keeps of it."""
        return PartRecord(title=self.title or name, workload=self.workload, repeats=self.repeats)


PartsOfMatrix = dict[PartName, PartOfMatrix]


def repeats_problem(workload: Workload | None, repeats: int) -> str | None:
    """Say what is wrong with the repeats of a workload that knows its own; None if nothing."""
    if isinstance(workload, Greedy) and repeats != workload.repeats:
        return (
            f"a greedy workload of {len(workload.prompts)} prompts has one trial for "
            f"each and one for its text: write `repeats: {workload.repeats}`"
        )
    return None


def part_problems(parts: Mapping[str, PartOfMatrix]) -> Iterator[tuple[Place, str]]:
    """Find what is wrong with parts that are together in a matrix: place and sentence of each."""
    for name, part in parts.items():
        if problem := repeats_problem(part.workload, part.repeats):
            yield ("parts", name, "repeats"), problem
    greedy = [name for name, part in parts.items() if isinstance(part.workload, Greedy)]
    if len(greedy) > 1:
        told = (
            f"the part {greedy[0]} is greedy, too, and a run has the reference's texts for one: "
            "put all prompts into one part, or into a separate matrix"
        )
        yield ("parts", greedy[1], "workload"), told


def name_problems(
    axes: Mapping[str, Sequence[Scalar]], parts: Mapping[str, PartOfMatrix]
) -> Iterator[tuple[Place, str]]:
    """Find values of the axis `part` that are no part of the matrix: place and sentence of each."""
    for index, value in enumerate(axes.get("part", ())):
        if value not in parts:
            name = one_line(str(value), LONGEST_SHOWN)
            have = f"its parts are {', '.join(parts)}" if parts else "it has no `parts`"
            yield ("part", index), f"this matrix has no part {name}; {have}"


def question_problem(parts: Mapping[str, PartOfMatrix]) -> tuple[Place, str, str] | None:
    """Find a question whose id another part has, so that a rater's judgement would count for both.

    Returns:
        The place of its file, the file and a sentence; None where all ids differ.
    """
    seen: dict[str, str] = {}
    for name, part in parts.items():
        workload = part.workload
        if not isinstance(workload, Questions):
            continue
        for question in workload.asked:
            if question.id in seen:
                told = (
                    f"the part {seen[question.id]} also has a question "
                    f"{one_line(question.id, LONGEST_SHOWN)}; in parts of one matrix, ids of "
                    "questions must differ"
                )
                return ("parts", name, "workload", "file"), workload.file, told
        seen |= dict.fromkeys((question.id for question in workload.asked), name)
    return None
