"""Answers to machines that boot from the network: scripts for iPXE, and the files that the scripts name.

    GET /boot.ipxe            the question of `ipxe_script.ASK`
    GET /boot.ipxe?mac=…      the script of the machine: `resolve_netboot` on the documents of its channel
    GET /files/PATH           a kernel, initrd or other file below the directory of ``--files``, with ranges, and with
                              its digest (RFC 9530) if it belongs to an image

A machine whose documents are wrong, or whose image, kernel or initrd is missing, gets the script that it got before.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import stat
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from ordain.agent.errors import Failure
from ordain.agent.netboot.images import StoredImage, image_of, read_image, script_of
from ordain.transforms.document.formats.netboot_formats import netboot_file
from ordain.transforms.errors import Refused, Severity
from ordain.transforms.machine import rootfs
from ordain.transforms.model import Document, Facts
from ordain.transforms.netboot import boot_image, ipxe_script
from ordain.transforms.netboot.boot_target import BootTarget, resolve_netboot

log = logging.getLogger(__name__)
MAX_KEPT = 10_000
"""The number of machines of which the last good script and the logged problems are kept."""
LEAST_SEC = 60.0
LEAST_BYTES_PER_SEC = 32 << 10
"""A download that is slower than this after `LEAST_SEC` is cut off, because a client that stalls never ends it."""


@dataclass(slots=True)
class _Machine:
    """The last good ``script`` of a machine, "" before there is one, and the problems that were logged for it."""

    script: str = ""
    logged: tuple[str, ...] = ()

    def report(self, name: str, problems: Sequence[str], wrong: Sequence[str]) -> None:
        """Log the problems of the machine, once as long as they are the same; those in ``wrong`` are errors."""
        lines = tuple(dict.fromkeys((*problems, *wrong)))
        if lines == self.logged:
            return
        self.logged = lines
        for line in lines:
            log.log(logging.ERROR if line in wrong else logging.WARNING, "%s: %s", name, line)
        if wrong:
            log.error("%s: %s", name, "it gets its last good script" if self.script else "it waits")


class BootScripts:
    """The scripts of all machines; ``files`` is the directory of kernels and initrds, None if there is none."""

    def __init__(self, files: Path | None) -> None:
        self._files = files
        self._machines: OrderedDict[str, _Machine] = OrderedDict()

    def script_for(self, documents: Iterable[Document], facts: Facts) -> str:
        """Return the script for the machine with ``facts``; ``documents`` are those of `netboot_documents`."""
        name = next(iter(facts.mac), facts.system_uuid)
        try:
            target, problems = resolve_netboot(documents, facts)
        except Refused as refused:
            target, problems = None, refused.problems
        wrong = [str(problem) for problem in problems if problem.severity is not Severity.WARNING]
        image = None
        if target is not None:
            wrong += self._missing_files(target)
            try:
                image = self._image(target)
            except Failure as failure:
                wrong.append(str(failure))
        machine = self._machine(name)
        machine.report(name, [str(problem) for problem in problems], wrong)
        if wrong:
            reason = f"the documents of {name} are wrong; the log of the server tells more"
            return machine.script or ipxe_script.wait(reason)
        reason = f"no document tells what {name} starts"
        machine.script = script_of(target, image) if target else ipxe_script.wait(reason)
        return machine.script

    def _machine(self, name: str) -> _Machine:
        """Return what is kept of a machine; the one that has asked least recently is forgotten for a new one."""
        machine = self._machines.setdefault(name, _Machine())
        self._machines.move_to_end(name)
        if len(self._machines) > MAX_KEPT:
            self._machines.popitem(last=False)
        return machine

    def _image(self, target: BootTarget) -> StoredImage | None:
        """Return the image that ``target`` names, None if it names none. Raises `Failure`."""
        return None if target.image is None or self._files is None else image_of(target, self._files)

    def _missing_files(self, target: BootTarget) -> Iterator[str]:
        for part in filter(None, (target.image, target.kernel, *target.initrds)):
            if "://" in part.text:
                continue
            if self._files is None:
                yield f"{part.leaf.where}: {part.text}: the server has no files; start it with --files DIR"
            elif part is not target.image and self.file(part.text) is None:
                yield f"{part.leaf.where}: {self._files}/{part.text}: the file is missing or unreadable; put it there"

    def file(self, path: str) -> Path | None:
        """Return the regular file at ``path`` below the directory, with links followed inside it only."""
        if self._files is None:
            return None
        try:
            netboot_file(path)
            found = rootfs.chase(self._files, path)
            readable = stat.S_ISREG(found.lstat().st_mode)
            found.open("rb").close()
        except (OSError, ValueError):
            return None
        return found if readable else None

    def _digest(self, path: Path) -> dict[str, str]:
        """Return the header with the digest of a file of an image, and nothing for another file."""
        name, version = path.parent.parent.name, path.parent.name
        if path.name not in boot_image.FILES or self._files is None or not version.isdecimal():
            return {}
        try:
            image = read_image(self._files, name, int(version))
        except Failure:
            return {}
        if image.path.resolve() != path.parent.resolve():
            return {}
        digest = base64.b64encode(bytes.fromhex(getattr(image.content, path.name).sha256)).decode()
        return {"Repr-Digest": f"sha-256=:{digest}:"}

    async def send_file(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a file, and return when it is sent."""
        path = await asyncio.to_thread(self.file, request.match_info["path"])
        if path is None:
            return web.Response(status=404, text="file not found\n")
        # With a type, aiohttp does not take a name such as initrd.gz for an encoding that the client has to undo.
        headers = {"Content-Type": "application/octet-stream", **await asyncio.to_thread(self._digest, path)}
        response = _SentFile(path, chunk_size=1 << 20, headers=headers)
        size = (await asyncio.to_thread(path.stat)).st_size
        try:
            async with asyncio.timeout(LEAST_SEC + size / LEAST_BYTES_PER_SEC):
                await response.prepare(request)
        except TimeoutError:
            log.warning("%s takes %s too slowly; its connection is closed", request.remote, path.name)
            if request.transport is not None:
                request.transport.abort()
        return response


class _SentFile(web.FileResponse):
    """A file that `prepare` sends as a whole; aiohttp calls it once more after the handler, and then it has ended."""

    _sent = False

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Send the file, once."""
        if self._sent:
            return None
        self._sent = True
        return await super().prepare(request)
