"""A server of some blocks of a model in a private swarm.

    petals-server --model FOLDER --swarm NAME --blocks 0:3 --listen 10.0.0.5:9995
                  --first 10.0.0.4:9995 --name pi2 --tokens 512 --threads 4
                  [--device cpu] [--weights f32]

`--first` is the peer by which all others find the swarm; the server that listens there begins it.
`--weights` int8 and nf4 are made of the model's by bitsandbytes while it loads; on a GPU only.
It says on which device it holds its blocks, logs `Started` when it serves, and ends cleanly, with
all its children, by SIGINT.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import tempfile
import time
from pathlib import Path

from herd_petals import compat, holding, identity, timing
from herd_petals.ending import end_by_sigint, fail

QUANTISED = {"f32": "NONE", "int8": "INT8", "nf4": "NF4"}
"""Type of the weights to upstream's name of what makes them."""
FIRST_PEER_S = 120.0
"""How long the first peer may take to listen."""
LOOK_S = 0.1
UPDATE_S = 10.0
"""How often a server says that it is there."""


def main() -> None:
    """Serve until SIGINT."""
    arguments = _arguments()
    end_by_sigint()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    compat.prepare()
    with tempfile.TemporaryDirectory() as folder:
        _serve(arguments, Path(folder, "identity"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--swarm", required=True)
    parser.add_argument("--blocks", required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--first", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--weights", default="f32", choices=tuple(QUANTISED))
    return parser.parse_args()


def _await_listener(listen: str) -> bool:
    """Wait until someone listens there; whether someone does."""
    address, _, port = listen.rpartition(":")
    until = time.monotonic() + FIRST_PEER_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            socket.create_connection((address, int(port)), timeout=LOOK_S).close()
            return True
        time.sleep(LOOK_S)
    return False


def _serve(arguments: argparse.Namespace, key: Path) -> None:
    import torch  # noqa: PLC0415 - only after the number of threads is set
    from petals.server.server import Server  # noqa: PLC0415 - only after `compat.prepare`
    from petals.utils.convert_block import QuantType  # noqa: PLC0415

    timing.tell_times()
    holding.tell_device()
    torch.set_num_threads(arguments.threads)
    is_first = arguments.listen == arguments.first
    if not is_first and not _await_listener(arguments.first):
        fail(f"no program listens at {arguments.first}, the address of the first peer")
    identity.write_identity(arguments.listen, key)
    address = identity.listen_multiaddress(arguments.listen)
    server = Server(
        initial_peers=[] if is_first else [identity.peer_multiaddress(arguments.first)],
        dht_prefix=arguments.swarm,
        converted_model_name_or_path=arguments.model,
        public_name=arguments.name,
        # Measuring it would ask servers of the Internet.
        throughput=1.0,
        block_indices=arguments.blocks,
        num_handlers=1,
        inference_max_length=arguments.tokens,
        attn_cache_tokens=arguments.tokens,
        torch_dtype="float32",
        quant_type=QuantType[QUANTISED[arguments.weights]],
        device=arguments.device,
        update_period=UPDATE_S,
        balance_quality=0.0,
        reachable_via_relay=False,
        use_relay=False,
        use_auto_relay=False,
        host_maddrs=[address],
        announce_maddrs=[address],
        identity_path=str(key),
        check_if_identity_free=False,
        nat_port_map=False,
    )
    server.run()


if __name__ == "__main__":
    main()
