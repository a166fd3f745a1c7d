"""Whatever stands in a run's records: a sentence that names the file, or a report; no traceback."""

import json
import random
from pathlib import Path

import pytest

from analysis.report import write_report
from collect.account import Account
from collect.judging import read_judges
from collect.ratings import answer_hash, read_ratings
from collect.tables import tables_of
from core.errors import HerdError
from experiments.disk.ledger import run_status
from tests.doubles.asked_run import make_asked_run
from tests.doubles.mutated_records import mutated
from tests.doubles.run_folder import make_run

MUTATIONS = 100
REPORTS = 2
"""Full reports among them; they take seconds each."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A run of benchmarks, and one of questions that people and a system judged."""
    folder = tmp_path_factory.mktemp("results")
    asked = make_asked_run(folder, {"q1": "Why?"}, {1: [{"q1": "a"}], 2: [{"q1": "b"}]})
    one, other = answer_hash("a"), answer_hash("b")
    about = {"at": 1.0, "question": "q1"}
    judge = {"name": "gpt", "model": "m", "url": "u", "prompt": "p", "temperature": 0.0,
             "max_tokens": 5, "price": None}  # fmt: skip
    said = {"choice": "first", "said": "A", "served_model": None, "read_tokens": 1}
    (asked / "ratings" / "judges").mkdir(parents=True)
    files = {
        "kim.jsonl": [{**about, "answer": one, "quality": 3}, {**about, "answer": other}],
        "judges/gpt.json": [judge],
        "judges/gpt.jsonl": [{**about, "first": one, "second": other, **said}],
    }
    for name, lines in files.items():
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (asked / "ratings" / name).write_text(text)
    return [make_run(folder, name="shared", nodes=(1, 2), repeats=1), asked]


def records(run: Path) -> list[Path]:
    attempts = sorted(run.glob("attempts/*/attempt.json"))
    return [run / "run.json", run / "run.json", *attempts, *sorted(run.glob("ratings/**/*.json*"))]


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_record_is_refused_by_name_or_reported(
    runs: list[Path], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - mutations are to be the same every time
    taken = 0
    said: list[tuple[str, str]] = []
    for number in range(MUTATIONS):
        run = chance.choice(runs)
        file = chance.choice(records(run))
        before = file.read_text()
        *others, last = before.splitlines() if file.suffix == ".jsonl" else [before]
        text = "\n".join([*others, mutated(json.loads(last), chance)])
        file.write_text(f"{text}\n", errors="surrogatepass")
        try:
            if number % (MUTATIONS // REPORTS) == 0:
                write_report(run, tmp_path)
            tables_of(Account.read(run))
            read_ratings(run)
            read_judges(run)
            assert set(run_status(run)) >= {"planned", "done"}
            taken += 1
        except HerdError as error:
            said.append((file.name, str(error)))
        finally:
            file.write_text(before)
    assert min(taken, len(said)) > MUTATIONS // 10
    assert [told for name, told in said if name not in told or "\n" in told] == []
