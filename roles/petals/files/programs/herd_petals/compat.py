"""Lets Petals 2.2.0.post1 run with hivemind 1.1.12, without a change to either.

Petals imports names from the top of `hivemind` that its 1.1.12 keeps only where they are defined.
1.1.12 is the one release whose wheels hold the network daemon for Linux.
"""

from __future__ import annotations

import importlib
import os
import warnings

MOVED = {
    "BatchTensorDescriptor": "hivemind.utils.tensor_descr",
    "MAX_DHT_TIME_DISCREPANCY_SECONDS": "hivemind.utils.timed_storage",
    "MSGPackSerializer": "hivemind.utils.serializer",
    "P2P": "hivemind.p2p",
    "P2PContext": "hivemind.p2p",
    "PeerID": "hivemind.p2p",
    "TensorDescriptor": "hivemind.utils.tensor_descr",
    "TimedStorage": "hivemind.utils.timed_storage",
    "anext": "hivemind.utils.asyncio",
    "deserialize_tensor_stream": "hivemind.compression",
    "deserialize_torch_tensor": "hivemind.compression",
    "get_dht_time": "hivemind.utils.timed_storage",
    "get_logger": "hivemind.utils.logging",
    "nested_compare": "hivemind.utils.nested",
    "nested_flatten": "hivemind.utils.nested",
    "nested_pack": "hivemind.utils.nested",
    "serialize_torch_tensor": "hivemind.compression",
}
"""Public name to the module of hivemind that defines it."""


def prepare() -> None:
    """Put the names back, and keep all libraries from contacting other hosts.

    Must be called before Petals is imported.
    """
    warnings.simplefilter("ignore")
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")
    os.environ.setdefault("HF_HOME", "/tmp/huggingface")  # noqa: S108 - the unit has a /tmp of its own
    os.environ.setdefault("PETALS_CACHE", "/tmp/petals")  # noqa: S108
    hivemind = importlib.import_module("hivemind")
    for name, module in MOVED.items():
        if not hasattr(hivemind, name):
            setattr(hivemind, name, getattr(importlib.import_module(module), name))


def close_sessions_only_on_purpose() -> None:
    """Keep garbage collection from closing a session of inference.

    It may run on the very thread that would have to close it, which then waits for itself for
    ever. A session that is used as a context closes by itself; nothing is lost.
    """
    session = importlib.import_module("petals.client.inference_session")
    session._ServerInferenceSession.__del__ = lambda _: None  # noqa: SLF001
