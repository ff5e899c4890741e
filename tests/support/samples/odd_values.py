"""The places of values in JSON data, for tests that put odd values there."""

from __future__ import annotations

from typing import Any


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Return each map or list in ``tree`` with each of its keys."""
    pairs = list(tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ())
    return [(tree, key) for key, _ in pairs] + [place for _, child in pairs for place in places(child)]
