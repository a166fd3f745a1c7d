"""What a probe measured becomes what is believed before a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.model.fit import fit_of
from analysis.model.posterior import CLASS_PRIORS
from analysis.model.probed import priors_from
from collect.probe import LinkProbe, NodeProbe, ProbeRecord
from tests.doubles.known_machines import cells, machine


def record(bandwidth_gbs: float = 10.0, latency_us: float = 80.0) -> ProbeRecord:
    names = ("pi1", "pi2", "desk")
    nodes = tuple(
        NodeProbe(
            name=name,
            machine={},
            threads=4,
            memory_all_gbs=bandwidth_gbs * (9 if name == "desk" else 1),
            arithmetic_all_gflops=50.0,
        )
        for name in names
    )
    links = tuple(
        LinkProbe(
            source=one, target=other, latency_us=latency_us, latency_lower_us=latency_us,
            latency_upper_us=latency_us, exchanges=10, rate_mbit=940.0, transferred_bytes=1,
        )
        for one in names
        for other in names
        if one != other
    )  # fmt: skip
    return ProbeRecord(started_at=1.0, took_s=1.0, nodes=nodes, links=links)


def test_medians_of_the_nodes_that_take_part_are_taken() -> None:
    priors = priors_from(record(), ["pi1", "pi2"])
    assert priors["memory"].median == pytest.approx(0.115)
    assert priors["latency"].median == pytest.approx(0.1)
    assert priors["arithmetic"].median == pytest.approx(0.0711 / 0.115, rel=0.01)
    assert all(prior.source == "fab probe" for prior in priors.values())


def test_nothing_is_made_up_for_nodes_that_were_not_probed() -> None:
    assert priors_from(record(), ["elsewhere"]) == {}


def test_a_probe_narrows_what_cells_do_not_determine() -> None:
    generator = np.random.default_rng(4)
    of = machine(generator)
    observations = [
        replace(one, sync_ms=None) for one in cells(of, (1, 2, 4), ("Llama-3-8B",), generator)
    ]
    probed = priors_from(record(of.bandwidth_gbs, 1000 * float(of.values["latency"][0])), ["pi1"])
    pairs = priors_from(
        record(of.bandwidth_gbs, 1000 * float(of.values["latency"][0])), ["pi1", "pi2"]
    )
    assert "latency" not in probed, "one node has no link"
    before, after = fit_of(observations), fit_of(observations, None, pairs)
    assert after.spreads["latency"][1] < before.spreads["latency"][1]
    assert after.spreads["latency"][0] < CLASS_PRIORS["latency"].spread
