"""Authentication of Shelly's second generation: Digest with SHA-256 (RFC 7616)."""

from __future__ import annotations

import hashlib
import secrets
from urllib.request import parse_http_list, parse_keqv_list

from experiments.fleet.cluster import Secret
from experiments.plugs.http import PlugError

ALGORITHM = "SHA-256"


class Digest:
    """Answers the challenges of one plug.

    Firmware from 2.0 on accepts a nonce again with the next count; older firmware sends a new
    challenge each time.

    Args:
        user: to log in as.
        password: is never sent.
    """

    def __init__(self, user: str, password: Secret) -> None:
        self._user = user
        self._password = password
        self._challenge: dict[str, str] = {}
        self._count = 0

    def challenged(self, header: str) -> None:
        """Take a challenge, the content of `WWW-Authenticate`.

        Raises:
            PlugError: it asks for something else.
        """
        scheme, _, rest = header.partition(" ")
        fields = [one for one in parse_http_list(rest) if one.partition("=")[2]]
        self._challenge = {name.lower(): value for name, value in parse_keqv_list(fields).items()}
        self._count = 0
        algorithm = self._challenge.get("algorithm", "MD5")
        if scheme.lower() != "digest" or algorithm.upper() != ALGORITHM:
            self._challenge = {}
            raise PlugError(
                f"it asks for another authentication than Digest with {ALGORITHM}: is its "
                "plug_kind right?",
                is_lasting=True,
            )

    def header(self, path: str) -> dict[str, str]:
        """Return the header for a GET; none before the first challenge."""
        if not self._challenge:
            return {}
        self._count += 1
        realm, nonce = (self._challenge.get(name, "") for name in ("realm", "nonce"))
        count, own = f"{self._count:08x}", secrets.token_hex(8)
        secret = _hash(f"{self._user}:{realm}:{self._password.reveal()}")
        response = _hash(f"{secret}:{nonce}:{count}:{own}:auth:{_hash(f'GET:{path}')}")
        fields = {
            "username": f'"{self._user}"',
            "realm": f'"{realm}"',
            "nonce": f'"{nonce}"',
            "uri": f'"{path}"',
            "algorithm": ALGORITHM,
            "qop": "auth",
            "nc": count,
            "cnonce": f'"{own}"',
            "response": f'"{response}"',
        }
        if "opaque" in self._challenge:
            fields["opaque"] = f'"{self._challenge["opaque"]}"'
        told = ", ".join(f"{name}={value}" for name, value in fields.items())
        return {"Authorization": f"Digest {told}"}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
