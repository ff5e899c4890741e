"""Finished boot caches for machines that boot from the tree that is here, too; effect: reads the tree.

    documents for one machine, what its initrd says of it ─`PrebuiltCaches`▶ the boot cache its agent would make

What documents come to depends on the root they are for: its units, its systemd, its transforms. So nothing is finished
for a machine whose root is another one (`mark`), or of which the documents ask what its initrd does not know. Machines
that differ in nothing the documents ask about share one compile.
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

from ordain.agent.compile.boot_time_facts import boot_time_facts
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
from ordain.transforms.catalog.machine_catalog import local_transforms, read_documents
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.node import MAX_BYTES
from ordain.transforms.errors import Refused
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.facts import pinned_labels, read_facts
from ordain.transforms.model import Facts

log = logging.getLogger(__name__)
FINISH_SEC = 10.0
"""An initrd waits for 20 s: who is still in the queue gets the documents, and compiles them itself."""
KEPT = 64
"""Finished caches, and those in the making."""
_FILES = ("usr/lib/os-release", "var/lib/dpkg/status")
_FOLDERS = ("usr/lib/systemd/system", "etc/systemd/system")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRequest:
    """What an initrd says of its machine besides who it is.

    ``image`` is the `mark` of the root it is about to start, ``root`` its kind (``disk``, ``ram``), ``words`` are those
    of the kernel command line that are about Ordain.
    """

    image: str = ""
    root: str = ""
    words: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> BootRequest:
        """Read the header: ``image=SHA256 root=ram ordain.labels=role=web``."""
        words = tuple(text.split())
        known = dict(word.partition("=")[::2] for word in words if not word.startswith("ordain"))
        ours = tuple(word for word in words if word.startswith("ordain."))
        return cls(image=known.get("image", ""), root=known.get("root", ""), words=ours)

    @property
    def source(self) -> str:
        """The URL that its agent will follow."""
        return next(
            (word.partition("=")[2] for word in reversed(self.words) if word.startswith(f"{SOURCE_PARAMETER}=")), ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What to compile; equal orders come to equal bytes."""

    image: str
    path: str
    body: bytes
    facts: str


class NotPrebuilt(OrdainError):
    """There is no finished cache for this machine, and why."""


class PrebuiltCaches:
    """Compiles for machines that boot from the tree ``root``. Raises `Failure` for a tree that it is not for."""

    def __init__(self, root: Path, executor: Executor) -> None:
        check_tree(root)
        settings, problems = read_settings(root)
        if settings.trust is Trust.REQUIRED:
            what = "its agent.yaml says `trust: required`, and nobody can sign a finished generation"
            raise Failure(f"{root}: {what}; leave --root out")
        for problem in problems:
            log.warning("%s", problem)
        self._root = root
        self._trust = settings.trust
        self._executor = executor
        self._made: OrderedDict[_Order, asyncio.Task[bytes]] = OrderedDict()

    async def finished(self, body: bytes, asker: MachineIdentity, booting: BootRequest) -> bytes:
        """The boot cache that ``body`` comes to on this machine, bound to the id that it has. Raises `NotPrebuilt`."""
        order, facts = await asyncio.to_thread(self._order, body, asker, booting)
        task = self._made.get(order)
        if task is None:
            if sum(not each.done() for each in self._made.values()) >= KEPT:
                raise NotPrebuilt("too many are in the making")
            task = self._made[order] = asyncio.create_task(asyncio.to_thread(self._make, order, facts))
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(order)
        try:
            data = await asyncio.wait_for(asyncio.shield(task), FINISH_SEC)
        except TimeoutError:
            raise NotPrebuilt(f"not finished after {FINISH_SEC:.0f} s") from None
        except Failure as failure:
            self._made.pop(order, None)
            raise NotPrebuilt(str(failure)) from None
        if not data:
            raise NotPrebuilt("the documents are refused")
        return _bound(data, asker.machine_id)

    def _order(self, body: bytes, asker: MachineIdentity, booting: BootRequest) -> tuple[_Order, Facts]:
        """What there is to do, and on which facts, all that is asked of them known. Raises `NotPrebuilt`."""
        image = mark(self._root)
        if booting.image != image:
            raise NotPrebuilt(f"it boots another root than {self._root}")
        if self._trust is Trust.OPEN and not booting.source:
            raise NotPrebuilt("it does not say what its source is")
        asked = _asked(body, local_transforms(self._root))
        told = {"hostname": asker.hostname, "machine-id": asker.machine_id, "mac": asker.mac, "root": booting.root}
        if unknown := [name for name in sorted(asked) if not told.get(name)]:
            raise NotPrebuilt(f"the documents ask for its {', '.join(unknown)}, which it cannot tell yet")
        own = read_facts(self._root)
        labels = pinned_labels(booting.words)
        # What nobody asks for is left out, so that machines are alike.
        facts = replace(
            own,
            hostname=asker.hostname if "hostname" in asked else "localhost",
            machine_id=asker.machine_id if "machine-id" in asked else "",
            mac=asker.mac if "mac" in asked else (),
            root=booting.root if "root" in asked else "disk",
            labels={**own.labels, **labels},
            pinned=frozenset(labels),
        )
        # The units say where each of their lines is from, and the agent will have the documents from there.
        path = booting.source if self._trust is Trust.OPEN else SERVER_DOCUMENTS[0]
        known = f"{replace(facts, pinned=frozenset())} {sorted(facts.pinned)}"
        return _Order(image=image, path=path, body=body, facts=known), facts

    def _make(self, order: _Order, facts: Facts) -> bytes:
        """The cache, bound to no machine; nothing if the documents are refused. Raises `Failure`."""
        machine = replace(read_machine(self._root), facts=facts, live=False)
        try:
            generation, _ = self._executor(COMPILE, ((order.path, order.body),), machine, Generation())
        except Refused as refused:
            for problem in refused.problems:
                log.error("%s", problem)
            return b""
        data = Store(self._root).baseline_of(generation)
        if len(data) > MAX_BYTES:
            raise Failure(f"it has {len(data):,} bytes, and an initrd takes {MAX_BYTES:,}")
        log.info("generation %s is finished, %d bytes", generation.hash[:12], len(data))
        return data


def mark(root: Path) -> str:
    """SHA-256 of what tells one root from another, as ``ordain_image`` of packaging/initrd/handover makes it."""
    digest = hashlib.sha256()
    for path in _FILES:
        digest.update(_content(root, path))
    for folder in _FOLDERS:
        names = sorted(os.fsencode(name) for name in rootfs.names(root, folder) if not name.startswith("."))
        digest.update(b"".join(name + b"\n" for name in names))
    return digest.hexdigest()


def _content(root: Path, path: str) -> bytes:
    try:
        return rootfs.read(root, path, limit=1 << 30) or b""
    except OSError:
        return b""


@lru_cache(maxsize=KEPT)
def _asked(body: bytes, transforms: RawDocuments) -> frozenset[str]:
    documents, _ = read_documents([(SERVER_DOCUMENTS[0], body), *transforms])
    return boot_time_facts(documents) | _asked_by_all()


@lru_cache(maxsize=1)
def _asked_by_all() -> frozenset[str]:
    return boot_time_facts(shipped())


def _bound(data: bytes, machine_id: str) -> bytes:
    if not machine_id:
        return data
    cache = unpack(data)
    cache.machine_id = machine_id
    return pack(cache)
