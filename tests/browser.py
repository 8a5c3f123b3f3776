"""Headless Chromium for tests, by the W3C WebDriver protocol and the standard library alone.

`chromium()` is a context manager that gives a `Browser`; `missing()` says what a machine lacks for it. Knows nothing of
the pages it opens.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Browser", "chromium", "missing"]

KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "End": "\ue010", "Home": "\ue011"}
KEYS |= {"Left": "\ue012", "Right": "\ue014", "Shift": "\ue008", "Space": " "}
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-color-profile=srgb"
)


def missing() -> str:
    """The program that is not installed; "" if both are."""
    return next((name for name in ("chromium", "chromedriver") if shutil.which(name) is None), "")


def _call(method: str, url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        with error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None


class Browser:
    """One window. Keys go to whatever has the focus, as a person's would."""

    def __init__(self, session: str) -> None:
        self.session = session

    def post(self, path: str, body: Any) -> Any:
        return _call("POST", f"{self.session}/{path}", body)

    def open(self, page: Path, link: str = "") -> None:
        self.post("url", {"url": "about:blank"})  # else another link to the same page is no new page
        self.post("url", {"url": page.as_uri() + link})

    def size(self, width: int, height: int) -> None:
        """Make the window's inside this large."""
        self.post("window/rect", {"width": width, "height": height})
        inside = self.run("return [innerWidth, innerHeight]")
        self.post("window/rect", {"width": 2 * width - inside[0], "height": 2 * height - inside[1]})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.post("execute/sync", {"script": script, "args": list(arguments)})

    def press(self, *keys: str) -> None:
        """Press keys one after another: "Tab", "Right", "f"; "Shift+Tab"."""
        actions = []
        for key in keys:
            parts = [KEYS.get(part, part) for part in key.split("+")] if len(key) > 1 else [key]
            actions += [{"type": "keyDown", "value": part} for part in parts]
            actions += [{"type": "keyUp", "value": part} for part in reversed(parts)]
        self.post("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def emulate(self, **features: str) -> None:
        """Media features, such as prefers_color_scheme="dark"."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        parameters = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": listed}}
        self.post("goog/cdp/execute", parameters)

    def errors(self) -> list[str]:
        """What the console said since this was last asked."""
        return [entry["message"] for entry in self.post("se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Everything that was fetched since this was last asked."""
        events = [json.loads(entry["message"])["message"] for entry in self.post("se/log", {"type": "performance"})]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def fetched(self, page: Path) -> list[str]:
        """Everything that was fetched since `page` was, itself first; waits until the log, which lags, tells of it."""
        listed: list[str] = []
        end = time.monotonic() + 10
        while page.as_uri() not in listed and time.monotonic() < end:
            listed += self.requests()
        listed += self.requests()
        return listed[listed.index(page.as_uri()) :] if page.as_uri() in listed else listed

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(_call("GET", f"{self.session}/screenshot")))


@contextmanager
def chromium() -> Iterator[Browser]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen([shutil.which("chromedriver") or "", f"--port={port}"], **quiet) as driver:
            try:
                yield Browser(_session(f"http://127.0.0.1:{port}", profile))
            finally:
                driver.terminate()


def _session(driver: str, profile: str) -> str:
    for _ in range(200):
        try:
            _call("GET", f"{driver}/status")
            break
        except OSError:
            time.sleep(0.05)
    capabilities = {
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        "goog:chromeOptions": {"args": [*OPTIONS.split(), f"--user-data-dir={profile}"]},
    }
    made = _call("POST", f"{driver}/session", {"capabilities": {"alwaysMatch": capabilities}})
    return f"{driver}/session/{made['sessionId']}"
