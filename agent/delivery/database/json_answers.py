"""Answers in JSON, as CouchDB and the gateway of etcd give them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.errors import MalformedAnswer


def parse_json(text: bytes, endpoint: str) -> Any:
    """Return the JSON value that ``endpoint`` answered with. Raises `SourceError`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise SourceError(f"{endpoint}: the answer is not JSON", code=SourceFault.NOT_DOCUMENTS) from None


def parse_json_object(text: bytes, endpoint: str) -> dict[str, Any]:
    """Return the JSON object that ``endpoint`` answered with. Raises `SourceError`."""
    value = parse_json(text, endpoint)
    if not isinstance(value, dict):
        raise SourceError(f"{endpoint}: the answer is not a JSON object", code=SourceFault.NOT_DOCUMENTS)
    return value


@contextmanager
def malformed_as_source_error(location: str) -> Iterator[None]:
    """Turn the errors of code that takes an answer apart into a `SourceError` that names ``location``.

    An answer of another program than the store raises these errors: a field is missing or has another type.
    """
    try:
        yield
    except MalformedAnswer as error:
        raise SourceError(f"{location}: {error}", code=SourceFault.NOT_DOCUMENTS) from None
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"{location}: the answer does not follow the store's protocol: {error!r}"
        raise SourceError(message, code=SourceFault.NOT_DOCUMENTS) from None
