"""The place of a setting in the documents: that of the key that makes it, else that of the item."""

from __future__ import annotations

from collections.abc import Callable

from ordain.transforms.errors import Where

PlaceOf = Callable[[str], Where]
"""Returns the place of a pointer, without a file if the documents have no such key."""


def place_of_key(item: str, keys: tuple[str, ...], place_of: PlaceOf) -> Where:
    """Return the place of the first of ``keys``, pointers below ``item``, that the documents have, else of the item."""
    places = (place_of(f"{item}/{key}") for key in keys)
    return next((where for where in places if where.path), place_of(item))
