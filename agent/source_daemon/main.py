"""ordain-source: the program of ordain-source.service."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.fleet.report_publisher import ReportPublisher
from ordain.agent.delivery.fleet.rollout_gate import RolloutGate
from ordain.agent.delivery.identity.machine_key import CREDENTIAL, PrivateKey, parse_machine_key
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.handover_source import FOLDER
from ordain.agent.delivery.source.service_credentials import read_secret
from ordain.agent.delivery.source.source_factory import open_database, open_remote
from ordain.agent.settings import read_settings
from ordain.agent.source_daemon.fetcher import Fetcher
from ordain.agent.source_settings import STORES
from ordain.agent.system.systemd.journal_format import log_to_journal
from ordain.agent.system.systemd.sd_notify import notify
from ordain.agent.system.systemd.service_loop import ping_watchdog, run_until_first_ends, wait_for_stop_signal
from ordain.transforms.machine.facts import read_facts

log = logging.getLogger("ordain.source")
STATE = "var/lib/ordain-source"


def main() -> int:
    """Run until SIGTERM; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="ordain-source", description="Fetch the documents of this machine. Started by ordain-source.service."
    )
    parser.parse_args()
    log_to_journal()
    return asyncio.run(_run(Path("/")))


async def _run(root: Path) -> int:
    settings, _ = read_settings(root)  # the agent reports problems in agent.yaml
    source = settings.source
    if not source.remote:
        log.info("the source of this machine is not remote; nothing to do")
        return 0
    key = _machine_key()
    gate = RolloutGate(
        root=root,
        machine=read_facts(root).machine_id,
        key=key,
        own=settings.windows,
        handed_over=lambda: fetcher.documents,
    )
    login = Login(user=key.user, password=lambda: key.password) if key and key.user else None
    sign = key.sign if key else None
    fetcher = Fetcher(
        lambda: open_remote(settings, root, gate, login, sign), source, folder=root / FOLDER, state=root / STATE
    )
    publisher = ReportPublisher(root=root, open=lambda: open_database(source, login=login, sign=sign), key=key)
    work = [wait_for_stop_signal(), _fetch(fetcher), ping_watchdog()]
    if source.type in STORES:
        work.append(_report_status(publisher))
    await run_until_first_ends(*work, when_started=lambda: notify("READY=1", f"STATUS={source.location}"))
    return 0


def _machine_key() -> PrivateKey | None:
    """Return the key of this machine, None if it has none: then nothing is signed."""
    try:
        return parse_machine_key(read_secret(CREDENTIAL))
    except SourceError:
        return None
    except ValueError as error:
        log.error("the credential %s is not the key of this machine: %s; reports are not signed", CREDENTIAL, error)
        return None


async def _report_status(publisher: ReportPublisher) -> None:
    """Report the status to the store. An error in this must not end the fetching of documents."""
    try:
        await publisher.run()
    except Exception:  # Ordain itself has a bug
        log.exception("internal error; the status is no longer reported to the store")
    await asyncio.Event().wait()


async def _fetch(fetcher: Fetcher) -> None:
    """Fetch documents without end; after SIGHUP begin again, without the current wait, which may be long."""
    reload = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    while True:
        reload.clear()
        async with asyncio.TaskGroup() as tasks:
            fetching = tasks.create_task(fetcher.run())
            await reload.wait()
            fetching.cancel()
