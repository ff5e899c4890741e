"""`ordainctl serve` says what the network can read for want of an option."""

from __future__ import annotations

from argparse import Namespace

import pytest

from ordain.agent.cli.boot.serve import _warnings

TLS = {"tls_cert": "a.pem", "tls_key": "a.key"}


@pytest.mark.parametrize(
    ("given", "host", "wanted"),
    [
        ({}, "", []),
        ({"store": "etcd+http://a:1"}, "", ["who reaches this relay"]),
        ({"store": "etcd+http://a:1", **TLS}, "192.0.2.1", ["who reaches this relay"]),
        ({"store": "etcd+http://a:1", **TLS, "client_ca": "ca.pem"}, "", []),
        ({"store": "etcd+http://a:1"}, "127.0.0.1", []),
        ({"tokens": "tokens"}, "", ["tokens travel in the clear"]),
        ({"tokens": "tokens", **TLS}, "", []),
    ],
)
def test_a_server_that_others_reach_warns_of_what_they_can_read(
    given: dict[str, str], host: str, wanted: list[str]
) -> None:
    options = dict.fromkeys(("store", "tokens", "tls_cert", "tls_key", "client_ca"), "") | given
    warnings = list(_warnings(Namespace(**options), host))
    assert [text for text, begin in zip(warnings, wanted, strict=True) if text.startswith(begin)] == warnings
