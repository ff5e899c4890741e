"""Options of mounts that are not options of a file system, and those that override others."""

from __future__ import annotations

from collections.abc import Mapping

_FOR_FSTAB: Mapping[str, str] = {
    "noauto": "write `state: stopped`, and `automount: true` for a mount at the first use",
    "auto": "remove it: a mount is mounted unless its `state` says otherwise",
    "x-systemd.automount": "write `automount: true`",
    "x-systemd.idle-timeout": "write `units: {NAME.automount.d: {Automount: {TimeoutIdleSec: …}}}`",
    "x-systemd.mount-timeout": "write `timeout`",
    "x-systemd.device-timeout": "write `units: {DEVICE.device.d: {Unit: {JobRunningTimeoutSec: …}}}`",
    "x-systemd.makefs": "call systemd-makefs in a service before the mount",
    "x-systemd.growfs": "call systemd-growfs in a service after the mount",
    "x-systemd.wanted-by": "name the mount in `wants` of the other unit",
    "x-systemd.required-by": "name the mount in `requires` of the other unit",
}
"""Options that systemd-fstab-generator makes settings of (systemd.mount(5), FSTAB), and what to write instead."""
_PAIRS = (
    *(("ro", "rw"), ("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev"), ("sync", "async")),
    *(("atime", "noatime"), ("relatime", "norelatime"), ("hard", "soft"), ("acl", "noacl"), ("lock", "nolock")),
)
OPPOSITES: Mapping[str, str] = {option: other for a, b in _PAIRS for option, other in ((a, b), (b, a))}
"""For each option, the one that it overrides if it comes later (mount(8))."""
IMPLIED: Mapping[str, tuple[str, ...]] = {
    "defaults": (),
    "user": ("noexec", "nosuid", "nodev"),
    "users": ("noexec", "nosuid", "nodev"),
    "owner": ("nosuid", "nodev"),
    "group": ("nosuid", "nodev"),
}
"""Options that stand for others, "unless overridden by subsequent options" (mount(8))."""


def instead(option: str) -> str:
    """Return the remedy for an option that only systemd-fstab-generator reads, "" for any other option.

    >>> instead("noauto")[:20], instead("x-systemd.requires"), instead("ro")
    ('write `state: stoppe', 'write `units: {NAME.mount.d: {Unit: …}}`', '')
    """
    if option in _FOR_FSTAB:
        return _FOR_FSTAB[option]
    return "write `units: {NAME.mount.d: {Unit: …}}`" if option.startswith("x-systemd.") else ""
