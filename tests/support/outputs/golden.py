"""Expected texts in files, rewritten by ``pytest --update``."""

from __future__ import annotations

from pathlib import Path


def compare(path: Path, text: str, update: bool) -> None:
    """Assert that the file holds ``text``; rewrite it instead when pytest was called with ``--update``."""
    if update:
        path.unlink(missing_ok=True)
        if text:
            path.write_text(text, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == expected
