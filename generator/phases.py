"""The phases in which files and accounts of the documents are placed, and what a run of each leaves.

It imports nothing that the generator does not: each boot loads it.
"""

from __future__ import annotations

from posix import stat

RECORDS = {
    "early": "run/ordain/files",
    "main": "var/lib/ordain/files",
    "remote": "var/lib/ordain/files-remote",
    "secrets": "run/ordain/files-secrets",
}
REPORTS = {
    "early": "run/ordain/files-early.json",
    "main": "run/ordain/files-main.json",
    "remote": "run/ordain/files-remote.json",
    "secrets": "run/ordain/files-secrets.json",
    "users": "run/ordain/accounts.json",
}
SYSCTL_RECORD = "run/ordain/sysctl.json"
"""The values of kernel parameters before the documents set them (`sysctl_restore`)."""


def has_traces(root: str, phase: str) -> bool:
    """Return whether an earlier run has left files to restore, or a report to replace."""
    traces = [f"{RECORDS[phase]}/placed.json", REPORTS[phase]]
    if phase == "early":
        traces.append(SYSCTL_RECORD)
    return any(_may_exist(f"{root}/{trace}") for trace in traces)


def _may_exist(path: str) -> bool:
    """Return whether the path exists, or cannot be looked at: then the whole phase runs, and says why."""
    try:
        stat(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
