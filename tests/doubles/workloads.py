"""A workload of each kind."""

from __future__ import annotations

from collect.documents import DocumentPart
from collect.questions import load_questions
from collect.workloads import Benchmark, Documents, Greedy, Perplexity, Questions, Workload
from core.paths import PROJECT_FOLDER

WORKLOADS: dict[str, Workload] = {
    "benchmark": Benchmark(prompt_tokens=16, generate_tokens=32),
    "perplexity": Perplexity(text="experiments/texts/alice.txt", characters=200),
    "questions": Questions(
        file="six.yml",
        asked=load_questions(PROJECT_FOLDER / "experiments/questions/six.yml"),
        chat_template="llama2",
    ),
    "greedy": Greedy(prompts=("Once upon a time",), positions=16, text="Once there was a girl"),
    "documents": Documents(
        file="experiments/texts/alice.txt",
        scored=(DocumentPart(document="girl", text="Once there was a girl"),),
    ),
}
