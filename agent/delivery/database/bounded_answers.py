"""Answers of HTTP whose heads, chunk lines and trailers are bounded; the reader of a body bounds that itself.

aiohttp keeps all headers of an answer, however many there are, and reads one interim answer (1xx) after the other: a
server could fill the memory within the time that it has for the head, 16 GB a minute, or take a processor for it.
"""

from __future__ import annotations

from typing import Any

from aiohttp import ClientError
from aiohttp.client_proto import ResponseHandler

WITHOUT_BODY_MAX = 1 << 20
"""The most bytes in a row that are neither a body nor the end of a head; asyncio hands over 256 KiB at once."""


class BoundedAnswer(ResponseHandler):
    """The protocol of one connection of aiohttp, which sends one request.

    A server that sends more than `WITHOUT_BODY_MAX` bytes without a byte of a body loses the connection.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._body: Any = None
        self._body_bytes = 0
        self._without_body = 0

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take the head of an answer, with its body, from the parser."""
        message, body = data
        if message.code >= 200:
            self._body, self._without_body = body, 0
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the server."""
        self._without_body += len(data)
        super().data_received(data)
        body_bytes = getattr(self._body, "total_bytes", 0)
        if body_bytes != self._body_bytes:
            self._body_bytes, self._without_body = body_bytes, 0
        if self._without_body > WITHOUT_BODY_MAX and self.transport is not None:
            error = ClientError(f"the answer has more than {WITHOUT_BODY_MAX:,} bytes of headers or trailers")
            if self._body is not None:
                self._body.set_exception(error)
            self.set_exception(error)
            self.transport.abort()
