"""The agent precedes users where the kernel allows it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ordain.agent.system.priority import FIRST

PROGRAM = """
import os, sys, threading
from ordain.agent.system.priority import AUTOGROUP, FIRST, NORMAL, leave_session, set_nice
leave_session()
os.setpriority(os.PRIO_PROCESS, 0, 0)
threading.Thread(target=threading.Event().wait, daemon=True).start()
os.setuid(int(sys.argv[1]))
for value in FIRST, NORMAL:
    set_nice(value)
    threads = {os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir("/proc/self/task")}
    session = AUTOGROUP.read_text().rsplit(maxsplit=1)[1] if AUTOGROUP.exists() else value
    print(*threads, session)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root may do both")
@pytest.mark.parametrize(
    ("user", "first"), [pytest.param(0, "-10 -10", id="allowed"), pytest.param(65534, "0 0", id="refused")]
)
def test_all_threads_precede_users_if_the_kernel_allows_it_and_nothing_fails_if_not(user: int, first: str) -> None:
    command = [sys.executable, "-c", PROGRAM, str(user)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == f"{first}\n0 0\n"


def test_the_unit_allows_the_priority_that_the_agent_takes() -> None:
    unit = Path(__file__).parents[3] / "units/ordain-agent.service"
    assert f"\nLimitNICE={FIRST}\n" in unit.read_text()
