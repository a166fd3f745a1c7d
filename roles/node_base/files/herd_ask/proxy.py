"""The proxy by which a server is asked, if the environment names one."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
from urllib.parse import unquote, urlsplit

from herd_ask.ground import AnswerError

TUNNEL_FAILED = "Tunnel connection failed: "
"""How http.client begins its message about a proxy's refusal; the status follows."""


class Proxy:
    """Through whom a server is asked.

    `name` is its address as it may be shown: user and password are secrets as the key is.
    """

    def __init__(self, variable: str, address: str) -> None:
        self._variable = variable
        place = urlsplit("")
        self.port = 0
        with contextlib.suppress(ValueError):  # no address, or no port
            place = urlsplit(address if "://" in address else f"http://{address}")
            self.port = place.port or 80
        self.host = place.hostname or ""
        self.is_understood = place.scheme == "http" and bool(self.host and self.port)
        self.name = f"{self.host}:{self.port}"
        self.headers: dict[str, str] = {}
        self.secrets: tuple[str, ...] = ()
        if place.username is not None:
            user, password = unquote(place.username), unquote(place.password or "")
            sent = base64.b64encode(f"{user}:{password}".encode()).decode()
            self.headers["Proxy-Authorization"] = f"Basic {sent}"
            self.secrets = (password, place.password or "", sent)

    def check(self) -> None:
        """Raises AnswerError if it is none that can be used."""
        if not self.is_understood:
            raise AnswerError(
                f"{self._variable} names no proxy of the form http://USER:PASSWORD@HOST:PORT, the "
                "only one that is understood (without USER:PASSWORD@ where it wants none)",
                hopeless=True,
            )

    def unauthorised(self) -> AnswerError:
        """It wants to know who asks."""
        wants = (
            f"does not accept the user and password in {self._variable}"
            if self.headers
            else f"wants a user and password: {self._variable}=http://USER:PASSWORD@{self.name}"
        )
        return AnswerError(f"the proxy {self.name} {wants}", hopeless=True)

    def failure_of(self, error: Exception) -> AnswerError:
        """Why there is no way through it. What it says itself is left out."""
        words = str(error)
        if words.startswith(TUNNEL_FAILED):
            status = int(words[len(TUNNEL_FAILED) :].partition(" ")[0])
            if status == http.client.PROXY_AUTHENTICATION_REQUIRED:
                return self.unauthorised()
            for_now = status >= http.client.INTERNAL_SERVER_ERROR
            return AnswerError(
                f"the proxy {self.name} does not let through to the server (status {status})",
                again=for_now,
                hopeless=not for_now,
            )
        if isinstance(error, ConnectionRefusedError):
            words = "nothing listens there"
        return AnswerError(f"the proxy {self.name} cannot be used: {words}", again=True)


def proxy_to(url: str) -> Proxy | None:
    """The proxy by which the environment wants a server to be asked; None for none.

    A server on this machine is never asked through one. On nodes, no variable names one.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    # Both take longer to load than all of the others together.
    from ipaddress import ip_address, ip_network  # noqa: PLC0415
    from urllib.request import (  # type: ignore[attr-defined] # noqa: PLC0415 - unknown to typeshed
        getproxies_environment,
        proxy_bypass_environment,
    )

    place, told = urlsplit(url), getproxies_environment()
    host, address = place.hostname or "", told.get(place.scheme)
    port = place.port or (443 if place.scheme == "https" else 80)
    if not address or host == "localhost" or proxy_bypass_environment(f"{host}:{port}", told):
        return None
    with contextlib.suppress(ValueError):  # a name
        number = ip_address(host)
        if number.is_loopback:
            return None
        for network in told.get("no", "").split(","):
            with contextlib.suppress(ValueError):
                if number in ip_network(network.strip(), strict=False):
                    return None
    return Proxy(f"{place.scheme}_proxy", address)
