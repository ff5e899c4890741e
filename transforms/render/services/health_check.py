"""The `HealthCheck` of a service, from its key ``health``, and the faults of that key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, HealthCheck, Leaf, Probe, Value
from ordain.transforms.systemd import value_checks
from ordain.transforms.systemd.checks.doubtful_values import Doubt, of_span
from ordain.transforms.systemd.quoting import CREDENTIALS, INSTANCE
from ordain.transforms.systemd.values import EncodeError, timespan

WITHIN_USEC = 30_000_000
"""The time in which a service must answer if the documents do not set one."""


_LONGEST_USEC = 900_000_000
"""The longest time that `ordain.agent.apply.jobs.health_probe` takes for a part of a check."""
_URL = lazy_pattern(r"https?://([^/?#\s]*@)?(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^/?#:@\[\]\s]+)(:[0-9]{1,5})?([/?#]\S*)?")
_ADDRESS = lazy_pattern(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^/:\s\[\]]*):([0-9]{1,5})|([0-9]{1,5})")


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[3] or match[4]) < 1 << 16


def _is_url(text: str) -> bool:
    match = _URL.fullmatch(text)
    return match is not None and (not match[4] or 0 < int(match[4][1:]) < 1 << 16)


def _is_bus_name(text: str) -> bool:
    try:
        value_checks.bus_name(text)
    except EncodeError:
        return False
    return True


_TARGETS: Mapping[Probe, tuple[Callable[[str], object], str, str]] = {
    Probe.TCP: (_is_address, "the address of a check", "write HOST:PORT, such as 127.0.0.1:80 or [::1]:80"),
    Probe.HTTP: (_is_url, "the URL of a check", "write http://ADDRESS:PORT/ or https://…"),
    Probe.BUS_NAME: (_is_bus_name, "a bus name", "such as org.example.Daemon"),
}
"""For each probe: a check of its target, the noun for a good one, and the hint."""


def faults_of_targets(health: Branch) -> Iterator[tuple[Leaf, str, str]]:
    """Yield each target that no check could ever reach: its leaf, what is wrong, and a hint."""
    for probe, (is_good, what, hint) in _TARGETS.items():
        leaf = health.leaf(probe)
        if leaf and not is_good(str(leaf.value).replace(INSTANCE, "1").replace(CREDENTIALS, "/run/x")):
            yield leaf, f"{leaf.value!r} is not {what}", hint


def doubts_of_health(service: Branch) -> Iterator[tuple[Leaf, Doubt]]:
    """Yield the doubts about a check that nobody makes, or that cannot see what the service shows itself only."""
    health, box = service.branch("health"), service.branch("sandbox")
    if not health:
        return
    if service.value("type") == "oneshot" and service.value("remain") is not True:
        what = "a oneshot has ended by the time at which its health is checked, so that nobody checks it"
        yield health.here, (what, "set `remain: true`, or remove health: the exit status says whether it has worked")
    alone = box.value("network") is False and "listen" not in service
    for probe in (Probe.TCP, Probe.HTTP):
        if alone and (leaf := health.leaf(probe)):
            what = (
                f"with `network: false`, the service has a network of its own, in which nobody can reach {leaf.value}"
            )
            yield leaf, (what, "remove one of them, or check a Unix socket")
    private = box.value("level") in ("standard", "strict") and "PrivateTmp" not in service.branch("systemd").branch(
        "Service"
    )
    unix = health.leaf(Probe.UNIX)
    if private and unix and "listen" not in service and str(unix.value).startswith(("/tmp/", "/var/tmp/")):
        what = f"the sandbox gives the service a /tmp of its own, so that the check does not see {unix.value}"
        yield unix, (what, "put the socket into a directory below /run (`directories: {runtime: …}`)")


def doubts_of_spans(service: Branch) -> Iterator[tuple[Leaf, Doubt]]:
    """Yield the doubts about the times of ``health`` and ``on-source-loss``, which no unit file holds."""
    for key, leaf in service.branch("health").leaves():
        if key in ("within", "settle"):
            doubt = of_span(key, str(leaf.value))
            if not doubt[0] and timespan(str(leaf.value)) > _LONGEST_USEC:
                longest = f"{_LONGEST_USEC // 60_000_000}min"
                doubt = (f"{key} is cut to {longest}, so that no check keeps an apply waiting", f"write {longest}")
            yield leaf, doubt
    if stop_after := service.branch("on-source-loss").leaf("stop-after"):
        yield stop_after, of_span("stop-after", str(stop_after.value))
        if not timespan(str(stop_after.value)):
            yield stop_after, (f"stop-after {stop_after.value} is never", "write `on-source-loss: keep`, or a time")


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
