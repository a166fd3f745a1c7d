"""A worker that has not the address by which it is known: Linux inside Windows, behind NAT.

The machine of the lab stands for Windows: it has that address, and forwards to the node.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from experiments.engines import distributed_llama, llama_cpp
from tests.doubles.lab_run import matrix, run
from tests.lab.runs import attempts
from tests.lab.virtual_lab import WORKER, VirtualLab

pytestmark = [pytest.mark.lab, pytest.mark.slow]

PORTS = (distributed_llama.WORKER_PORT, llama_cpp.WORKER_PORT)
BLOCK_BYTES = 1 << 16


@pytest.fixture
def windows(lab: VirtualLab) -> str:
    """Address of the machine that forwards."""
    content = yaml.safe_load(Path(lab.inventory).read_text())
    return str(content["cluster"]["vars"]["lab_gateway"])


@pytest.fixture
def behind(lab: VirtualLab, windows: str) -> Iterator[str]:
    """The lab's inventory as that of a cluster whose worker is forwarded to."""
    content = yaml.safe_load(Path(lab.inventory).read_text())
    told = {"herd_cluster_address": windows, "herd_forwarded_from": f"{windows}/32"}
    content["cluster"]["hosts"][WORKER] |= told
    path = Path(lab.inventory).with_name("behind.yml")
    path.write_text(yaml.safe_dump(content))
    try:
        yield str(path)
    finally:
        lab.provision("--tags=base")


def test_a_worker_behind_another_machine_takes_part(
    lab: VirtualLab, windows: str, behind: str, tmp_path: Path
) -> None:
    # Of two inventories that know a node, Ansible follows the later one.
    lab.provision(f"--inventory={behind}", "--tags=base")
    asked = matrix(engine="distributed-llama,llama.cpp", weights="f32", nodes="2")
    with forwarding(windows, lab.address(WORKER)) as calls:
        result = run(behind, tmp_path, asked)

    assert result.counts["done"] == result.counts["planned"] == 6
    assert {attempt.outcome for attempt in attempts(tmp_path)} == {"done"}
    assert all(calls[port] for port in PORTS)


@contextmanager
def forwarding(address: str, target: str) -> Iterator[Counter[int]]:
    """Lead the workers' ports of an address to another one; calls by port."""
    calls: Counter[int] = Counter()
    loop = asyncio.new_event_loop()

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while block := await source.read(BLOCK_BYTES):
                sink.write(block)
                await sink.drain()
        except ConnectionError:
            pass  # An end that is reset ends the other one.
        finally:
            sink.close()

    async def serve(port: int) -> None:
        async def take(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
            calls[port] += 1
            far, on = await asyncio.open_connection(target, port)
            await asyncio.gather(carry(near, on), carry(far, back))

        await asyncio.start_server(take, address, port)

    for port in PORTS:
        loop.run_until_complete(serve(port))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield calls
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
