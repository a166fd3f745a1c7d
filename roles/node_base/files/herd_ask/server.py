"""The server that is asked, and what of its words may be shown."""

from __future__ import annotations

import http.client
import os
import ssl
from typing import Any
from urllib.parse import urlsplit

from herd_ask.ground import AnswerError
from herd_ask.proxy import proxy_to
from herd_ask.spelling import LONG_KEY, SHORTEST_KEY, parts_of, readings, squeezed

HIDDEN = "<key>"
LONGEST_ERROR = 300
LONGEST_CONNECT_S = 30.0


class Server:
    """Who is asked, how long it may be silent, and with which key from which variable."""

    def __init__(self, url: str, silence_s: float, key_env: str | None) -> None:
        self.url = url
        self.silence_s = silence_s
        self.connect_s = min(silence_s, LONGEST_CONNECT_S)
        self.key_env = key_env
        self.proxy = proxy_to(url)
        self._key = os.environ.get(key_env, "").strip() if key_env else ""
        secrets = (self._key, *(self.proxy.secrets if self.proxy else ()))
        self._secrets = [secret for secret in secrets if len(secret) >= SHORTEST_KEY]

    def headers(self) -> dict[str, str]:
        """What goes with every request. Raises AnswerError without a key that can be sent."""
        told = {"Content-Type": "application/json", "Connection": "close"}
        if self.key_env is None:
            return told
        if not self._key:
            raise AnswerError(f"the API key is missing: {self.key_env} is not set", hopeless=True)
        if not (self._key.isascii() and self._key.isprintable()):
            raise AnswerError(
                f"{self.key_env} contains characters that are not allowed in an API key",
                hopeless=True,
            )
        return {**told, "Authorization": f"Bearer {self._key}"}

    def hide(self, value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Return the same without the key and the proxy's password, anywhere in it.

        A text that spells one in another way goes as a whole.
        """
        if not self._secrets:
            return value
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, HIDDEN)
            return HIDDEN if len(value) >= SHORTEST_KEY and self._tells(value) else value
        if isinstance(value, list):
            return [self.hide(one) for one in value]
        if isinstance(value, dict):
            return {self.hide(name): self.hide(one) for name, one in value.items()}
        return value

    def _tells(self, text: str) -> bool:
        """Whether a text spells a secret in any way that `readings` knows."""
        plain = [squeezed(secret) for secret in self._secrets]
        long = [secret for secret in plain if len(secret) >= LONG_KEY]
        for reading in readings(text):
            letters = squeezed(reading)
            if any(one in reading for one in self._secrets) or any(one in letters for one in long):
                return True
        return False

    def words(self, text: str) -> str:
        """Return the beginning of a server's answer, for an error, unless it contains a secret.

        Half of one, letters and digits alone, is enough: what is cut off, set apart with blanks or
        spelled in any way that `readings` knows is not shown.
        """
        hidden = " ".join(str(self.hide(text[: 16 * LONGEST_ERROR])).split())[:LONGEST_ERROR]
        shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in hidden)
        for reading in readings(shown) if self._secrets else ():
            plain = squeezed(reading)
            if any(part in plain for secret in self._secrets for part in parts_of(secret)):
                return f"(what it says holds {HIDDEN} and is not shown)"
        return shown

    def connection(self) -> http.client.HTTPConnection:
        """A connection that is not open yet. Raises AnswerError if there can be none."""
        place, proxy = urlsplit(self.url), self.proxy
        is_https = place.scheme == "https"
        host, port = place.hostname or "", place.port or (443 if is_https else 80)
        first = (proxy.host, proxy.port) if proxy else (host, port)
        if proxy is not None:
            proxy.check()
            if self._key and not is_https:
                words = f"over http the proxy {proxy.name} would read the key: use https"
                raise AnswerError(words, hopeless=True)
        if not is_https:
            return http.client.HTTPConnection(*first, timeout=self.connect_s)
        context = ssl.create_default_context()
        made = http.client.HTTPSConnection(*first, timeout=self.connect_s, context=context)
        if proxy is not None:
            made.set_tunnel(host, port, headers=proxy.headers)
        return made

    def target(self) -> tuple[str, dict[str, str]]:
        """What a request names, and the headers for who hands it on in clear."""
        place = urlsplit(self.url)
        if self.proxy is not None and place.scheme == "http":
            return self.url, self.proxy.headers
        return place.path, {}
