"""Verbs for models: listing, converting, tuning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.exceptions import Exit

from verbs.diary import LOG_HELP, record
from verbs.verb import JSON_HELP, say, say_json, verb

if TYPE_CHECKING:
    from analysis.week.recorded import RecordedLine
    from collect.diary.keep import RunLink
    from models.tuned import TunedRecord


@verb(help={"json": JSON_HELP})
def models(_context: Context, json: bool = False) -> None:
    """List the models that can be used."""
    if json:
        from models.catalogue import load_catalogue
        from models.models_answer import models_answer

        say_json(models_answer(load_catalogue()))
        return
    from models.__main__ import main as models_main

    code = models_main(["list"])
    if code:
        raise Exit(code=code)


@verb(
    help={
        "source": "a .gguf, a .m with its .t, a Hugging Face directory, or llama2.c's .bin",
        "target": "a .m file (with its .t in the same folder), a .gguf file, or a new folder",
        "weights": "f32, f16 (not .m), q8_0 (GGUF), q4_0 (no folder); default q4_0, folder f32",
        "kv_heads": "KV heads to write; added heads are zero-padded, so that more nodes can "
        "share it",
    }
)
def convert(
    _context: Context, source: str, target: str, weights: str | None = None, kv_heads: int = 0
) -> None:
    """Convert a model of your own to the files that an engine loads."""
    from core.progress import StderrReporter
    from models.convert import convert as convert_model

    for path in convert_model(
        Path(source), Path(target), weights, kv_heads or None, StderrReporter()
    ):
        say(str(path))


@verb(
    help={
        "file": "the recipe, such as experiments/finetunes/stories.yml",
        "dry-run": "print what the model would read, and the memory and time; train nothing",
        "new": "start again; what was trained under this name is moved aside",
        "log": LOG_HELP,
        "inventory": "of a training through Petals, another inventory than that of ansible.cfg",
    }
)
def finetune(
    _context: Context,
    file: str,
    dry_run: bool = False,
    new: bool = False,
    inventory: str | None = None,
    log: bool = True,
) -> None:
    """Fine-tune a model by a recipe, or continue after a stop, and prove what changed."""
    from rich.console import Console

    from experiments.finetune.outcome import finished_lines
    from experiments.finetune.recipe import load_recipe
    from experiments.finetune.run import finetune as finetune_model
    from experiments.finetune.run import try_recipe
    from experiments.finetune.training.progress import training_progress

    recipe = load_recipe(Path(file))
    if dry_run:
        try_recipe(recipe, say=say)
        return
    tuned = finetune_model(
        recipe, say=say, progress=training_progress(Console()), new=new, inventory=inventory
    )
    for line in finished_lines(tuned):
        say(line)
    record("model", lambda: _recorded(tuned), wanted=log)
    if tuned.sameness and tuned.sameness.faults:
        raise Exit(code=1)


def _recorded(tuned: TunedRecord) -> tuple[RunLink, RecordedLine]:
    """The line of a tuned model for the research log; a model may be trained again by its name."""
    from analysis.week.recorded import tuned_line
    from collect.diary.keep import RunLink
    from experiments.finetune.outcome import finished_lines
    from models.tuned import TUNED_FILE, TUNED_FOLDER

    _, *found = finished_lines(tuned)
    steps, base = tuned.parentage.steps, tuned.parentage.base
    line = tuned_line(base, steps, " ".join(found), tuned.finished_at)
    name = f"{tuned.name}, {line.moment:%Y-%m-%d %H:%M:%S}"
    return RunLink(name, TUNED_FOLDER / tuned.name / TUNED_FILE), line
