"""The journal of this boot, read by journalctl(1)."""

from __future__ import annotations

import asyncio
import contextlib
from subprocess import DEVNULL, PIPE

TIMEOUT_SEC = 2.0
MAX_BYTES = 1 << 20


async def read_journal(*arguments: str, program: str = "journalctl") -> str:
    """Return the entries of this boot that ``arguments`` of journalctl select, the first `MAX_BYTES` of its output.

    It is ``""`` if the journal cannot be read. Nothing is awaited longer than `TIMEOUT_SEC`.
    """
    command = (program, "--boot", "--quiet", "--no-pager", *arguments)
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
    except OSError:
        return ""
    assert process.stdout is not None
    output = b""
    try:
        async with asyncio.timeout(TIMEOUT_SEC):
            output = await _first_bytes(process.stdout)
            if process.stdout.at_eof():
                # kill() of a process that has just ended collects its status, which asyncio then warns of.
                await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            with contextlib.suppress(TimeoutError):
                await _collect(process, process.stdout)
    return output.decode(errors="replace")


async def _collect(process: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> None:
    """Wait for the end of a process that was killed. For asyncio, this comes only after the end of its output."""
    async with asyncio.timeout(TIMEOUT_SEC):
        while await stream.read(MAX_BYTES):
            pass
        await process.wait()


async def _first_bytes(stream: asyncio.StreamReader) -> bytes:
    output = bytearray()
    while len(output) < MAX_BYTES and (data := await stream.read(MAX_BYTES - len(output))):
        output += data
    return bytes(output)
