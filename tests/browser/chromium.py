"""A Chromium of its own that tests drive through a pipe: real keys, real pages, no network."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
KEYS = {
    "Enter": ("Enter", 13), "Space": (" ", 32), "Escape": ("Escape", 27),
    "ArrowUp": ("ArrowUp", 38), "ArrowDown": ("ArrowDown", 40),
    "ArrowRight": ("ArrowRight", 39), "Tab": ("Tab", 9),
    **{f"Digit{digit}": (str(digit), 48 + digit) for digit in range(10)},
    **{f"Key{chr(letter)}": (chr(letter + 32), letter) for letter in range(65, 91)},
}  # fmt: skip
"""Place of a key on the keyboard to what it types and its Windows code."""


REPLACED = ("navigated or closed", "context was destroyed", "Cannot find context")
"""What Chromium says about an expression whose page went away while it was asked."""


class RefusedError(AssertionError):
    """Chromium did not do what it was told."""


class Page:
    """A page in a browser, by the DevTools protocol (messages that end with a zero byte)."""

    def __init__(self, commands: int, replies: int) -> None:
        self._commands = commands
        self._replies = replies
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.said: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page and wait until it shows its content."""
        self._call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def reload(self) -> None:
        """Load the page anew, and wait until it is there in place of the old one."""
        self.value("window.isOld = true")
        self._call("Page.reload")
        self.wait("!window.isOld && document.readyState === 'complete'")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true; while the page is replaced, it is not."""
        end = time.monotonic() + 60
        while not self._holds(condition):
            assert time.monotonic() < end, f"not within 60 s: {condition}; {self.said}"
            time.sleep(0.05)

    def _holds(self, condition: str) -> bool:
        try:
            return bool(self.value(condition))
        except RefusedError as error:
            if any(words in str(error) for words in REPLACED):
                return False
            raise

    def value(self, expression: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """What an expression gives on the page."""
        told = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def press(self, *codes: str, typed: str | None = None) -> None:
        """Press keys one after the other, by their place; `typed` is what another layout types."""
        for code in codes:
            key, windows_code = KEYS[code]
            event = {"code": code, "key": typed or key, "windowsVirtualKeyCode": windows_code}
            self._call("Input.dispatchKeyEvent", type="rawKeyDown", **event)
            if code in ("Enter", "Space"):  # these act by what they type
                self._call(
                    "Input.dispatchKeyEvent", type="char", text={"Enter": "\r"}.get(code, " ")
                )
            self._call("Input.dispatchKeyEvent", type="keyUp", **event)

    def write(self, text: str) -> None:
        """Put text where the cursor is, as an input method does."""
        self._call("Input.insertText", text=text)

    def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """Show the page on a screen of that many CSS pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if is_phone else 1,
            mobile=is_phone,
        )

    def picture(self) -> bytes:
        """The screen as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])

    def _call(self, method: str, **params: Any) -> dict[str, Any]:  # noqa: ANN401
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self._next()
            if reply.get("id") == self._last:
                if "error" in reply:
                    raise RefusedError(method, reply)
                result: dict[str, Any] = reply["result"]
                return result
            if reply.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown"}:
                self.said.append(json.dumps(reply["params"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = os.read(self._replies, 1 << 16)
            assert more, "Chromium has ended"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def browsing(profile: Path, *flags: str) -> Iterator[Page]:
    """A page in a Chromium of its own, which reaches nothing but the loopback address."""
    from_us, commands = os.pipe()
    replies, to_us = os.pipe()
    # Chromium reads commands from descriptor 3 and answers on 4.
    shell = f'exec 3<&{from_us} 4>&{to_us}; exec "$@"'
    argv = [
        "bash", "-c", shell, "bash", CHROMIUM, *QUIET, NO_NETWORK, "--remote-debugging-pipe",
        f"--user-data-dir={profile}", *flags,
    ]  # fmt: skip
    process = subprocess.Popen(argv, pass_fds=(from_us, to_us), stderr=subprocess.DEVNULL)
    os.close(from_us)
    os.close(to_us)
    try:
        yield Page(commands, replies)
    finally:
        os.close(commands)
        os.close(replies)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
