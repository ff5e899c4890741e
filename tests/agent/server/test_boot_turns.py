"""Machines behind a relay boot the release of their turn, in the stages of its rollout; a bad image stops it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet.fleet_holds import HOLDS, FleetHold, FleetHolds, HoldTarget, encode_holds
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, encode_rollout
from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft
from ordain.agent.delivery.release.publish import publish, rollout_key
from ordain.agent.delivery.spread import position
from ordain.agent.netboot.images import add_image
from ordain.transforms.netboot.boot_image import BootImage, ImageFile
from rig.stores.relay_server import RunningRelay, running_relay
from rig.stores.signing_keys import key_of

MACS = tuple(f"52:54:00:00:00:{number:02x}" for number in range(1, 21))
LAYER = "ordain: v1\nkind: Layer\nname: base\nnetboot: {image: '%s'}\n"
NODE = "ordain: v1\nkind: Node\nname: web%d\nmatch: {mac: '%s'}\nlabels: {role: %s}\n"
SHARE = 0.3


def release(number: int, texts: Iterable[str], **rollout: object) -> tuple[Release, Any]:
    """Return a signed release of ``texts``, and its documents by hash."""
    private, signer = key_of(1)
    blobs = {hashlib.sha256(text.encode()).hexdigest(): text.encode() for text in texts}
    names = {f"common/layer/d{index}": hash for index, hash in enumerate(blobs)}
    draft = ReleaseDraft(channel="stable", number=number, documents=names, created="now", rollout=rollout or None)
    unsigned = draft.release()
    return unsigned.signed(signer.id, signing.sign(private, unsigned.canonical)), blobs


def add(files: Path, root: bytes) -> str:
    """Add an image with the archive ``root``, and return its reference."""
    made = files / "images/.new"
    made.mkdir(parents=True)
    data = {"kernel": b"k", "initrd": b"i", "root": root}
    for name, written in data.items():
        (made / name).write_bytes(written)
    parts = {
        name: ImageFile(sha256=hashlib.sha256(written).hexdigest(), size=len(written)) for name, written in data.items()
    }
    content = BootImage(os="debian-13", release="6.12", generation="", memory=1, **parts)
    return str(add_image(files, "a", made, content)[0].reference)


class BootSite:
    """A store, a relay of it with two images, and machines that boot; release 1 has the first image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in ("store", "files"):
            (path / name).mkdir()
        self.store = DirectoryDatabase(path / "store")
        self.images = {"1": add(path / "files", b"first"), "2": add(path / "files", b"second")}
        self.url = ""
        self.web: ClientSession
        self.running: RunningRelay

    async def publish(self, number: int, image: str, *more: str, **rollout: object) -> None:
        """Publish a release, and wait until the relay boots machines by it."""
        nodes = (NODE % (n, mac, "web" if n % 2 else "db") for n, mac in enumerate(MACS))
        made, blobs = release(number, (LAYER % self.images[image], *nodes, *more), **rollout)
        await publish(self.store, made, blobs)
        await self.until(lambda: (heads := self.running.server.channel_heads()) and heads[0].number == number)

    async def set_state(self, **state: Any) -> None:
        """Write the state of the rollout, and wait until the relay has it."""
        wanted = RolloutState(**state)
        await self.store.put(rollout_key("stable"), encode_rollout(wanted), expect=ANY)
        await self.until(lambda: self.running.server._stages.states.get("stable") == wanted)

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(60):
            while not is_so():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def boot(self, mac: str, *, good: bool = True) -> tuple[str, str]:
        """Boot a machine, which completes unless it is not ``good``; return its image and the release it is told."""
        async with self.web.get(f"{self.url}/boot.ipxe?mac={mac}") as answer:
            script = await answer.text()
        number = re.findall(r"images/a/(\d+)/kernel", script)[0]
        if good:
            digest = re.findall(r"ordain\.root\.sha256=(\S+)", script)[0]
            async with self.web.post(f"{self.url}/booted?mac={mac}&root={digest}") as answer:
                assert answer.status == 204
        return number, "".join(re.findall(r" ordain\.release=(\S+)", script))

    async def images_of_all(self) -> dict[str, str]:
        """Boot all machines, and return their images."""
        return {mac: (await self.boot(mac))[0] for mac in MACS}

    def waiting(self, mac: str) -> str:
        """Return why a machine does not boot the latest release."""
        return self.running.server.records.get(mac).waiting


def with_site(path: Path, use: Callable[[BootSite], Any]) -> None:
    async def run() -> None:
        site = BootSite(path)
        async with (
            running_relay(site.store, path / "state", files=path / "files") as site.running,
            ClientSession() as site.web,
        ):
            site.url = site.running.url
            await use(site)

    asyncio.run(run())


def first(title: str = "stable 2", share: float = SHARE) -> set[str]:
    """Return the machines in the first stage of a release."""
    return {mac for mac in MACS if position(mac, title) < share}


def test_the_machines_of_each_stage_boot_the_new_image_and_the_others_the_one_that_they_had(tmp_path: Path) -> None:
    async def use(site: BootSite) -> None:
        await site.publish(1, "1", **{"max-parallel": 1})
        assert await site.boot(MACS[0]) == ("1", "stable:1"), "there is no release before it"
        await site.publish(2, "2", stages=["30%", "100%"])
        assert 0 < len(first()) < len(MACS)
        images = await site.images_of_all()
        assert {mac for mac, image in images.items() if image == "2"} == first()
        waits = next(mac for mac in MACS if mac not in first())
        assert site.waiting(waits) == "the rollout is at 30% of the machines"
        assert await site.boot(waits) == ("1", "stable:1")

        await site.set_state(number=2, share=SHARE, halted="it is bad")
        assert (await site.boot(waits))[0] == "1"
        assert site.waiting(waits) == "the rollout is stopped: it is bad"
        assert {(await site.boot(mac))[0] for mac in first()} == {"2"}, "a machine that has it keeps it"

        await site.set_state(number=2, share=1.0)
        assert set((await site.images_of_all()).values()) == {"2"}
        assert site.waiting(waits) == ""

    with_site(tmp_path, use)


def test_a_machine_waits_with_the_release_that_it_had_and_not_with_one_that_was_stopped(tmp_path: Path) -> None:
    async def use(site: BootSite) -> None:
        await site.publish(1, "1")
        waits = next(mac for mac in MACS if mac not in first() | first("stable 3"))
        assert await site.boot(waits) == ("1", "stable:1")
        await site.publish(2, "2", stages=["30%"])
        await site.set_state(number=2, share=SHARE, halted="it is bad")
        await site.publish(3, "1", stages=["30%"])
        assert await site.boot(waits) == ("1", "stable:1")

    with_site(tmp_path, use)


def test_machines_whose_boots_do_not_complete_stop_the_rollout_at_this_server(tmp_path: Path) -> None:
    async def use(site: BootSite) -> None:
        await site.publish(1, "1")
        await site.images_of_all()
        await site.publish(2, "2", stages=["30%", "100%"], **{"stop-at": "10%"})
        bad = sorted(first())[:2]
        assert len(bad) == 2
        for mac in bad:
            images = [(await site.boot(mac, good=False))[0] for _ in range(4)]
            assert images == ["2", "2", "2", "1"]
        await site.set_state(number=2, share=1.0)
        waits = next(mac for mac in MACS if mac not in first())
        assert (await site.boot(waits))[0] == "1"
        assert site.waiting(waits) == "2 of 2 machines could not boot it"

    with_site(tmp_path, use)


def test_invented_machines_neither_stop_a_rollout_nor_hide_that_it_fails(tmp_path: Path) -> None:
    invented = [f"52:54:00:00:01:{number:02x}" for number in range(20)]

    async def use(site: BootSite) -> None:
        await site.publish(1, "1")
        for mac in (*MACS, *invented):
            await site.boot(mac)
        await site.publish(2, "2", stages=["100%"], **{"stop-at": "50%"})
        for _ in range(5):
            for mac in invented[:10]:
                await site.boot(mac, good=False)
        assert (await site.boot(MACS[0], good=False))[0] == "2"
        for mac in invented[10:]:
            await site.boot(mac)
        for _ in range(4):
            for mac in MACS[:2]:
                await site.boot(mac, good=False)
        await site.boot(MACS[5])
        assert site.waiting(MACS[5]) == "2 of 2 machines could not boot it"

    with_site(tmp_path, use)


@pytest.mark.parametrize(
    ("target", "subject", "name", "held"),
    [
        (HoldTarget.LABEL, "role=web", "", {mac for n, mac in enumerate(MACS) if n % 2}),
        (HoldTarget.MACHINE, "0" * 32, "web4", {MACS[4]}),
        (HoldTarget.CHANNEL, "stable", "", set(MACS)),
        (HoldTarget.CHANNEL, "beta", "", set()),
    ],
)
def test_machines_that_the_fleet_holds_boot_what_they_had(
    tmp_path: Path, target: HoldTarget, subject: str, name: str, held: set[str]
) -> None:
    async def use(site: BootSite) -> None:
        await site.publish(1, "1")
        await site.images_of_all()
        hold = FleetHold(target=target, subject=subject, name=name, by="anna", why="exam week")
        await site.store.put(HOLDS, encode_holds(FleetHolds(holds=(hold,))), expect=ANY)
        await site.publish(2, "2", **{"max-parallel": 1})
        await site.until(lambda: site.running.server._stages.holds.holds)
        images = await site.images_of_all()
        assert {mac for mac, image in images.items() if image == "1"} == held
        assert all("exam week" in site.waiting(mac) for mac in held)

    with_site(tmp_path, use)


def test_a_pin_counts_before_a_rollout_and_is_not_told(tmp_path: Path) -> None:
    pinned = "ordain: v1\nkind: Node\nname: pinned\nmatch: {mac: '52:54:00:00:01:00'}\npin: 1\n"

    async def use(site: BootSite) -> None:
        await site.publish(1, "1")
        await site.publish(2, "2", pinned, **{"max-parallel": 1})
        assert await site.boot("52:54:00:00:01:00") == ("1", "")

    with_site(tmp_path, use)


def test_boots_of_one_image_are_counted_over_releases(tmp_path: Path) -> None:
    async def use(site: BootSite) -> None:
        await site.publish(1, "1")
        await site.boot(MACS[0])
        await site.publish(2, "2")
        assert [(await site.boot(MACS[0], good=False))[0] for _ in range(4)] == ["2", "2", "2", "1"]
        await site.publish(3, "2")
        assert (await site.boot(MACS[0], good=False)) == ("1", "stable:1")

    with_site(tmp_path, use)


def test_a_text_in_place_of_the_state_opens_the_first_stage(tmp_path: Path) -> None:
    async def use(site: BootSite) -> None:
        await site.publish(1, "1")
        await site.store.put(rollout_key("stable"), json.dumps(["nonsense"]).encode(), expect=ANY)
        await site.publish(2, "2", stages=["30%"])
        images = await site.images_of_all()
        assert {mac for mac, image in images.items() if image == "2"} == first()

    with_site(tmp_path, use)
