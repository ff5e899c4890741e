"""Units that other generators than Ordain's have made for this boot, and the files from which they make units.

    root/run/systemd/generator ──is_ours──▶ the unit files of other generators
    /etc/containers/systemd/web.container ──unit_made_from──▶ web.service
                                          ──is_read_by_generators──▶ an apply that places it reloads PID 1 again

A generator runs at boot and at each reload of PID 1 (systemd.generator(7)), so that none of its units is in a directory
that outlives a boot. Source of the names: podman-systemd.unit(5), systemd-sysv-generator(8).
"""

from __future__ import annotations

import os
import re

from ordain.transforms.lazy_patterns import lazy_pattern

DIRECTORIES = ("run/systemd/generator", "run/systemd/generator.late")
"""The directories of generators with unit files; the early one has masks and those that replace installed ones."""
OURS = b"# Made by Ordain"
"""The begin of each unit file that Ordain's generator places (`render.cause_comments.MADE_BY`)."""
QUADLETS = {
    "container": "",
    "kube": "",
    "volume": "-volume",
    "network": "-network",
    "pod": "-pod",
    "image": "-image",
    "build": "-build",
}
"""The suffixes of quadlets, and what podman's generator adds to the name of the service."""
_QUADLET_DIRECTORIES = ("/etc/containers/systemd/", "/run/containers/systemd/", "/usr/share/containers/systemd/")
_SCRIPT_DIRECTORY = "/etc/init.d/"
_READ_BY_GENERATORS = (
    *(*_QUADLET_DIRECTORIES, _SCRIPT_DIRECTORY),
    *("/etc/crypttab", "/etc/fstab", "/etc/integritytab", "/etc/veritytab", "/etc/rc.local"),
)
_SERVICE_NAME = lazy_pattern(r"^ServiceName[ \t]*=[ \t]*(\S+)[ \t]*$", re.MULTILINE)


def is_ours(path: str) -> bool:
    """Return whether a unit file in the directory of a generator is Ordain's; also one that cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- hot: pathlib triples it
            return file.read(len(OURS)) == OURS
    except OSError:
        return True


def is_read_by_generators(path: str) -> bool:
    """Return whether a generator makes units from the file ``path``, so that a change needs a reload of PID 1."""
    return path.startswith(_READ_BY_GENERATORS)


def unit_made_from(path: str, content: str) -> str:
    """Return the unit that a generator makes from the file ``path``, ``""`` if none is known to make one.

    >>> unit_made_from("/etc/containers/systemd/data.volume", ""), unit_made_from("/etc/hosts", "")
    ('data-volume.service', '')
    """
    if path.startswith(_SCRIPT_DIRECTORY) and "/" not in (name := path[len(_SCRIPT_DIRECTORY) :]):
        return f"{name.removesuffix('.sh')}.service"
    stem, _, suffix = os.path.basename(path).rpartition(".")  # noqa: PTH119 -- of another root
    if path.startswith(_QUADLET_DIRECTORIES) and stem and suffix in QUADLETS:
        named = _SERVICE_NAME.findall(content)
        return f"{named[-1] if named else stem + QUADLETS[suffix]}.service"
    return ""
