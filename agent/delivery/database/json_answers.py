"""Answers in JSON, as CouchDB and the gateway of etcd give them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.errors import MalformedAnswer
from ordain.transforms.lazy_patterns import lazy_pattern

MAX_VALUES = 1_000_000
"""The most lists, maps and members of one answer, which take up to 300 bytes of memory each."""
_TOO_MANY = lazy_pattern(
    rb'(?:(?:[^",\[{]++|"(?:[^"\\]++|\\.?)*+"?)*+[,\[{]){%d}+' % (MAX_VALUES + 1), re.DOTALL
)  # text and whole strings, then a character that begins a list, a map or a member


def parse_json(text: bytes, endpoint: str) -> Any:
    """Return the JSON value that ``endpoint`` answered with. Raises `SourceError`, also for too many values."""
    if _TOO_MANY.match(text):
        message = f"{endpoint}: the answer has more than {MAX_VALUES:,} values"
        raise SourceError(message, code=SourceFault.NOT_DOCUMENTS)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise SourceError(f"{endpoint}: the answer is not JSON", code=SourceFault.NOT_DOCUMENTS) from None


def parse_json_object(text: bytes, endpoint: str) -> dict[str, Any]:
    """Return the JSON object that ``endpoint`` answered with. Raises `SourceError`."""
    return require_object(parse_json(text, endpoint), endpoint)


def require_object(value: Any, endpoint: str) -> dict[str, Any]:
    """Return the JSON value that ``endpoint`` answered with, if it is an object. Raises `SourceError`."""
    if not isinstance(value, dict):
        raise SourceError(f"{endpoint}: the answer is not a JSON object", code=SourceFault.NOT_DOCUMENTS)
    return value


_SHAPE_ERRORS = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""The errors of code that takes data apart which has other fields or types than it expects."""
_MAX_REASON = 200


@contextmanager
def as_malformed(what: str) -> Iterator[None]:
    """Turn the errors of code that reads ``what`` from an answer into `MalformedAnswer`; also usable as a decorator."""
    try:
        yield
    except MalformedAnswer:
        raise
    except _SHAPE_ERRORS as error:
        raise MalformedAnswer(f"cannot read {what}: {type(error).__name__}: {error}"[:_MAX_REASON]) from error


@contextmanager
def malformed_as_source_error(location: str) -> Iterator[None]:
    """Turn the errors of code that takes an answer apart into a `SourceError` that names ``location``.

    An answer of another program than the store raises these errors: a field is missing or has another type.
    """
    try:
        yield
    except MalformedAnswer as error:
        raise SourceError(f"{location}: {error}", code=SourceFault.NOT_DOCUMENTS) from None
    except _SHAPE_ERRORS as error:
        reason = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        message = f"{location}: the answer does not follow the store's protocol: {reason}"
        raise SourceError(message, code=SourceFault.NOT_DOCUMENTS) from None
