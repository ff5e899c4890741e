"""``health`` of a service → `HealthCheck`; pure."""

from __future__ import annotations

from ordain.transforms.model import Branch, HealthCheck, Probe, Value
from ordain.transforms.systemd.quoting import CREDENTIALS, INSTANCE
from ordain.transforms.systemd.values import timespan

WITHIN_USEC = 30_000_000
"""How long a service has to answer when the documents do not say."""


def health(service: Branch, unit: str) -> HealthCheck | None:
    """How to see that ``unit`` works; None where ``service`` does not say."""
    branch = service.branch("health")
    for probe in Probe:
        value = branch.value(probe)
        if value is not None:
            return HealthCheck(
                probe=probe,
                target=tuple(_meant(word, unit) for word in _words(value)),
                within_usec=timespan(str(branch.value("within", f"{WITHIN_USEC}us"))),
                settle_usec=timespan(str(branch.value("settle", "0"))),
            )
    return None


def _words(value: Value) -> tuple[Value, ...]:
    """One word, or those of a command, which is a tuple of one argument vector."""
    if not isinstance(value, tuple):
        return (value,)
    vector = value[0]
    return vector if isinstance(vector, tuple) else value


def _meant(word: Value, unit: str) -> str:
    """What templates leave for %i and %d; the credentials of a running service are where its manager put them."""
    instance = unit.partition("@")[2].rpartition(".")[0]
    return str(word).replace(INSTANCE, instance).replace(CREDENTIALS, f"/run/credentials/{unit}")
