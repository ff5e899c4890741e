"""People look at the machines of a boot server in a browser, on a desk and on a telephone, and adopt new ones there."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet.report_publisher import status_key
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release.publish import publish
from ordain.agent.netboot.api_tokens import Right, add_token
from ordain.agent.netboot.images import add_image, list_images
from ordain.agent.status import AgentState
from ordain.transforms.netboot.boot_image import BootImage, ImageFile
from rig.browser import Browser, missing_for_browser
from support.stores.relayed_site import SiteMachine, found_fleet, release

pytestmark = pytest.mark.integration
DOCUMENTS = """\
ordain: v1
kind: Layer
name: base
netboot: {image: "debian-13:1", arguments: {console: ttyS0}}
---
ordain: v1
kind: Layer
name: canary
tier: role
match: {ring: canary}
netboot: {image: "debian-13:2"}
services:
  app:
    command: /usr/bin/app
    user: www-data
    limits: {memory: 1G}
---
ordain: v1
kind: Layer
name: gone
tier: role
match: {ring: gone}
netboot: {image: "debian-13:9"}
"""
NODE = '---\nordain: v1\nkind: Node\nname: web%d\nmatch: {mac: "52:54:00:00:00:%02x"}\nlabels: {ring: %s}\n'
PROGRAM = "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))"
RINGS = ("stable", "canary", "stable", "stable", "gone", "stable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server with machines that have asked, and the tokens of its file."""

    url: str
    folder: Path
    reader: str
    administrator: str

    def ask(self, number: int, product: str = "PowerEdge R640") -> None:
        query = f"mac=52-54-00-00-00-{number:02x}&manufacturer=Dell&product={product}&serial=S{number}&arch=x86_64"
        url = f"{self.url}/boot.ipxe?{query}&firmware=efi".replace(" ", "%20")
        with urllib.request.urlopen(url, timeout=20) as answer:
            answer.read()

    def complete(self, number: int, root: str) -> None:
        url = f"{self.url}/booted?mac=52:54:00:00:00:{number:02x}&root={root}"
        with urllib.request.urlopen(urllib.request.Request(url, b"", method="POST"), timeout=20):
            pass

    def install(self, number: int, identity: str) -> None:
        form = f"mac=52:54:00:00:00:{number:02x}&state=installed&text={identity}"
        with urllib.request.urlopen(f"{self.url}/installed", form.encode(), timeout=20):
            pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    for name in ("documents", "state", "files/images"):
        (tmp_path / name).mkdir(parents=True)
    nodes = "".join(NODE % (number, number, ring) for number, ring in enumerate(RINGS, 1))
    (tmp_path / "documents/base.yaml").write_text(DOCUMENTS + nodes)
    for number in (1, 2):
        made = tmp_path / "files/images/.new"
        made.mkdir()
        for name in ("kernel", "initrd", "root"):
            (made / name).write_bytes(b"x" * 1000)
        files = {name: ImageFile(sha256=f"{number:02x}" * 32, size=1000) for name in ("kernel", "initrd", "root")}
        content = BootImage(os="debian-13", release=f"6.12.{number}", generation="", memory=1 << 30, **files)
        add_image(tmp_path / "files", "debian-13", made, content)
    assert len(list_images(tmp_path / "files")) == 2
    reader = add_token(tmp_path / "tokens", "wall", frozenset({Right.READ}))
    administrator = add_token(tmp_path / "tokens", "anna", frozenset(Right))
    words = [
        "serve",
        "documents",
        "--listen",
        "127.0.0.1:0",
        "--files",
        "files",
        "--state",
        "state",
        "--tokens",
        "tokens",
    ]
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen([sys.executable, "-P", "-c", PROGRAM, *words], cwd=tmp_path, stderr=file) as process,
    ):
        try:
            deadline = time.monotonic() + 30
            while not (port := re.search(r"127\.0\.0\.1:([0-9]+)/fleet/", log.read_text())):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            served = Served(
                url=f"http://127.0.0.1:{port[1]}", folder=tmp_path, reader=reader, administrator=administrator
            )
            for number in range(1, len(RINGS) + 1):
                served.ask(number)
            for number in (1, 3, 4):
                served.complete(number, "01" * 32)
            served.install(3, "0123456789abcdef")
            served.ask(0x77, "<img src=x onerror=alert(1)>")
            yield served
        finally:
            process.terminate()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return the directory of the pictures; `ORDAIN_PICTURES=docs/pictures` writes those of the pages."""
    return Path(os.environ.get("ORDAIN_PICTURES") or tmp_path)


@pytest.fixture
def browser_here() -> None:
    if reason := missing_for_browser():
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def test_a_fleet_is_seen_at_a_glance_and_a_machine_is_adopted(
    browser_here: None, served: Served, tmp_path: Path, pictures: Path
) -> None:
    with Browser(tmp_path) as browser:
        browser.open(f"{served.url}/")
        browser.wait_for("this needs a token with the right read")
        browser.type("Token", "wrong")
        browser.click("Sign in")
        browser.wait_for("this token is not known")
        browser.type("Token", served.administrator)
        browser.click("Sign in")
        browser.wait_for("7 machines")
        shown = browser.wait_for("discovered 1")
        for line in ("booted 3", "booting 2", "waits 1", "web1", "debian-13:9: not found"):
            assert line in shown
        browser.screenshot(pictures / "boot-server-machines.png")

        browser.click("web2")
        shown = browser.wait_for("Layers: base, canary, web2")
        for line in ("booting", "debian-13:2", "Dell PowerEdge R640", "asked", "base.yaml:11", "console=ttyS0"):
            assert line in shown
        browser.screenshot(pictures / "boot-server-machine.png")
        browser.click("Show")
        browser.wait_for("On debian-13, by the layers base, canary, web2.")
        browser.click("app.service")
        shown = browser.wait_for("ExecStart=/usr/bin/app")
        assert "base.yaml:14 canary services/app/command" in shown
        browser.run("window.scrollTo(0, document.body.scrollHeight)")
        browser.screenshot(pictures / "boot-server-units.png")

        browser.click("Machines")
        browser.click("discovered")
        browser.click("52:54:00:00:00:77")
        browser.wait_for("<img src=x onerror=alert(1)>")
        browser.type("Name", "web7")
        browser.type("Labels", "ring=canary")
        browser.click("Adopt")
        browser.wait_for("Wrote web7.yaml")
        assert 'ring: "canary"' in (served.folder / "documents/web7.yaml").read_text()
        browser.click("Machines")
        browser.wait_for("web7")

        browser.click("web3")
        assert re.search(r"On its disk\s+another image, \d+ s ago", browser.wait_for("On its disk"))

        browser.click("Machines")
        browser.click("web1")
        browser.type("Image", "debian-13:2")
        browser.click("Set")
        browser.wait_for("The next boot starts this image")
        assert "debian-13:2" in (served.folder / "state/52-54-00-00-00-01.once").read_text()

        browser.click("Images")
        shown = browser.wait_for("6.12.2")
        browser.click("Releases")
        browser.wait_for("documents without releases")
        assert browser.run("return [...document.images].length") == 0
        wrong = [line for line in browser.errors() if "401" not in line]
        assert wrong == []


def test_a_telephone_shows_the_same_and_a_reader_changes_nothing(
    browser_here: None, served: Served, tmp_path: Path, pictures: Path
) -> None:
    with Browser(tmp_path, width=390, height=780) as browser:
        browser.open(f"{served.url}/fleet/")
        browser.type("Token", served.reader)
        browser.click("Sign in")
        browser.wait_for("7 machines")
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
        browser.screenshot(pictures / "boot-server-telephone.png")
        browser.click("52:54:00:00:00:77")
        browser.wait_for("Latest boots")
        assert browser.run("return document.forms.length") == 0
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


def test_the_page_of_a_relay_shows_reports_rollouts_and_the_relay(
    browser_here: None, tmp_path: Path, pictures: Path
) -> None:
    (tmp_path / "store").mkdir()
    asyncio.run(fill_store(DirectoryDatabase(tmp_path / "store"), tmp_path))
    token = add_token(tmp_path / "tokens", "wall", frozenset({Right.READ}))
    words = ["serve", "--store", str(tmp_path / "store"), "--state", "state", "--listen", "127.0.0.1:0"]
    words += ["--tokens", "tokens", "--name", "relay1"]
    log = tmp_path / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen([sys.executable, "-P", "-c", PROGRAM, *words], cwd=tmp_path, stderr=file) as process,
        Browser(tmp_path) as browser,
    ):
        try:
            deadline = time.monotonic() + 30
            while not (port := re.search(r"127\.0\.0\.1:([0-9]+)/fleet/", log.read_text())):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            browser.open(f"http://127.0.0.1:{port[1]}/")
            browser.type("Token", token)
            browser.click("Sign in")
            browser.wait_for("No machine has asked this server yet")
            with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/boot.ipxe?mac=52-54-00-00-00-07", timeout=20):
                pass
            browser.click("Machines")
            browser.click("52:54:00:00:00:07")
            assert re.search(r"Release\s+2\b", browser.wait_for("Latest boots"))
            browser.click("Reports")
            shown = browser.wait_for("3 machines report")
            for line in (
                "stable",
                "50 %",
                "1 of 3",
                "converged",
                "rolled-back",
                "web.service",
                "7 (wanted 8)",
                "<img src=x",
            ):
                assert line in shown, shown
            browser.screenshot(pictures / "boot-server-reports.png")
            browser.click("Relay")
            shown = browser.wait_for("Relay relay1")
            assert "connected" in shown
            assert str(tmp_path / "store") in shown
        finally:
            process.terminate()


async def fill_store(store: DirectoryDatabase, folder: Path) -> None:
    """Write a release with stages, and the reports of three machines."""
    machines = [SiteMachine(folder, number) for number in (1, 2, 3)]
    await found_fleet(store, *machines)
    await publish(store, release(2, stages=["50%", "100%"]), {})
    good = {"phase": AgentState.CONVERGED, "generation": 8, "wanted_generation": 8}
    drifted = {"phase": AgentState.DEGRADED, "generation": 7, "wanted_generation": 8, "drift": ("web.service",)}
    back = {"phase": AgentState.ROLLED_BACK, "generation": 7, "wanted_generation": 8}
    for machine, more, name in zip(
        machines, (good, drifted, back), ("web1", "web2", "<img src=x onerror=alert(1)>"), strict=True
    ):
        reference = ReleaseReference(channel="stable", number=1 if more is drifted else 2)
        data = machine.signed_report(5, hostname=name, release=reference, behind="relay1", **more)
        await store.put(status_key(machine.id), data, expect=ANY)
