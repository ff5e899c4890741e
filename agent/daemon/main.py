"""ordain-agent: take over the services of this boot, then follow the documents."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
from dataclasses import replace
from pathlib import Path

from ordain.agent.apply.apply_parts import build_parts
from ordain.agent.compile.worker import Worker
from ordain.agent.daemon.agent_client import AgentClient
from ordain.agent.daemon.clients.client import ROOT_BUS_NAME
from ordain.agent.daemon.clients.in_process import InProcessClient
from ordain.agent.daemon.dbus_service import AgentInterface, serve
from ordain.agent.daemon.follower import Follower
from ordain.agent.daemon.settings_reload import SettingsReload
from ordain.agent.daemon.status.source_reader import SourceReader, open_configured_source
from ordain.agent.daemon.status.takeover import take_over, wait_until_settled
from ordain.agent.delivery.fleet.report import (
    MachineReport,
    ReportWriter,
    make_report,
    reported_details,
    source_lag_sec,
    this_boot,
)
from ordain.agent.errors import Failure, Unavailable
from ordain.agent.settings import read_settings
from ordain.agent.state.history_events import applied_revision, read_events
from ordain.agent.status import AgentState, Status
from ordain.agent.system.dbus.call_limits import CallLimits
from ordain.agent.system.dbus.dbus_next_driver import DbusNext
from ordain.agent.system.dbus.polkit import PolkitAuthority
from ordain.agent.system.priority import FIRST, set_nice
from ordain.agent.system.systemd.journal_format import log_to_journal
from ordain.agent.system.systemd.manager_socket import ManagerSocket
from ordain.agent.system.systemd.sd_notify import notify
from ordain.agent.system.systemd.service_loop import ping_watchdog, run_until_first_ends, wait_for_stop_signal
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.machine.installed_units import forget_settings

log = logging.getLogger("ordain.agent")


def main() -> int:
    """Run until SIGTERM, after which the services go on. Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="ordain-agent", description="Follow the documents of this machine. Started by ordain-agent.service."
    )
    parser.parse_args()
    log_to_journal()
    gc.freeze()  # Modules stay. A collection after each apply would look at all of their objects, and free none.
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
    authority = PolkitAuthority(bus)
    public = await DbusNext.open(limits=CallLimits(authority.user))  # the answers of the bus pass no queue of users
    systemd = await Systemd.open(await ManagerSocket.open(bus))
    worker = Worker()
    parts = build_parts(systemd=systemd, executor=worker, root=root)
    parts.store.restrict_access()
    reader = SourceReader(
        source=open_configured_source(settings, root),
        settings=settings,
        root=root,
        executor=worker,
        store=parts.store,
    )

    def dismiss() -> None:
        worker.dismiss()
        forget_settings()

    follower = Follower(parts=parts, source=reader, settings_problems=problems, prepare=worker.prepare, dismiss=dismiss)
    status = follower.status
    settings_reload = SettingsReload(follower, systemd, root)
    requests = InProcessClient(
        parts=parts,
        source=reader,
        read_status=status.refresh,
        settings_problems=lambda: follower.status_reader.settings_problems,
    )
    client = AgentClient(requests, follower)
    # Users can send to the public connection only. Root uses the other one, and PID 1 a socket of its own.
    interface, for_root = (AgentInterface(client, status, authority) for _ in range(2))
    await serve(public.connection, interface)
    try:
        await serve(bus.connection, for_root, ROOT_BUS_NAME)
    except Unavailable as failure:  # the bus has an older policy; a machine without an agent would be worse
        log.error("%s; users can delay root until `systemctl reload dbus; systemctl restart ordain-agent`", failure)
    interface.announce()
    parts.steps.listener = interface
    if await take_over(systemd, root, "agent"):
        log.info("took over: the services of this boot are being started")
    notify("READY=1", f"STATUS={_line(status.current)}")
    status.listen(lambda current: notify(f"STATUS={_line(current)}"))
    reports = ReportWriter(root, lambda: _report(root, status.current, reader))
    status.listen(lambda _: reports.changed())
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: _reload(client, settings_reload))
    try:
        await run_until_first_ends(
            wait_for_stop_signal(),
            _follow(follower, systemd),
            settings_reload.run(),
            _lost(bus),
            _lost(public),
            ping_watchdog(),
        )
        return 0
    finally:
        settings_reload.close()
        systemd.bus.close()
        public.close()


async def _follow(follower: Follower, systemd: Systemd) -> None:
    """Follow as soon as the services of this boot have been started.

    From then on, users who compute or call without a pause delay the agent little. It needs a third of a second for an
    apply of 100 services; at boot, it would take this from the services.
    """
    await wait_until_settled(systemd)
    set_nice(FIRST)
    await follower.run()


async def _lost(bus: DbusNext) -> None:
    """Raise `Unavailable` when the bus is lost: the agent cannot work without it, and PID 1 starts another."""
    await bus.wait_for_disconnect()
    raise Unavailable("the connection to the message bus was lost")


def _reload(client: AgentClient, settings_reload: SettingsReload) -> None:
    notify("RELOADING=1")
    settings_reload.reload()
    task = asyncio.ensure_future(client.refresh())
    task.add_done_callback(lambda _: notify("READY=1"))


def _report(root: Path, status: Status, reader: SourceReader) -> MachineReport | None:
    """Return what other machines are told, None before the first documents were read."""
    if reader.facts is None:
        return None
    rolled_back = status.state is AgentState.ROLLED_BACK
    return make_report(
        status,
        replace(reader.facts, details=reported_details(reader.details)),
        labels=reader.labels,
        release=reader.release,
        boot=this_boot(root),
        lag=source_lag_sec(status.source.since),
        in_force=applied_revision(read_events(root), status.generation) if rolled_back else "",
    )


def _line(status: Status) -> str:
    """One line for ``systemctl status``."""
    off = f", {len(status.drift)} not as wanted" if status.drift else ""
    problem = f"; {status.source.problem}" if status.source.problem else ""
    if status.state is AgentState.STARTING:
        return "starting"
    generation = f"generation {status.generation}" if status.generation else "no generation"
    return f"{status.state}, {generation}{off}{problem}"
