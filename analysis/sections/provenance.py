"""Provenance and how to reproduce: nodes, engines, model files, commands."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator

from analysis.blocks import Block, Code, File, Folded, Grid, Part, Prose, Section, Tabled, note
from analysis.cells.planned import matrix_name
from analysis.cells.tabulate import (
    as_frame,
    fact_table,
    model_table,
    node_tables,
    provenance_table,
    table,
)
from analysis.stability.course import moment
from analysis.study import Study
from analysis.text.sentence import say
from analysis.text.wording import plural

BEGUN = "Started {created} with toolkit {toolkit}, matrix {matrix}, plan {plan}."
BY_LOG = "Named by the engines' own logs in the trials that count."
MOST_FACTS = 200
"""Facts of the nodes that are shown; the file holds all."""


def sections(study: Study) -> Iterator[Section]:
    """Make the sections on where figures come from and how to get them again."""
    run = study.run
    begun = say(
        BEGUN,
        created=moment(run.created_at),
        toolkit=run.toolkit,
        matrix=matrix_name(run.matrix_file),
        plan=run.plan_id,
    )
    blocks: tuple[Block, ...] = (
        note(begun, study.steadiness.course.in_words),
        *_nodes(study),
        *_gpus(study),
        *_software(study),
    )
    facts = File("nodes", as_frame(provenance_table(run)))
    yield Section("provenance", "Provenance", blocks, "Provenance", (facts,))
    commands = (
        Prose((say("The run:"),)),
        Code(shlex.join(run.command)),
        Prose((say("This report, from the files of the run:"),)),
        Code(f"fab report --run {shlex.quote(run.run)}"),
    )
    yield Section("reproduce", "Reproduce", commands, "Reproduce")


def _nodes(study: Study) -> Iterator[Part]:
    if not study.run.nodes:
        return
    same, differ = node_tables(study.run)
    facts = provenance_table(study.run)
    blocks: list[Block] = []
    if same.rows:
        blocks.append(Tabled(say("The same on all nodes"), same))
    if len(differ.columns) > 1:
        blocks.append(Tabled(say("Differences between nodes"), differ))
    caption, count = say("Everything the nodes reported"), plural(len(facts.rows), "fact")
    summary = say("Everything the nodes reported: {facts}", facts=count)
    shown = Tabled(caption, facts, file=File("nodes", as_frame(facts)), most=MOST_FACTS)
    yield Part("Nodes", (*blocks, Folded(summary, (shown,))))


def _gpus(study: Study) -> Iterator[Part]:
    """Each GPU on which some cell computed, and on how many cells."""
    used = Counter(
        (node, gpu.name, gpu.is_software) for cell in study.cells for node, gpu in cell.gpus.items()
    )
    if used:
        rows = [
            [node, name, "software" if is_software else "hardware", str(cells)]
            for (node, name, is_software), cells in used.items()
        ]
        made = table(("Node", "GPU", "Kind", "Cells"), rows, ["Cells"])
        title = say("GPUs that computed")
        shown = Tabled(title, made, (say(BY_LOG),), File("gpus", as_frame(made)))
        yield Part(title, (shown,))


def _software(study: Study) -> Iterator[Grid]:
    """Engines and model files."""
    parts = [
        Part(name, (Tabled(name, fact_table(facts)),)) for name, facts in study.run.engines.items()
    ]
    files = model_table(study.run)
    if files.rows:
        parts.append(Part("Model files", (Tabled("Model files", files),)))
    if parts:
        yield Grid(tuple(parts), "columns")
