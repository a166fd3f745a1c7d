"""The anchor of the reports: the same logs, statistics and charts with pandas and matplotlib alone.

    python tests/benchmarks/plain_report.py RUN TARGET

What a person writes in an afternoon who trusts his logs: no account, no check, no words.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

mpl.use("Agg")
import matplotlib.pyplot as plt

TOKEN = re.compile(
    r"^🔶 Pred +(\d+) ms Sync +(\d+) ms \| Sent +(\d+) kB Recv +(\d+) kB", re.MULTILINE
)
PROMPT = re.compile(r"^🔷️ Eval +(\d+) ms Sync +(\d+) ms .*\((\d+) tokens\)", re.MULTILINE)
RESAMPLES = 10_000
CHARTS = {
    "decode-rate": "rate",
    "decode-time": "token_ms",
    "prompt-rate": "prompt_rate",
    "speed-up": "speed_up",
    "efficiency": "efficiency",
    "time-split": "sync_ms",
    "traffic": "traffic_kb",
}


def figures(attempt: Path) -> dict[str, float]:
    """What one attempt's log says."""
    text = next(attempt.glob("*.root.out")).read_text(errors="replace")
    if text.startswith("{"):
        rows = [json.loads(line) for line in text.splitlines()]
        rate = {row["n_gen"] > 0: row["avg_ts"] for row in rows}
        return {"rate": rate.get(True, 0), "token_ms": 1000 / rate.get(True, 1), "sync_ms": 0,
                "traffic_kb": 0, "prompt_rate": rate.get(False, 0)}  # fmt: skip
    tokens = np.array([[int(value) for value in found] for found in TOKEN.findall(text)])
    compute, sync, sent, received = tokens.mean(axis=0)
    prompt = np.array([[int(value) for value in found] for found in PROMPT.findall(text)])
    return {
        "token_ms": compute + sync,
        "rate": 1000 / (compute + sync),
        "sync_ms": sync,
        "traffic_kb": sent + received,
        "prompt_rate": 1000 * prompt[:, 2].sum() / prompt[:, :2].sum(),
    }


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % of the medians of resampled trials."""
    draw = np.random.default_rng(1)
    medians = [
        np.median(draw.choice(values, (500, values.size)), axis=1) for _ in range(RESAMPLES // 500)
    ]
    low, high = np.percentile(np.concatenate(medians), [2.5, 97.5])
    return low, high


def main(run: Path, target: Path) -> None:
    """Read, reckon, draw."""
    target.mkdir(parents=True)
    rows = []
    for path in run.glob("attempts/*/attempt.json"):
        record = json.loads(path.read_bytes())
        if record["outcome"] == "done":
            params = {name: record["params"][name] for name in ("engine", "nodes", "weights")}
            rows.append({**params, **figures(path.parent)})
    data = pd.DataFrame(rows)
    keys = ["engine", "weights"]
    alone = data[data["nodes"] == 1].groupby(keys)["rate"].median()
    data["speed_up"] = data["rate"] / data.set_index(keys).index.map(alone)
    data["efficiency"] = data["speed_up"] / data["nodes"]
    data.to_csv(target / "trials.csv")
    for name, column in CHARTS.items():
        cells = data.groupby([*keys, "nodes"])[column].agg(["median", interval])
        cells.to_csv(target / f"{name}.csv")
        figure, axes = plt.subplots(figsize=(7, 4.5))
        for key, part in data.groupby(keys):
            medians = cells.loc[key]
            low_high = np.array(medians["interval"].tolist()).T
            errors = np.abs(low_high - medians["median"].to_numpy())
            axes.errorbar(medians.index, medians["median"], yerr=errors, label=" ".join(key))
            axes.scatter(part["nodes"], part[column], s=8, alpha=0.4)
        axes.set_xlabel("nodes")
        axes.set_title(name)
        axes.legend()
        figure.savefig(target / f"{name}.png", dpi=150)
        figure.savefig(target / f"{name}.svg")
        plt.close(figure)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
