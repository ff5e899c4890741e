"""A headless Chromium, driven by WebDriver (https://www.w3.org/TR/webdriver2/) through chromedriver.

with Browser(folder) as browser: browser.open(url); browser.click("text"); browser.screenshot(path)
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key of a reference to an element (section 12 of WebDriver)."""
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def missing_for_browser() -> str:
    """Return the reason why no browser can be started here, "" if one can."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (Debian packages chromium, chromium-driver)" if missing else ""


class Browser:
    """A browser with an empty profile below ``folder``; ``width`` and ``height`` are those of its window."""

    def __init__(self, folder: Path, *, width: int = 1200, height: int = 800) -> None:
        self._folder = folder
        self._size = (width, height)
        self._url = ""
        self._session = ""

    def __enter__(self) -> Self:
        """Start the browser."""
        log = (self._folder / "chromedriver.log").open("wb")
        self._driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=log, stderr=log)
        log.close()
        try:
            self._url = f"http://127.0.0.1:{self._until('chromedriver listens', self._port)}"
            width, height = self._size
            arguments = [*ARGUMENTS, f"--user-data-dir={self._folder / 'profile'}", f"--window-size={width},{height}"]
            options = {"goog:chromeOptions": {"args": arguments, "binary": shutil.which("chromium")}}
            answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": options}})
            self._session = f"/session/{answer['sessionId']}"
        except BaseException:
            self._driver.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the browser."""
        with contextlib.suppress(OSError):
            self._ask("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait(20)

    def _port(self) -> str:
        text = (self._folder / "chromedriver.log").read_text(errors="replace")
        return text.rpartition("on port ")[2].partition(".")[0] if "started successfully on port" in text else ""

    def open(self, url: str) -> None:
        """Open a page."""
        self._ask("POST", f"{self._session}/url", {"url": url})

    def text(self) -> str:
        """Return the text that the page shows."""
        text = self.run("return document.body.innerText")
        assert isinstance(text, str)
        return text

    def run(self, script: str) -> Any:
        """Run JavaScript in the page, and return its value."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def wait_for(self, text: str) -> str:
        """Return the text of the page as soon as it has ``text``."""
        return self._until(f"the page shows {text!r}", lambda: shown if text in (shown := self.text()) else "")

    def click(self, text: str) -> None:
        """Click the link, button or summary with this text."""
        self._act(f"//*[self::a or self::button or self::summary][contains(., {text!r})]", "click", {})

    def type(self, label: str, text: str) -> None:
        """Type into the field with this label."""
        self._act(f"//label[contains(., {label!r})]//input", "value", {"text": text})

    def screenshot(self, path: Path) -> None:
        """Write a picture (PNG) of the window."""
        path.write_bytes(base64.b64decode(self._ask("GET", f"{self._session}/screenshot")))

    def errors(self) -> list[str]:
        """Return the errors in the console of the page since the last call."""
        entries = self._ask("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def _act(self, xpath: str, command: str, body: object) -> None:
        """Carry out a command on an element, again if the page has replaced the element meanwhile."""

        def act() -> str:
            try:
                self._ask("POST", f"{self._element(xpath)}/{command}", body)
            except AssertionError as error:
                if "stale element" in str(error):
                    return ""
                raise
            return "done"

        self._until(f"{command} at {xpath}", act)

    def _element(self, xpath: str) -> str:
        def find() -> str:
            found = self._ask("POST", f"{self._session}/elements", {"using": "xpath", "value": xpath})
            return f"{self._session}/element/{found[0][ELEMENT]}" if found else ""

        return self._until(f"the page has {xpath}", find)

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.read().decode(errors='replace')[:2000]}") from None

    def _until(self, what: str, probe: Callable[[], str], timeout: float = 60) -> str:
        deadline = time.monotonic() + timeout
        while not (value := probe()):
            assert time.monotonic() < deadline, (
                f"not within {timeout} s: {what}\n{self.text() if self._session else ''}"
            )
            time.sleep(0.05)
        return value
