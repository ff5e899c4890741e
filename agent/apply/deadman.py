"""The dead-man: it sleeps until a trial is over, and rolls the machine back if nobody has confirmed it.

PID 1 starts it as a transient service before the first effect of the apply. It does not depend on the agent: it kills
an agent that hangs, and whoever holds the lock. All modules that it will need are loaded when it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path

from ordain.agent.apply.apply_parts import build_parts
from ordain.agent.apply.trial import AGENT, Trial, Trials
from ordain.agent.compile.executor import run_inline
from ordain.agent.errors import Busy, Failure
from ordain.agent.model import Verb
from ordain.agent.system.apply_lock import lock_holder, locked
from ordain.agent.system.dbus.pystemd_driver import Pystemd
from ordain.agent.system.systemd.sd_notify import notify
from ordain.agent.system.systemd.systemd1 import Systemd

LOOK_SEC = 0.5
"""The deadline of a trial may be moved, so the file is read this often."""
STOP_SEC = 30.0
log = logging.getLogger("ordain.deadman")


def main() -> int:
    """Watch the trial of the token in the arguments, ``deadman TOKEN``; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    root, token = Path("/"), sys.argv[1]
    trials = Trials(root)
    notify("READY=1")
    while trial := trials.pending():
        if trial.token != token:
            return 0
        if trial.left_sec <= 0:
            with contextlib.suppress(Failure):
                trials.expire(trial)
            break
        time.sleep(min(trial.left_sec, LOOK_SEC))
    trial = trials.expired()
    if trial is None or trial.token != token:
        return 0
    log.warning("generation %d was not confirmed within %d s; rolling back", trial.number, trial.seconds)
    return asyncio.run(_roll_back(root, trial))


async def _roll_back(root: Path, trial: Trial) -> int:
    bus = Pystemd()
    systemd = await Systemd.open(bus)
    ran = False
    try:
        ran = (await systemd.list_units([AGENT]))[AGENT].running
        if ran:
            with contextlib.suppress(Failure):  # it may have died just now
                await systemd.kill(AGENT, signal.SIGKILL)
            await systemd.wait(await systemd.queue(Verb.STOP, AGENT), STOP_SEC)
        await _break_lock(root)
        outcome = await build_parts(systemd=systemd, executor=run_inline, root=root).rollback.expire()
        if outcome is None:
            return 0
        for verdict in outcome.back_verdicts:
            log.log(logging.INFO if verdict.ok else logging.ERROR, "%s: %s", verdict.unit, verdict.what)
        log.info("rolled back to generation %d", outcome.generation)
        return 0
    finally:
        if trial.agent_ran or ran:
            await systemd.start(AGENT)
        bus.close()


async def _break_lock(root: Path) -> None:
    """Kill the process that holds the lock: it did not end in all the time that the trial gave it."""
    for _ in range(5):
        try:
            async with locked(root, 0.5):
                return
        except Busy:
            if pid := lock_holder(root):
                log.warning("process %d holds the lock; killing it", pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    raise SystemExit(main())
