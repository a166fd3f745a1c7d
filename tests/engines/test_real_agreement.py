"""The real distributed-llama, with its prompt token corrected, says what the reference says."""

from __future__ import annotations

from pathlib import Path

from analysis.agreement.report import agreed
from collect.load import load_run
from collect.tables import build_tables
from collect.workloads import Greedy
from experiments.planning.matrix import Matrix
from tests.doubles.lab_run import run
from tests.engines.conftest import TWELVE_HEADS, RealLab

STUDY = Matrix(
    title="Agreement",
    # Nothing is merged in "1 2 3": without the correction its last token is read wrongly.
    workload=Greedy(prompts=("1 2 3", "Hello there"), positions=40, text="A quick brown fox."),
    axes={
        "engine": ("distributed-llama",),
        "model": (TWELVE_HEADS,),
        "weights": ("f32",),
        "nodes": (1, 2, 3, 6),
        "threads": (1,),
        "net_turbo": (False,),
    },
    repeats=3,
    warmup=0,
    file="agreement.yml",
)


def test_32_bit_weights_say_the_same_on_every_number_of_nodes(
    sound: RealLab, tmp_path: Path
) -> None:
    result = run(sound.inventory, tmp_path, STUDY)
    assert result.counts["done"] == 12, result.notes
    found = agreed(load_run(result.folder), build_tables(result.folder), result.folder)
    assert found is not None
    assert not found.is_wrong, found.sentences
    assert list(found.cells["texts_equal"].dropna()) == [2] * 4
