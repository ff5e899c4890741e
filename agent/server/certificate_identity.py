"""The names in the certificate of a machine, held against the names that it says it has.

The common name and each DNS name of a certificate is a machine-id (32 hexadecimal digits), a MAC address with hyphens
(``52-54-00-12-34-56``) or else a host name. With ``--client-ca``, a machine gets the documents for these names only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ordain.agent.delivery.source.http_source import MachineIdentity
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import facts

_MAC = lazy_pattern(r"[0-9a-f]{2}(-[0-9a-f]{2}){5,19}")


def certificate_names(certificate: Mapping[str, Any]) -> frozenset[str]:
    """Return the names in a certificate as `ssl.SSLSocket.getpeercert` returns it, in lower case.

    >>> sorted(certificate_names({"subject": ((("commonName", "Web1"),),), "subjectAltName": (("DNS", "a.example"),)}))
    ['a.example', 'web1']
    """
    subject = [value for pairs in certificate.get("subject", ()) for kind, value in pairs if kind == "commonName"]
    alternative = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    return frozenset(name.lower() for name in (*subject, *alternative))


def proven_identity(stated: MachineIdentity, names: frozenset[str]) -> MachineIdentity | None:
    """Return the part of the ``stated`` identity that the certificate names; None if it names another machine.

    It names another machine if it has a machine-id and not that of the request, or neither its machine-id nor its
    host name.
    """
    machine_ids = {name for name in names if facts.MACHINE_ID.fullmatch(name)}
    machine_id = stated.machine_id if stated.machine_id in machine_ids else ""
    hostname = stated.hostname if stated.hostname.lower() in names - machine_ids else ""
    if (stated.machine_id and machine_ids and not machine_id) or not (machine_id or hostname):
        return None
    macs = {name.replace("-", ":") for name in names if _MAC.fullmatch(name)}
    return MachineIdentity(
        machine_id=machine_id,
        hostname=hostname,
        mac=tuple(address for address in stated.mac if address in macs),
        channel=stated.channel,
    )
