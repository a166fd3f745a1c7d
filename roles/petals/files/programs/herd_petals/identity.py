"""Names of peers that follow from where they listen, so that no one needs to be given them.

A private swarm has no password, and a peer's key protects nothing here: the firewall of the
nodes does. So the key is made from the address, and the address alone gives the name.
Formats: libp2p's specification of peer identities (`peer-ids.md`), keys of type Ed25519.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import base58
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_PRIVATE_HEADER = bytes([0x08, 0x01, 0x12, 0x40])
"""Protobuf: type Ed25519, then 64 bytes."""
_PUBLIC_HEADER = bytes([0x08, 0x01, 0x12, 0x20])
"""Protobuf: type Ed25519, then 32 bytes."""
_IDENTITY_MULTIHASH = bytes([0x00, 0x24])
"""The 36 bytes that follow are taken literally."""


def write_identity(listen: str, path: Path) -> None:
    """Write the private key of the peer that listens at `address:port`."""
    seed, public = _keys(listen)
    path.write_bytes(_PRIVATE_HEADER + seed + public)


def peer_id(listen: str) -> str:
    """The name of the peer that listens at `address:port`."""
    _, public = _keys(listen)
    name: bytes = base58.b58encode(_IDENTITY_MULTIHASH + _PUBLIC_HEADER + public)
    return name.decode()


def listen_multiaddress(listen: str) -> str:
    """`address:port` as libp2p writes it."""
    address, _, port = listen.rpartition(":")
    return f"/ip4/{address}/tcp/{port}"


def peer_multiaddress(listen: str) -> str:
    """The same, with the peer's name."""
    return f"{listen_multiaddress(listen)}/p2p/{peer_id(listen)}"


def _keys(listen: str) -> tuple[bytes, bytes]:
    seed = hashlib.sha256(f"llama-herd petals {listen}".encode()).digest()
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return seed, public.public_bytes(Encoding.Raw, PublicFormat.Raw)
