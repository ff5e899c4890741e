"""Prebuilt boot caches, for machines that boot from a tree of which the server has a copy.

    documents for one machine, the request of its initrd ─`PrebuiltCaches`▶ the boot cache that its agent would make

The result of compiling documents depends on the root of the machine: its units, its systemd, its transforms. So
nothing is prebuilt for a machine with another root (`image_digest`), or if the documents use facts that its initrd does
not know. Machines share one compile if they differ only in facts that the documents do not use.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ordain.agent.compile.compile_cache import read_machine
from ordain.agent.compile.executor import COMPILE, Executor
from ordain.agent.compile.image import check_tree
from ordain.agent.delivery.source.http_source import MachineIdentity
from ordain.agent.delivery.source.local_files import SERVER_DOCUMENTS
from ordain.agent.errors import Failure, OrdainError
from ordain.agent.model import Generation, RawDocuments
from ordain.agent.settings import Trust, read_settings
from ordain.agent.source_settings import SOURCE_PARAMETER
from ordain.agent.state.store import Store
from ordain.generator.cache import pack, unpack
from ordain.transforms.catalog.local_transforms import local_transforms
from ordain.transforms.catalog.machine_catalog import read_documents
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.text.node import MAX_BYTES
from ordain.transforms.errors import Refused
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.facts import pinned_labels, read_facts
from ordain.transforms.model import Facts
from ordain.transforms.resolve.used_facts import boot_time_facts

log = logging.getLogger(__name__)
BUILD_SEC = 10.0
"""An initrd waits for 20 s. If a cache takes longer than this, it gets the documents and compiles them itself."""
MAX_CACHES = 64
"""The limit for caches that are kept or being built."""
_FILES = ("usr/lib/os-release", "var/lib/dpkg/status")
_RPM_FOLDERS = ("usr/lib/sysimage/rpm", "var/lib/rpm")
_RPM_FILES = ("rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db")
"""The databases of rpm: SQLite, the log of writes that are not in it yet, and the database of SLES 15."""
_FOLDERS = ("var/lib/pacman/local", "usr/lib/systemd/system", "etc/systemd/system")
"""Folders whose names are the content: pacman has one for each version of a package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRequest:
    """The description that an initrd sends of its boot, beside the identity of the machine.

    ``image`` is the `image_digest` of the root that it will start, ``root`` is its kind (``disk``, ``ram``), and
    ``words`` are the words of the kernel command line that configure Ordain.
    """

    image: str = ""
    root: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> BootRequest:
        """Read the header, such as ``image=SHA256 root=ram ordain.labels=role=web``."""
        words = tuple(text.split())
        known = dict(word.partition("=")[::2] for word in words if not word.startswith("ordain"))
        ours = tuple(word for word in words if word.startswith("ordain."))
        return cls(image=known.get("image", ""), root=known.get("root", ""), words=ours)

    @property
    def source(self) -> str:
        """Return the URL that the agent of the machine will follow."""
        return next(
            (word.partition("=")[2] for word in reversed(self.words) if word.startswith(f"{SOURCE_PARAMETER}=")), ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _BuildKey:
    """The input of a compile; equal keys give equal caches."""

    image: str
    path: str
    body: bytes
    facts: str


class NotPrebuilt(OrdainError):
    """There is no prebuilt cache for this machine; the message tells the reason."""


class PrebuiltCaches:
    """The builder of boot caches for machines that boot from the tree ``root``. Raises `Failure` for a wrong tree."""

    def __init__(self, root: Path, executor: Executor) -> None:
        check_tree(root)
        settings, problems = read_settings(root)
        if settings.trust is Trust.REQUIRED:
            message = "agent.yaml sets `trust: required`, and a prebuilt boot cache has no signature"
            raise Failure(f"{root}: {message}; run without --root")
        for problem in problems:
            log.warning("%s", problem)
        self._root = root
        self._trust = settings.trust
        self._executor = executor
        self._tasks: OrderedDict[_BuildKey, asyncio.Task[bytes]] = OrderedDict()

    async def cache_for(self, body: bytes, identity: MachineIdentity, boot: BootRequest) -> bytes:
        """Return the boot cache that ``body`` compiles to on this machine, bound to its machine-id.

        Raises `NotPrebuilt`.
        """
        key, facts = await asyncio.to_thread(self._key_and_facts, body, identity, boot)
        task = self._tasks.get(key)
        if task is None:
            if sum(not task.done() for task in self._tasks.values()) >= MAX_CACHES:
                raise NotPrebuilt("too many caches are being built")
            task = self._tasks[key] = asyncio.create_task(asyncio.to_thread(self._build, key, facts))
            while len(self._tasks) > MAX_CACHES:
                self._tasks.popitem(last=False)
        self._tasks.move_to_end(key)
        try:
            data = await asyncio.wait_for(asyncio.shield(task), BUILD_SEC)
        except TimeoutError:
            raise NotPrebuilt(f"the cache was not built within {BUILD_SEC:.0f} s") from None
        except Failure as failure:
            self._tasks.pop(key, None)
            raise NotPrebuilt(str(failure)) from None
        if not data:
            raise NotPrebuilt("the documents are refused")
        return _bound_to(data, identity.machine_id)

    def _key_and_facts(self, body: bytes, identity: MachineIdentity, boot: BootRequest) -> tuple[_BuildKey, Facts]:
        """Return the key of a compile and the facts for it. Raises `NotPrebuilt` if a necessary fact is not known."""
        image = image_digest(self._root)
        if boot.image != image:
            raise NotPrebuilt(f"it boots another root than {self._root}")
        if self._trust is Trust.OPEN and not boot.source:
            raise NotPrebuilt("its request does not name the source")
        used = _used_facts(body, local_transforms(self._root))
        known = {
            "hostname": identity.hostname,
            "machine-id": identity.machine_id,
            "mac": identity.mac,
            "root": boot.root,
        }
        if unknown := [name for name in sorted(used) if not known.get(name)]:
            raise NotPrebuilt(f"the documents use its {', '.join(unknown)}, which its initrd does not know yet")
        own = read_facts(self._root)
        labels = pinned_labels(boot.words)
        # Facts that are not used get the same values for all machines, so that these share one compile.
        facts = replace(
            own,
            hostname=identity.hostname if "hostname" in used else "localhost",
            machine_id=identity.machine_id if "machine-id" in used else "",
            mac=identity.mac if "mac" in used else (),
            root=boot.root if "root" in used else "disk",
            labels={**own.labels, **labels},
            pinned=frozenset(labels),
        )
        # Units name the origin of each of their lines. It must be the path that the agent will give to the documents.
        path = boot.source if self._trust is Trust.OPEN else SERVER_DOCUMENTS[0]
        facts_text = f"{replace(facts, pinned=frozenset())} {sorted(facts.pinned)}"
        return _BuildKey(image=image, path=path, body=body, facts=facts_text), facts

    def _build(self, key: _BuildKey, facts: Facts) -> bytes:
        """Return the cache, not bound to a machine; b"" if the documents are refused. Raises `Failure`."""
        machine = replace(read_machine(self._root), facts=facts, live=False, has_credentials=False)
        try:
            generation, _ = self._executor(COMPILE, ((key.path, key.body),), machine, Generation())
        except Refused as refused:
            for problem in refused.problems:
                log.error("%s", problem)
            return b""
        data = Store(self._root).baseline_of(generation)
        if len(data) > MAX_BYTES:
            raise Failure(f"the cache has {len(data):,} bytes, and an initrd accepts {MAX_BYTES:,}")
        log.info("prebuilt the boot cache of generation %s, %d bytes", generation.hash[:12], len(data))
        return data


def image_digest(root: Path) -> str:
    """Return the SHA-256 of files that differ between roots, as ``ordain_image`` of packaging/initrd/handover does."""
    digest = hashlib.sha256()
    for path in _FILES:
        digest.update(_content(root, path))
    for folder in _RPM_FOLDERS:
        if not (root / folder).is_symlink():  # the old name of the database is often a link to the new one
            for name in _RPM_FILES:
                digest.update(_content(root, f"{folder}/{name}"))
    for folder in _FOLDERS:
        names = sorted(os.fsencode(name) for name in rootfs.names(root, folder) if not name.startswith("."))
        digest.update(b"".join(name + b"\n" for name in names))
    return digest.hexdigest()


def _content(root: Path, path: str) -> bytes:
    try:
        return rootfs.read(root, path, limit=1 << 30) or b""
    except OSError:
        return b""


@lru_cache(maxsize=MAX_CACHES)
def _used_facts(body: bytes, transforms: RawDocuments) -> frozenset[str]:
    """Return the facts that only a boot knows and that the documents or the transforms use."""
    documents, _ = read_documents([(SERVER_DOCUMENTS[0], body), *transforms])
    return boot_time_facts(documents, shipped()) | _facts_used_by_shipped_transforms()


@lru_cache(maxsize=1)
def _facts_used_by_shipped_transforms() -> frozenset[str]:
    return boot_time_facts(shipped())


def _bound_to(data: bytes, machine_id: str) -> bytes:
    """Return the cache bound to a machine, if that has a machine-id."""
    if not machine_id:
        return data
    cache = unpack(data)
    cache.machine_id = machine_id
    return pack(cache)
