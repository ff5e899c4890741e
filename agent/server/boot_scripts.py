"""Answers to machines that boot from the network: scripts for iPXE, and the files that the scripts name.

    GET /boot.ipxe            the question of `ipxe_script.ASK`
    GET /boot.ipxe?mac=…      the script of the machine: `resolve_netboot` on the documents of its channel
    POST /booted?mac=…&root=… a machine says that its boot is good (agent/daemon/minders/network_boot.py)
    POST /installed           a machine says how the installation to its disk went (packaging/initrd/netboot)
    GET /files/PATH           a kernel, initrd or other file below the directory of ``--files``, with ranges, and with
                              its digest (RFC 9530) if it belongs to an image

A machine whose documents are wrong, or whose image, kernel or initrd is missing, gets the script that it got before.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from ordain.agent.errors import Failure
from ordain.agent.netboot.boot_count import (
    InstallationReport,
    completed,
    count_boot,
    installation_said,
    roll_back_problem,
    rolls_back,
    starts_from_disk,
)
from ordain.agent.netboot.images import StoredImage, find_image, image_of, read_image, script_of
from ordain.agent.netboot.machine_records import MachineRecords, NetbootRecord, NetbootStep, said_by, with_step
from ordain.agent.server.boot_turns import BootTurn
from ordain.transforms.document.formats.netboot_formats import netboot_file
from ordain.transforms.errors import Problem, Refused, Severity, Where
from ordain.transforms.machine import rootfs
from ordain.transforms.model import Document, Facts, Leaf
from ordain.transforms.netboot import boot_image, ipxe_script
from ordain.transforms.netboot.boot_target import BootPart, BootTarget, node_of, resolve_netboot

log = logging.getLogger(__name__)
LEAST_SEC = 60.0
LEAST_BYTES_PER_SEC = 32 << 10
"""A download that is slower than this after `LEAST_SEC` is cut off, because a client that stalls never ends it."""


NO_TURN = BootTurn()


def machine_name(facts: Facts) -> str:
    """Return the name that a machine has here before any system runs on it: its MAC address, or its UUID."""
    return next(iter(facts.mac), facts.system_uuid)


def _log_problems(record: NetbootRecord, wrong: Sequence[str]) -> None:
    """Log the problems of a machine, once as long as they are the same; those in ``wrong`` are errors."""
    for line in record.problems:
        log.log(logging.ERROR if line in wrong else logging.WARNING, "%s: %s", record.machine, line)
    if wrong:
        log.error("%s: %s", record.machine, "it gets its last good script" if record.script else "it waits")


class BootScripts:
    """The scripts of all machines; ``files`` is the directory of kernels and initrds, None if there is none."""

    def __init__(self, files: Path | None, records: MachineRecords) -> None:
        self._files = files
        self._records = records

    def script_for(
        self,
        documents: Iterable[Document],
        facts: Facts,
        now: float,
        turn: BootTurn = NO_TURN,
        *,
        channel: str = "",
        again: bool = False,
    ) -> str:
        """Return the script for the machine with ``facts``; ``documents`` are those of `netboot_documents`.

        ``turn`` is the release that they belong to.
        ``again``: it asks in the same boot once more, because iPXE could not fetch a file.
        """
        documents = tuple(documents)
        name = machine_name(facts)
        target, image, problems, wrong = self._decide(documents, facts)
        if target is not None:
            target = replace(target, release=turn.told)
        before = self._records.get(name)
        record = replace(
            before,
            node=target.node if target else node_of(documents, facts),
            channel=channel,
            release=before.release if wrong else turn.number,
            waiting=turn.waiting,
            first=before.first or now,
            last=now,
            said=said_by(facts),
        )
        faults = [*(str(problem) for problem in problems), *wrong]
        reason = f"no document names the image that {name} boots"
        step, started = NetbootStep.ASKED_AGAIN if again else NetbootStep.ASKED, ""
        if wrong:
            step = NetbootStep.LAST_GOOD
            reason = f"the documents of {name} are wrong; the log of the server tells more"
            script = record.script or ipxe_script.wait(reason)
        elif target is None:
            step = NetbootStep.WAITS
            script = ipxe_script.wait(reason)
            record = replace(record, script=script, image="", boots=0)
        else:
            reference = str(image.reference) if image else ""
            record, script = count_boot(record, script_of(target, image), reference, again=again)
            started = record.image
            if rolls_back(record):
                step, started = NetbootStep.ROLLED_BACK, record.good_image
                faults.append(roll_back_problem(record))
            if starts_from_disk(record, script):
                step, script = NetbootStep.DISK, ipxe_script.local_disk(record.node or name)
            if record.not_installed:
                faults.append(f"not installed: {record.not_installed}")
        once = self._records.once(name) if target is not None else ""
        if target is not None and once and (script_once := self._script_once(target, once, name)):
            step, started, script = NetbootStep.ONCE, once, script_once
        record = with_step(replace(record, problems=tuple(dict.fromkeys(faults))), step, started, now)
        if record.problems != before.problems:
            _log_problems(record, wrong)
        self._records.put(record)
        return script

    def next_script(self, documents: Iterable[Document], facts: Facts) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Return the script that ``documents`` make for a machine now, its layers, and the problems.

        The script is "" if there is none. Nothing is recorded.
        """
        target, image, problems, wrong = self._decide(documents, facts)
        faults = tuple(dict.fromkeys([*map(str, problems), *wrong]))
        if target is None or wrong:
            return "", target.layers if target else (), faults
        return script_of(target, image), target.layers, faults

    def _decide(
        self, documents: Iterable[Document], facts: Facts
    ) -> tuple[BootTarget | None, StoredImage | None, Sequence[Problem], list[str]]:
        """Return the target of a machine, its image, all problems of the documents, and all that is wrong."""
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
        return target, image, problems, wrong

    def _script_once(self, target: BootTarget, once: str, name: str) -> str:
        """Return the script for a boot with the image ``once``, "" if the image is missing."""
        self._records.end_once(name)
        try:
            image = find_image(self._files or Path(), boot_image.parse_reference(once))
        except (Failure, ValueError) as error:
            log.error("%s: it cannot start %s once: %s", name, once, error)
            return ""
        log.warning("%s: it starts %s once", name, image.reference)
        leaf = Leaf(value=once, where=Where(path="ordainctl fleet boot --once"), layer="once")
        part = BootPart(text=str(image.reference), leaf=leaf)
        return script_of(replace(target, image=part, kernel=None, disk=None), image)  # into RAM, beside the disk

    def note_completed(self, machines: Iterable[str], root: str, now: float) -> bool:
        """Note that one of ``machines`` completed a boot of the archive ``root``; return whether it is known."""
        asked = [record for name in machines if (record := self._records.get(name)).script]
        for record in asked:
            self._records.put(completed(record, root, now))
        return bool(asked)

    def note_installation(self, machines: Iterable[str], said: InstallationReport, now: float) -> bool:
        """Note the state of the installation of one of ``machines``; return whether it is known."""
        asked = [record for name in machines if (record := self._records.get(name)).script]
        for record in asked:
            self._records.put(installation_said(record, said, now))
            if said.state == "refused":
                log.error("%s: not installed: %s", record.node or record.machine, said.text)
        return bool(asked)

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
            file = rootfs.chase(self._files, path)
            if not stat.S_ISREG(file.lstat().st_mode):  # to open a FIFO would wait for a writer, for ever
                return None
            file.open("rb").close()
        except (OSError, ValueError):
            return None
        return file

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
        """Send the file, once, and always itself.

        To a client that accepts compression, aiohttp would send a file beside it that is called like it with ``.gz``,
        and follow that one out of the directory if it is a link.
        """
        if self._sent:
            return None
        self._sent = True
        headers = {name: value for name, value in request.headers.items() if name.lower() != "accept-encoding"}
        return await super().prepare(request.clone(headers=headers))
