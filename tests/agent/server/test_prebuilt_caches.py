"""Prebuilt boot caches from `ordainctl serve`, requested by the script of the initrd."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from ordain.agent.compile.compiler import compile_texts
from ordain.agent.compile.executor import run_inline
from ordain.agent.compile.image import GENERATOR
from ordain.agent.delivery.source.http_source import PREBUILT
from ordain.agent.errors import Failure
from ordain.agent.model import Generation
from ordain.agent.server import prebuilt_caches
from ordain.agent.server.prebuilt_caches import PrebuiltCaches, image_digest
from ordain.generator.cache import Cache, CacheError, unpack
from rig.stores.boot_server import running_boot_server

HANDOVER = Path(__file__).parents[3] / "packaging/initrd/handover"
ID = "0123456789abcdef" * 2
WEB = b"""\
ordain: v1
kind: Layer
name: web
services: {web: {command: /bin/true, environment: {ROLE: any}}}
---
ordain: v1
kind: Layer
name: more
match: {role: db}
services: {db: {command: /bin/true}}
"""

pytestmark = [pytest.mark.skipif(not HANDOVER.exists(), reason="needs the source tree"), pytest.mark.thorough]


class Site:
    """Documents, an image, a server for both, and machines that boot the image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.image = path / "image"
        self.served_folder = path / "served"
        self.served_folder.mkdir()
        self.compiled = 0
        self.word = "ordain.source=URL/{machine-id}.yaml"
        for name, text in {
            GENERATOR: "",
            "etc/ordain/agent.yaml": "trust: open\nlabels: {site: a}\n",
            "etc/hostname": "web1\n",
            "etc/systemd/system/z.service": "",
            "etc/systemd/system/.hidden": "",
            "usr/lib/os-release": "ID=debian\nVERSION_ID=13\n",
            "usr/lib/systemd/libsystemd-shared-257.so": "",
            "usr/lib/systemd/system/B.service": "[Service]\nExecStart=/bin/true\n",
            "usr/lib/systemd/system/a b.service": "",
            "usr/lib/systemd/system/a@.service": "",
            "var/lib/dpkg/status": "Package: ordain\n",
        }.items():
            self.put(self.image, name, text)
        self.documents(WEB)

    def put(self, root: Path, name: str, text: str) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    def documents(self, text: bytes) -> None:
        (self.served_folder / "web.yaml").write_bytes(text)

    def machine(self, machine_id: str = ID) -> Path:
        """Return the root of a machine that boots the image."""
        root = self.path / f"machine-{len(list(self.path.iterdir()))}"
        shutil.copytree(self.image, root, symlinks=True)
        if machine_id:
            self.put(root, "etc/machine-id", f"{machine_id}\n")
        return root

    def caches(self) -> PrebuiltCaches:
        def count(function: str, /, *arguments: object) -> Any:
            self.compiled += 1
            return run_inline(function, *arguments)

        return PrebuiltCaches(self.image, count)

    async def boot(self, root: Path, url: str, shell: str = "sh") -> tuple[Cache | None, dict[str, bytes]]:
        """Run the script of the initrd for this root; return the cache and the documents that it got."""
        self.put(root, "cmdline", f"quiet ordain.labels=role=db {self.word.replace('URL', url)}\n")
        code = f"set -u; ordain_run={root}/run ordain_cmdline={root}/cmdline ORDAIN_WAIT=9; ordain_network() {{ :; }}\n"
        code += f'. {HANDOVER}\nordain_say() {{ echo "said: $*"; }}\nordain_handover {root}\n'
        process = await asyncio.create_subprocess_exec(*shell.split(), "-c", code, stdout=asyncio.subprocess.PIPE)
        said, _ = await process.communicate()
        assert (process.returncode, said) == (0, b"")
        cache = root / "run/boot/handed"
        found = {path.name: path.read_bytes() for path in (root / "run/documents").iterdir()}
        return unpack(cache.read_bytes()) if cache.exists() else None, found

    def compile_on(self, root: Path, path: str, body: bytes) -> Generation:
        """Return the generation that the agent of that machine compiles from the answer."""
        self.put(root, "proc/cmdline", (root / "cmdline").read_text())
        return compile_texts([(path, body)], root, Generation(), in_image=True)[0]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("shell", ["sh", "bash --posix", "busybox sh"])
async def test_an_initrd_gets_the_cache_that_the_agent_would_build_and_the_documents(site: Site, shell: str) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"needs {shell}")

    async with running_boot_server(site.served_folder, site.caches()) as (_, url):
        root = site.machine()
        cache, documents = await site.boot(root, url, shell)
        assert cache is not None
        made = site.compile_on(root, f"{url}/{{machine-id}}.yaml", documents["source.yaml"])
        assert cache.hash == made.hash
        assert cache.machine_id == ID
        assert {path for path, *_ in cache.entries} >= {"normal/web.service", "normal/db.service"}


async def test_machines_that_differ_only_in_unused_facts_share_one_compile(site: Site) -> None:
    site.word = "ordain.source=URL/x.yaml"

    async with running_boot_server(site.served_folder, site.caches()) as (_, url):
        roots = [site.machine(machine_id) for machine_id in (ID, "f" * 32, "")]
        caches = [cache for cache, _ in await asyncio.gather(*(site.boot(root, url) for root in roots)) if cache]
        assert [cache.machine_id for cache in caches] == [ID, "f" * 32, ""]
        (first,) = {cache.hash for cache in caches}
        assert site.compiled == 1
        site.documents(WEB.replace(b"any", b"other"))
        hash = first
        while hash == first:
            cache, _ = await site.boot(site.machine(), url)
            assert cache is not None
            hash = cache.hash
        assert site.compiled == 2


@pytest.mark.parametrize(
    ("text", "machine_id", "prebuilt"),
    [
        (WEB.replace(b"match: {role: db}", b"match: {hostname: 'web*'}"), "", True),
        (WEB.replace(b"match: {role: db}", b"match: {machine-id: {not: 'f'}}"), ID, True),
        (WEB.replace(b"match: {role: db}", b"match: {machine-id: {not: 'f'}}"), "", False),
        (WEB.replace(b"match: {role: db}", b"match: {virtualization: {not: kvm}}"), ID, False),
        (WEB.replace(b"match: {role: db}", b"match: {root: disk}"), ID, False),  # no file system is mounted there
        (WEB.replace(b"any", b"{template: '{{ facts.machine_id }}'}"), "", False),
        (WEB.replace(b"any", b"{template: '{{ facts.machine_id }}'}"), ID, True),
        (WEB.replace(b"any", b"{template: '{{ facts | string }}'}"), ID, False),
        (WEB.replace(b"any", b"{template: '{{ facts.systemd }} {{ labels.site }}'}"), "", True),
        (WEB + b"---\nordain: v1\nkind: Layer\nname: x\nservices: {web: {command: /bin/false}}\n", ID, False),
    ],
)
async def test_nothing_is_prebuilt_from_facts_that_the_initrd_does_not_know(
    site: Site, text: bytes, machine_id: str, prebuilt: bool
) -> None:
    site.documents(text)
    site.word = "ordain.source=URL/x.yaml"

    async with running_boot_server(site.served_folder, site.caches()) as (_, url):
        root = site.machine(machine_id)
        cache, documents = await site.boot(root, url)
        assert (cache is not None) is prebuilt
        assert list(documents) == ["source.yaml"]
        if cache is not None:
            assert cache.hash == site.compile_on(root, f"{url}/x.yaml", documents["source.yaml"]).hash


async def test_with_trust_local_the_cache_is_that_of_the_boot_documents(site: Site) -> None:
    site.put(site.image, "etc/ordain/agent.yaml", "")

    async with running_boot_server(site.served_folder, site.caches()) as (_, url):
        root = site.machine()
        cache, documents = await site.boot(root, url)
        assert cache is not None
        made = site.compile_on(root, "/run/ordain/documents/source.yaml", documents["source.yaml"])
        assert cache.hash == made.hash


@pytest.mark.parametrize("shell", ["sh", "busybox sh"])
async def test_a_machine_with_the_packages_of_the_image_gets_its_cache(site: Site, shell: str) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"needs {shell}")
    site.put(site.image, "usr/lib/sysimage/rpm/rpmdb.sqlite", "packages")
    site.put(site.image, "usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "and more")
    (site.image / "var/lib/rpm").symlink_to("../../usr/lib/sysimage/rpm")
    site.put(site.image, "var/lib/pacman/local/ordain-0.1.0-1/desc", "")
    async with running_boot_server(site.served_folder, site.caches()) as (_, url):
        cache, _ = await site.boot(site.machine(), url, shell)

    assert cache is not None


async def test_a_machine_with_another_root_gets_documents_only(site: Site) -> None:
    async with running_boot_server(site.served_folder, site.caches()) as (_, url):
        for name in (
            *("usr/lib/os-release", "var/lib/dpkg/status", "etc/systemd/system/more.service"),
            *("usr/lib/sysimage/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite-wal", "var/lib/rpm/rpmdb.sqlite"),
            *("usr/lib/sysimage/rpm/Packages.db", "var/lib/pacman/local/ordain-0.1.0-1/desc"),
        ):
            root = site.machine()
            site.put(root, name, "other\n")
            cache, documents = await site.boot(root, url)
            assert (cache, list(documents)) == (None, ["source.yaml"])
        assert site.compiled == 0


async def test_with_trust_required_no_cache_is_built_or_requested(site: Site) -> None:
    site.put(site.image, "etc/ordain/agent.yaml", "trust: required\n")
    with pytest.raises(Failure, match="trust: required"):
        site.caches()
    site.put(site.image, "etc/ordain/agent.yaml", "trust: open\n")

    async with running_boot_server(site.served_folder, site.caches()) as (_, url):
        root = site.machine()
        site.put(root, "etc/ordain/agent.yaml", "trust: required\n")
        cache, documents = await site.boot(root, url)
        assert (cache, list(documents)) == (None, ["source.yaml"])
        assert site.compiled == 0


async def test_no_cache_is_requested_beside_other_documents_of_the_boot(site: Site) -> None:
    async with running_boot_server(site.served_folder, site.caches()) as (_, url):
        for name in ("documents/appended.yaml", "boot/handed"):
            root = site.machine()
            site.put(root, f"run/{name}", "from elsewhere")
            site.put(root, "run/documents/x.txt", "")
            (root / "run/documents/x.txt").unlink()
            with contextlib.suppress(CacheError):
                assert (await site.boot(root, url))[0] is None
            assert (root / f"run/{name}").read_text() == "from elsewhere"
        assert site.compiled == 0


async def test_a_machine_that_would_wait_too_long_gets_documents_and_the_next_one_the_cache(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, done = threading.Event(), threading.Event()

    def slow(function: str, /, *arguments: object) -> Any:
        assert go.wait(20)
        try:
            return run_inline(function, *arguments)
        finally:
            done.set()

    async with running_boot_server(site.served_folder, PrebuiltCaches(site.image, slow)) as (_, url):
        monkeypatch.setattr(prebuilt_caches, "BUILD_SEC", 0.01)
        assert (await site.boot(site.machine(), url))[0] is None
        go.set()
        await asyncio.to_thread(done.wait)
        monkeypatch.setattr(prebuilt_caches, "BUILD_SEC", 10.0)
        assert (await site.boot(site.machine(), url))[0] is not None


async def test_only_a_valid_request_for_a_cache_gets_one(site: Site) -> None:
    async with running_boot_server(site.served_folder, site.caches()) as (session, url):
        async with session.get(f"{url}/{ID}.yaml") as answer:
            assert answer.content_type == "application/yaml"
        headers = {"Accept": PREBUILT, "Ordain-Boot": f"image={image_digest(site.image)} ordain.source={url}/x"}
        async with session.get(f"{url}/{ID}.yaml", headers=headers) as answer:
            assert answer.content_type == PREBUILT
            etag = answer.headers["ETag"]
            assert "Accept" in answer.headers["Vary"]
        async with session.get(f"{url}/{ID}.yaml", headers={**headers, "If-None-Match": etag}) as answer:
            assert answer.status == 304
        headers["Ordain-Boot"] = "image= =x ordain.labels=,,= ordain.labels=os=x"
        async with session.get(f"{url}/{ID}.yaml", headers=headers) as answer:
            assert (answer.status, answer.content_type) == (200, "application/yaml")
