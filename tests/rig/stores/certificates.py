"""A certificate authority for tests, and certificates that are valid, expired, or for another host."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rig.stores.store_servers import TlsFiles

DAY = datetime.timedelta(days=1)


class Authority:
    """An authority that issues certificates into ``directory``."""

    def __init__(self, directory: Path, name: str = "test") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.ca = directory / f"{name}-ca.pem"
        basic = x509.BasicConstraints(ca=True, path_length=None)
        now = datetime.datetime.now(datetime.UTC)
        unsigned = self._builder(self._name, self._key, now + DAY).add_extension(basic, critical=True)
        self.ca.write_bytes(unsigned.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, host: str = "127.0.0.1", expired: bool = False) -> TlsFiles:
        """Issue a server's certificate for ``host``, an address or a name."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        try:
            subject_host: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            subject_host = x509.DNSName(host)
        built = self._builder(subject, key, now - DAY if expired else now + DAY)
        signed = built.add_extension(x509.SubjectAlternativeName([subject_host]), critical=False).sign(
            self._key, hashes.SHA256()
        )
        files = TlsFiles(ca=self.ca, cert=self._directory / f"{name}.pem", key=self._directory / f"{name}.key")
        files.cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime.datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - 10 * DAY)
            .not_valid_after(until)
        )
