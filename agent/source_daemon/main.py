"""ordain-source: the program of ordain-source.service."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from pathlib import Path

from ordain.agent.delivery.fleet.report_publisher import ReportPublisher
from ordain.agent.delivery.fleet.rollout_gate import RolloutGate
from ordain.agent.delivery.source.handover_source import FOLDER
from ordain.agent.delivery.source.source_factory import open_database, open_remote
from ordain.agent.settings import read_settings
from ordain.agent.source_daemon.fetcher import Fetcher
from ordain.agent.source_settings import SourceKind
from ordain.agent.system.journal_format import log_to_journal
from ordain.agent.system.sd_notify import notify
from ordain.transforms.machine.facts import read_facts

log = logging.getLogger("ordain.source")
STORES = (SourceKind.ETCD, SourceKind.COUCHDB)
"""Where a status can be written back."""
STATE = "var/lib/ordain-source"


def main() -> int:
    """Run until SIGTERM. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="ordain-source", description="Fetch the documents of this machine. Started by ordain-source.service."
    )
    parser.parse_args()
    log_to_journal()
    return asyncio.run(_run(Path("/")))


async def _run(root: Path) -> int:
    settings, _ = read_settings(root)  # the agent tells what is wrong with them
    source = settings.source
    if not source.remote:
        log.info("the documents come from no server; nothing to do")
        return 0
    gate = RolloutGate(root=root, machine=read_facts(root).machine_id, own=settings.windows)
    fetcher = Fetcher(lambda: open_remote(settings, root, gate), source, folder=root / FOLDER, state=root / STATE)
    publisher = ReportPublisher(root=root, open=lambda: open_database(source))
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    tasks = [asyncio.create_task(task) for task in (told.wait(), _ask(fetcher), _watchdog())]
    telling = asyncio.create_task(_tell(publisher)) if source.type in STORES else None
    notify("READY=1", f"STATUS={source.location}")
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        return 0
    finally:
        ending = [*tasks, *([telling] if telling else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


async def _tell(publisher: ReportPublisher) -> None:
    """Write the status back; whatever becomes of that, documents are fetched."""
    try:
        await publisher.run()
    except Exception:  # a bug of ours
        log.exception("internal error; the status is written back no more")


async def _ask(fetcher: Fetcher) -> None:
    """Fetch for ever; after SIGHUP begin anew, without the wait that may have become long."""
    hurry = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hurry.set)
    while True:
        hurry.clear()
        async with asyncio.TaskGroup() as tasks:
            fetching = tasks.create_task(fetcher.run())
            await hurry.wait()
            fetching.cancel()


async def _watchdog() -> None:
    """Tell PID 1 twice per WatchdogSec= that the loop turns."""
    usec = int(os.environ.get("WATCHDOG_USEC", "0"))
    while usec:
        notify("WATCHDOG=1")
        await asyncio.sleep(usec / 2_000_000)
    await asyncio.Event().wait()
