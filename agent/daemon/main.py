"""ordain-agent: take over the services of this boot, then follow the documents."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from ordain.agent.apply.parts import build_parts
from ordain.agent.compile.worker import Worker
from ordain.agent.daemon.dbus_service import Service, serve
from ordain.agent.daemon.follower import Follower
from ordain.agent.daemon.settings_reload import Reconfigure, source_of
from ordain.agent.daemon.takeover import settled, take_over
from ordain.agent.delivery.fleet.report import MachineReport, ReportWriter, make_report, source_lag_sec, this_boot
from ordain.agent.errors import Failure, Unavailable
from ordain.agent.settings import read_settings
from ordain.agent.status import AgentState, Status
from ordain.agent.system.bus_dbus_next import DbusNext
from ordain.agent.system.journal_format import log_to_journal
from ordain.agent.system.polkit import PolkitAuthority
from ordain.agent.system.sd_notify import notify
from ordain.agent.system.service_loop import ping_watchdog, run_until_first_ends, wait_for_stop_signal
from ordain.agent.system.systemd1 import Systemd

log = logging.getLogger("ordain.agent")


def main() -> int:
    """Run until SIGTERM; the services go on without us. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="ordain-agent", description="Follow the documents of this machine. Started by ordain-agent.service."
    )
    parser.parse_args()
    log_to_journal()
    try:
        return asyncio.run(_run(Path("/")))
    except Failure as failure:
        log.error("%s", failure)
        return 1


async def _run(root: Path) -> int:
    settings, problems = read_settings(root)
    for problem in problems:
        log.warning("%s", problem)
    bus = await DbusNext.open()
    systemd = await Systemd.open(bus)
    worker = Worker()
    parts = build_parts(systemd=systemd, executor=worker, root=root)
    source = source_of(settings, root)
    follower = Follower(parts=parts, source=source, settings=settings, problems=problems, dismiss=worker.dismiss)
    reconfigure = Reconfigure(follower, systemd, root)
    service = Service(follower, PolkitAuthority(bus))
    parts.steps.listener = service
    await serve(bus.connection, service)
    if await take_over(systemd, root, "agent"):
        log.info("took over: the services of this boot are being started")
    notify("READY=1", f"STATUS={_line(follower.current)}")
    follower.listen(lambda status: notify(f"STATUS={_line(status)}"))
    reporter = ReportWriter(root, lambda: _report(follower))
    follower.listen(lambda _: reporter.changed())
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: _reload(follower, reconfigure))
    try:
        await run_until_first_ends(
            wait_for_stop_signal(), _follow(follower, systemd), reconfigure.run(), _lost(bus), ping_watchdog()
        )
        return 0
    finally:
        reconfigure.close()
        bus.close()


async def _follow(follower: Follower, systemd: Systemd) -> None:
    """Plan nothing while the services of this boot are still being started."""
    await settled(systemd)
    await follower.run()


async def _lost(bus: DbusNext) -> None:
    """Without its bus an agent is nothing; PID 1 starts another."""
    with contextlib.suppress(OSError, EOFError):
        await bus.connection.wait_for_disconnect()  # type: ignore[no-untyped-call]
    raise Unavailable("the message bus is gone")


def _reload(follower: Follower, reconfigure: Reconfigure) -> None:
    notify("RELOADING=1")
    reconfigure.reload()
    task = asyncio.ensure_future(follower.refresh())
    task.add_done_callback(lambda _: notify("READY=1"))


def _report(follower: Follower) -> MachineReport | None:
    """What others are told; nothing before the first documents."""
    if follower.facts is None:
        return None
    return make_report(
        follower.current,
        follower.facts,
        labels=follower.labels,
        release=follower.taken,
        boot=this_boot(follower.parts.root),
        lag=source_lag_sec(follower.current.source.since),
    )


def _line(status: Status) -> str:
    """One line for ``systemctl status``."""
    off = f", {len(status.drift)} not as wanted" if status.drift else ""
    problem = f"; {status.source.problem}" if status.source.problem else ""
    return (
        "starting"
        if status.state is AgentState.STARTING
        else f"{status.state}, generation {status.generation}{off}{problem}"
    )
