"""Reads the tables below data/ that are not documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ordain.transforms.catalog import prebuilt

PREPARED = ("accounts.yaml", "drop-in-directories.yaml", "main-files.yaml", "overwritten-files.yaml", "systems.yaml")
"""The tables that a compile needs, which are in prepared.json too."""


def read_table(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a table by their names."""
    text = path.read_bytes()
    rows = prebuilt.table(prebuilt.prepared(prebuilt.PATH), path.name, text) if path.name in PREPARED else None
    return parse_table(text) if rows is None else rows


def parse_table(text: bytes) -> dict[str, dict[str, Any]]:
    """Return the rows of a text. libyaml reads the largest in 25 ms, Python alone in 400 ms."""
    import yaml  # only now: an installed package has the tables of a compile in another form

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    rows: dict[str, dict[str, Any]] = yaml.load(text, Loader=loader)
    return rows
