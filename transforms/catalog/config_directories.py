"""The kind of a configuration directory: one where a service reads every name with a suffix, or only its main files.

data/main-files.yaml ──directory▶ names that are read there     (other directories: data/drop-in-directories.yaml)
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from ordain.transforms.catalog.data_tables import read_table

TABLE = Path(__file__).parents[1] / "data" / "main-files.yaml"


def main_files(directory: str) -> tuple[str, ...] | None:
    """Return the names, as of a shell, of the files that a service reads by itself in ``directory``.

    None stands for a directory of drop-ins, or one that nobody has described.

    >>> main_files("/etc/haproxy/"), main_files("/etc/haproxy/conf.d/")
    (('haproxy.cfg',), None)
    """
    return _rows().get(directory.rstrip("/"))


def is_read(name: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a file called ``name`` is one of those that ``patterns`` describe."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def takes_drop_ins(directory: str) -> bool:
    """Return whether a service reads any file with the right suffix in ``directory``, "" for none.

    That is taken for granted of a directory that nobody has described.
    """
    patterns = main_files(directory)
    return bool(directory) and (patterns is None or any(pattern.startswith("*") for pattern in patterns))


@cache
def _rows() -> Mapping[str, tuple[str, ...]]:
    return {directory: tuple(names) for directory, names in read_table(TABLE).items()}
