"""The `HealthCheck` of a service, from its key ``health``."""

from __future__ import annotations

from ordain.transforms.model import Branch, HealthCheck, Probe, Value
from ordain.transforms.systemd.quoting import CREDENTIALS, INSTANCE
from ordain.transforms.systemd.values import timespan

WITHIN_USEC = 30_000_000
"""The time in which a service must answer if the documents do not set one."""


def health_check(service: Branch, unit: str) -> HealthCheck | None:
    """Return the check that ``service`` asks for on ``unit``, None if it asks for none."""
    branch = service.branch("health")
    for probe in Probe:
        value = branch.value(probe)
        if value is not None:
            return HealthCheck(
                probe=probe,
                target=tuple(_expanded(word, unit) for word in _words(value)),
                within_usec=timespan(str(branch.value("within", f"{WITHIN_USEC}us"))),
                settle_usec=timespan(str(branch.value("settle", "0"))),
            )
    return None


def _words(value: Value) -> tuple[Value, ...]:
    """Return the words of a target: one, or those of a command, which is a tuple of one argument vector."""
    if not isinstance(value, tuple):
        return (value,)
    vector = value[0]
    return vector if isinstance(vector, tuple) else value


def _expanded(word: Value, unit: str) -> str:
    """Return ``word`` with the values of what templates leave as %i and %d.

    The service manager puts the credentials of a running service in /run/credentials (systemd.exec(5)).
    """
    instance = unit.partition("@")[2].rpartition(".")[0]
    return str(word).replace(INSTANCE, instance).replace(CREDENTIALS, f"/run/credentials/{unit}")
