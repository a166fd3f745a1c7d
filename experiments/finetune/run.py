"""`fab finetune`: from a recipe to a model of the catalogue, and on from wherever it was killed.

Each stage leaves its result under the model's folder and is found there by the next call. The
record is written last: without it the catalogue does not have the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.digest import sha256_of
from core.durable import replace_file, write_file, writing
from core.errors import HerdError
from core.paths import PROJECT_FOLDER
from core.progress import LineReporter
from core.record import read_record
from core.version import version
from experiments.finetune.data.prepare import prepare_data
from experiments.finetune.dry_run import dry_run
from experiments.finetune.proof.held_out import held_out_change
from experiments.finetune.proof.memorised import memorised_change
from experiments.finetune.proof.sameness import prove_sameness
from experiments.finetune.recipe import recipe_mistake
from experiments.finetune.started import (
    Started,
    again,
    note_other_computer,
    put_aside,
    read_started,
    recipe_sha256,
    require_same_origin,
    require_unchanged,
    write_started,
)
from experiments.finetune.swarm.jobs import require_small
from experiments.finetune.swarm.prompts import tune_through_swarm, write_prompts
from experiments.finetune.trainable import require_trainable
from experiments.finetune.training.adapter import hashes_of, write_adapter, written_whole
from experiments.finetune.training.checkpoints import Checkpoints
from experiments.finetune.training.estimate import memory_need, require_disk, require_room
from experiments.finetune.training.loop import train_to_end
from experiments.finetune.training.merge import merge
from experiments.finetune.training.pytorch import (
    Computer,
    choose_computer,
    library_versions,
    repeatable,
    require_pytorch,
    serves_4_bits,
)
from experiments.finetune.training.trainer import Training
from models.build import ensure_artifact
from models.cache import only_one_at_a_time
from models.catalogue import load_catalogue
from models.tuned import TUNED_FILE, TUNED_FOLDER, Parentage, TunedRecord
from models.tuned_prompts import PROMPT_METHODS

if TYPE_CHECKING:
    from experiments.finetune.data.prepare import Prepared
    from experiments.finetune.recipe import Recipe
    from experiments.finetune.training.progress import TrainingProgress
    from models.catalogue import ModelSpec

LOCKS = ".locks"
CHECKPOINTS, ADAPTER, MERGED, RECIPE = "checkpoints", "adapter", "merged", "recipe.yml"
_KEPT = "The checkpoints are whole."


def finetune(
    recipe: Recipe,
    *,
    say: Callable[[str], None],
    progress: TrainingProgress,
    tuned: Path = TUNED_FOLDER,
    new: bool = False,
    inventory: str | None = None,
) -> TunedRecord:
    """Train, merge, prove and record a model; what was done before is not done again.

    Args:
        recipe: as `load_recipe` read it.
        say: hears what is done, a line each.
        progress: hears how the training goes.
        tuned: folder of all tuned models.
        new: move what is there aside, and start again.
        inventory: of a training through a swarm, another one than that of `ansible.cfg`.

    Returns:
        The record, with the faults of its forms if there are any.

    Raises:
        HerdError: anything that the user can mend, or Ctrl-C.
    """
    require_pytorch()
    spec = _base_of(recipe)
    folder, lock = tuned / recipe.name, tuned / LOCKS / recipe.name
    try:
        with only_one_at_a_time(lock, f"Training {recipe.name}", LineReporter(say), elsewhere=""):
            if new:
                put_aside(folder, say)
            _require_real(folder)
            if started := read_started(folder):
                require_unchanged(recipe, started)
            if record := _finished(recipe, folder):
                say(f"{recipe.name} is finished: nothing was to be done.")
                return record
            return _Run(recipe, spec, folder, say, progress, inventory).to_the_end()
    except KeyboardInterrupt:
        raise HerdError(
            f"Stopped. What was finished is kept: `{again(recipe)}` continues from there."
        ) from None


def try_recipe(recipe: Recipe, *, say: Callable[[str], None]) -> None:
    """Print what `finetune` would read and what it would take (`dry_run`), and train nothing."""
    dry_run(recipe, _base_of(recipe), say, LineReporter(say))


@dataclass(frozen=True)
class _Run:
    recipe: Recipe
    spec: ModelSpec
    folder: Path
    say: Callable[[str], None]
    progress: TrainingProgress
    inventory: str | None

    def to_the_end(self) -> TunedRecord:
        artifact = ensure_artifact(self.spec, "huggingface", "f32", LineReporter(self.say))
        weights = artifact.file("model")
        base = weights.path.parent
        prepared = prepare_data(self.recipe, base, self.spec, self.folder, self.say)
        started, computer = self._begin(prepared, weights.sha256)
        if self.recipe.method in PROMPT_METHODS:
            return self._tune_prompts(base, weights.sha256, prepared, started)
        with repeatable(computer):
            training = self._train(base, prepared, started, computer)
            write_adapter(training, self.recipe, self.folder / ADAPTER, self.say)
            so_far, steps = training.so_far, training.steps
            del training
            adapter, merged = self.folder / ADAPTER, self.folder / MERGED
            self.say("merging")
            merge(base, adapter, merged)
            sameness = prove_sameness(
                base, merged, adapter, prepared, self.recipe, self.spec, self.say
            )
            held_out = held_out_change(base, merged, prepared.held_out, computer)
            memorised = memorised_change(base, merged, prepared.train, self.recipe.seed, computer)
        return self._record(
            prepared,
            self._parentage(prepared, weights.sha256, steps),
            files=hashes_of(merged),
            curve=tuple(so_far.curve),
            held_out_bits_per_byte=held_out,
            memorised=memorised,
            sameness=sameness,
            seconds=so_far.seconds,
            device=str(computer),
        )

    def _tune_prompts(
        self, base: Path, base_sha256: str, prepared: Prepared, started: Started
    ) -> TunedRecord:
        """Train prompts through a swarm: nothing is merged, so there is no form to prove."""
        done = tune_through_swarm(
            self.recipe,
            self.spec,
            base,
            base_sha256,
            prepared,
            Checkpoints(self.folder / CHECKPOINTS, started.training, self.say),
            started.training,
            PROJECT_FOLDER,
            say=self.say,
            progress=self.progress,
            inventory=self.inventory,
        )
        with written_whole(self.folder / ADAPTER, self.say) as temporary:
            write_prompts(done, self.recipe, temporary)
        return self._record(
            prepared,
            self._parentage(prepared, base_sha256, done.steps),
            files={},
            prompts=self.recipe.prompts,
            curve=done.curve,
            held_out_bits_per_byte=done.held_out,
            seconds=done.seconds,
            device=done.device,
        )

    def _parentage(self, prepared: Prepared, base_sha256: str, steps: int) -> Parentage:
        return Parentage(
            base=self.recipe.model,
            base_sha256=base_sha256,
            data_sha256=prepared.data_sha256,
            recipe_sha256=recipe_sha256(self.recipe),
            method=self.recipe.method,
            steps=steps,
            toolkit=version(PROJECT_FOLDER),
            libraries=library_versions(),
        )

    def _record(self, prepared: Prepared, parentage: Parentage, **told: Any) -> TunedRecord:  # noqa: ANN401 - fields of the record
        """Write the record, last: from then on the catalogue has the model."""
        record = TunedRecord(
            name=self.recipe.name,
            about=f"{self.recipe.model} fine-tuned on {self.recipe.data} ({self.recipe.method})",
            licence=prepared.licence_with(self.spec.licence),
            parentage=parentage,
            shape=self.spec.shape,
            split=prepared.split,
            adapter=hashes_of(self.folder / ADAPTER),
            finished_at=time.time(),
            **told,
        )
        with writing("the record of the model", self.folder, kept=_KEPT):
            replace_file(self.folder / TUNED_FILE, record.model_dump_json(indent=2).encode())
        return record

    def _begin(self, prepared: Prepared, base_sha256: str) -> tuple[Started, Computer]:
        """What the training was begun with, now or earlier, and what computes it."""
        computer = choose_computer()
        now = Started(
            recipe=self.recipe,
            data_sha256=prepared.data_sha256,
            base_sha256=base_sha256,
            threads=computer.threads,
            computer=computer.name,
            libraries=library_versions(),
        )
        started = read_started(self.folder)
        if started:
            require_same_origin(self.recipe, started, now)
            note_other_computer(started, now, self.say)
            return started, replace(computer, threads=started.threads)
        with writing("the recipe", self.folder):
            write_file(self.folder / RECIPE, Path(self.recipe.file).read_bytes())
        write_started(self.folder, now)
        return now, computer

    def _train(
        self, base: Path, prepared: Prepared, started: Started, computer: Computer
    ) -> Training:
        quantised = self._check_room(prepared, computer)
        training = Training(
            self.recipe, base, prepared.train, prepared.held_out, computer, quantised=quantised
        )
        checkpoints = Checkpoints(self.folder / CHECKPOINTS, started.training, self.say)
        train_to_end(training, checkpoints, self.recipe, started.training, self.progress)
        return training

    def _check_room(self, prepared: Prepared, computer: Computer) -> bool:
        """Whether the base has to be in 4 bits (QLoRA) to fit into the GPU's memory."""
        require_disk(self.recipe, self.spec.shape, self.folder)
        need = memory_need(self.recipe, self.spec.shape, prepared.train)
        if computer.kind == "cuda" and self.recipe.method == "lora" and serves_4_bits():
            try:
                require_room(need, computer, self.recipe)
            except HerdError:
                need = memory_need(self.recipe, self.spec.shape, prepared.train, quantised=True)
                require_room(need, computer, self.recipe)
                self.say(
                    f"{self.recipe.model} is kept in 4 bits, which {computer.name} has room for"
                )
                return True
        require_room(need, computer, self.recipe)
        return False


def _require_real(folder: Path) -> None:
    """Refuse a link before training: the catalogue would not have the model."""
    if folder.is_symlink():
        raise HerdError(
            f"{folder} is a link. A fine-tuned model is read only from a real folder: put the "
            "folder itself there."
        )


def _base_of(recipe: Recipe) -> ModelSpec:
    spec = require_trainable(recipe)
    if recipe.method in PROMPT_METHODS:
        shape = spec.shape
        require_small(recipe.method, recipe.prompts, shape.dim, shape.layers, recipe.model)
    try:
        load_catalogue().require_free_name(recipe.name)
    except HerdError as error:
        raise recipe_mistake(
            recipe, "name", f"is {recipe.name}. {str(error).removesuffix('.')}"
        ) from None
    return spec


def _finished(recipe: Recipe, folder: Path) -> TunedRecord | None:
    """The record of a finished model, whose files are as they were.

    None where a proof found a fault: its cause may have gone, so the model is proved again.

    Raises:
        HerdError: the record or a file is damaged.
    """
    remedy = f"Start again with `{again(recipe, '--new')}`, which moves what is there aside."
    record = read_record(folder, TUNED_FILE, TunedRecord, f"Reading {recipe.name}", remedy)
    if record is None or (record.sameness and record.sameness.faults):
        return None
    for part, files in ((ADAPTER, record.adapter), (MERGED, record.files)):
        for name, expected in files.items():
            path = folder / part / name
            if not path.is_file() or sha256_of(path) != expected:
                raise HerdError(
                    f"{recipe.name} is finished, but {path} is missing or not as it was written. "
                    f"{remedy}"
                )
    return record
