"""An HTTP server of this process, on a port of its own, for as long as a test needs it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class QuietHandler(http.server.BaseHTTPRequestHandler):
    """A handler of requests that writes no log; its subclasses answer."""

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


@contextmanager
def serving(handler: type[QuietHandler]) -> Iterator[int]:
    """Answer requests with ``handler``; yield the port on 127.0.0.1."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
