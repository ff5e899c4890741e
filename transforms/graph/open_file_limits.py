"""Limits of open files that the kernel does not give, so that PID 1 would start the service with fewer.

This judges by the documents, before an apply; `host_differences.open_files` by the kernel of the machine, after it.
"""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms.decimal_numbers import clamped
from ordain.transforms.errors import Problem, warning
from ordain.transforms.model import Branch, Facts, Leaf
from ordain.transforms.systemd.sysctl_files import parameter_path

PARAMETER = "fs/nr_open"
OF_KERNEL = 1048576
"""The value of fs.nr_open with which Linux starts (fs/file.c)."""
OF_SYSTEMD = 1073741816
"""The value that PID 1 sets on most systems (bump_file_max_and_nr_open() of systemd)."""
NOT_RAISED = frozenset({"debian", "ubuntu"})
"""Systems whose systemd is built without that (bump-proc-sys-fs-nr-open=false)."""


def open_file_limits(tree: Branch, facts: Facts) -> Iterator[Problem]:
    """Warn of each service that may have more open files than fs.nr_open of the system, or of the documents, allows."""
    most = OF_KERNEL if NOT_RAISED & {facts.id, *facts.like} else OF_SYSTEMD
    for name, leaf in tree.branch("sysctl").leaves():
        if parameter_path(name) == PARAMETER and str(leaf.value).isdecimal():
            most = clamped(str(leaf.value))
    for name, service in tree.branch("services").branches():
        for limit in _limits(service):
            if str(limit.value).isdecimal() and clamped(str(limit.value)) > most:
                what = f"the kernel allows {most} open files (fs.nr_open), and a service that asks for more gets fewer"
                hint = f"set `sysctl: {{fs.nr_open: {limit.value}}}`, or write a smaller number"
                yield warning(f"services/{name}", limit.where, what, hint, "Doubtful")


def _limits(service: Branch) -> Iterator[Leaf]:
    """Yield the limits of a service and of its instances."""
    for branch in (service, *(instance for _, instance in service.branch("instances").branches())):
        if leaf := branch.branch("limits").leaf("open-files"):
            yield leaf
