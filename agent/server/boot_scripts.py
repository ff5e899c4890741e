"""Answers to machines that boot from the network: scripts for iPXE, and the files that the scripts name.

    GET /boot.ipxe            the question of `ipxe_script.ASK`
    GET /boot.ipxe?mac=…      the script of the machine: `resolve_netboot` on the documents of its channel
    GET /files/PATH           a kernel, initrd or other file below the directory of ``--files``, with ranges

A machine whose documents are wrong, or whose kernel or initrd is missing, gets the script that it got before.
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from ordain.transforms.document.netboot_formats import netboot_file
from ordain.transforms.errors import Problem, Refused, Severity
from ordain.transforms.machine import rootfs
from ordain.transforms.model import Document, Facts
from ordain.transforms.netboot import ipxe_script
from ordain.transforms.netboot.boot_target import BootTarget, resolve_netboot

log = logging.getLogger(__name__)
MAX_KEPT = 10_000
"""The number of machines whose last good script is kept."""
LEAST_SEC = 60.0
LEAST_BYTES_PER_SEC = 32 << 10
"""A download that is slower than this after `LEAST_SEC` is cut off, because a client that stalls never ends it."""


class BootScripts:
    """The scripts of all machines; ``files`` is the directory of kernels and initrds, None if there is none."""

    def __init__(self, files: Path | None) -> None:
        self._files = files
        self._last_good: OrderedDict[str, str] = OrderedDict()
        self._reported: dict[str, tuple[str, ...]] = {}

    def script_for(self, documents: Iterable[Document], facts: Facts) -> str:
        """Return the script for the machine with ``facts``; ``documents`` are those of `netboot_documents`."""
        name = next(iter(facts.mac), facts.system_uuid)
        try:
            target, problems = resolve_netboot(documents, facts)
        except Refused as refused:
            target, problems = None, refused.problems
        wrong = [str(problem) for problem in problems if problem.severity is not Severity.WARNING]
        if target is not None:
            wrong += self._missing_files(target)
        self._report(name, problems, wrong)
        if target is not None and not wrong:
            return self._keep(name, ipxe_script.answer(target))
        if wrong:
            reason = f"the documents of {name} are wrong; the log of the server tells more"
            return self._last_good.get(name) or ipxe_script.wait(reason)
        return self._keep(name, ipxe_script.wait(f"no document tells what {name} starts"))

    def _keep(self, name: str, script: str) -> str:
        self._last_good[name] = script
        self._last_good.move_to_end(name)
        while len(self._last_good) > MAX_KEPT:
            self._reported.pop(self._last_good.popitem(last=False)[0], None)
        return script

    def _report(self, name: str, problems: Iterable[Problem], wrong: list[str]) -> None:
        """Log the problems of a machine, once as long as they are the same."""
        lines = tuple(dict.fromkeys((*map(str, problems), *wrong)))
        if self._reported.get(name, ()) == lines:
            return
        self._reported[name] = lines
        for line in lines:
            log.log(logging.ERROR if line in wrong else logging.WARNING, "%s: %s", name, line)
        if wrong:
            kept = "it gets its last good script" if name in self._last_good else "it waits"
            log.error("%s: %s", name, kept)

    def _missing_files(self, target: BootTarget) -> Iterator[str]:
        for part in filter(None, (target.kernel, *target.initrds)):
            if "://" in part.text:
                continue
            if self._files is None:
                yield f"{part.leaf.where}: {part.text}: the server has no files; start it with --files DIR"
            elif self.file(part.text) is None:
                yield f"{part.leaf.where}: {self._files}/{part.text}: there is no such file that the server can read"

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

    async def send_file(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a file, and return when it is sent."""
        path = await asyncio.to_thread(self.file, request.match_info["path"])
        if path is None:
            return web.Response(status=404, text="there is no such file\n")
        # With a type, aiohttp does not take a name such as initrd.gz for an encoding that the client has to undo.
        response = _SentFile(path, chunk_size=1 << 20, headers={"Content-Type": "application/octet-stream"})
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
