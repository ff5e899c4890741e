"""The values that the kernel takes for its parameters, by its documentation of sysctl.

Each row has a pattern of paths below /proc/sys, a pattern of values, and words for such a value; or a range of numbers
in place of the two. The first row that matches counts; the kernel alone knows the parameters without a row.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

from ordain.transforms.lazy_patterns import lazy_pattern

_NUMBER = r"(?:0x[0-9a-fA-F]+|[0-9]+)"
_SIGNED = rf"-?{_NUMBER}"
_WHOLE, _NOT_NEGATIVE = "a whole number", "a whole number, not below 0"
_PORT = r"(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"


def _numbers(most: int) -> tuple[str, str]:
    """Return the patterns for up to ``most`` numbers: the kernel leaves those alone that are not written."""
    return rf"{_NUMBER}(?:[ \t]+{_NUMBER}){{0,{most - 1}}}", f"{most} numbers with blanks between"


_TEXTS = r".*"
_RANGES = {
    "kernel/pid_max": range(301, 4194305),  # PID_MAX_LIMIT of 64 bits
    "kernel/perf_cpu_time_max_percent": range(101),
    "kernel/watchdog_thresh": range(61),
    "net/ipv4/ip_default_ttl": range(1, 256),
    "net/ipv4/ip_unprivileged_port_start": range(65536),
    "net/ipv4/tcp_syn_retries": range(1, 128),
    "vm/compaction_proactiveness": range(101),
    "vm/dirty_background_ratio": range(101),
    "vm/dirty_ratio": range(101),
    "vm/extfrag_threshold": range(1001),
    "vm/swappiness": range(201),
}
"""Parameters of one number, with the numbers that the kernel takes: extra1 and extra2 of its tables."""
_ROWS: tuple[tuple[str, str, str], ...] = (
    ("net/ipv4/ip_local_port_range", rf"{_PORT}(?:[ \t]+{_PORT})?", "two ports with a blank between"),
    (
        "net/ipv4/ip_local_reserved_ports",
        rf"{_PORT}(?:-{_PORT})?(?:,{_PORT}(?:-{_PORT})?)*",
        "ports and ranges of ports",
    ),
    ("net/ipv4/ping_group_range", *_numbers(2)),
    *((f"net/ipv4/{name}", *_numbers(3)) for name in ("tcp_rmem", "tcp_wmem", "tcp_mem", "udp_mem")),
    ("kernel/printk", *_numbers(4)),
    ("kernel/sem", *_numbers(4)),
    *((f"kernel/{name}", "[01]", "0 or 1") for name in ("dmesg_restrict", "kexec_load_disabled", "modules_disabled")),
    *((f"kernel/{name}", "[012]", "0, 1 or 2") for name in ("kptr_restrict", "randomize_va_space")),
    ("kernel/unprivileged_bpf_disabled", "[012]", "0, 1 or 2"),
    ("kernel/yama/ptrace_scope", "[0-3]", "0 to 3"),
    *((f"fs/protected_{name}", "[01]", "0 or 1") for name in ("hardlinks", "symlinks")),
    *((f"fs/protected_{name}", "[012]", "0, 1 or 2") for name in ("fifos", "regular")),
    ("fs/suid_dumpable", "[012]", "0, 1 or 2"),
    ("vm/overcommit_memory", "[012]", "0, 1 or 2"),
    ("vm/panic_on_oom", "[012]", "0, 1 or 2"),
    ("vm/lowmem_reserve_ratio", rf"{_NUMBER}(?:[ \t]+{_NUMBER})*", "numbers with blanks between"),
    ("vm/numa_zonelist_order", _TEXTS, ""),
    ("vm/*", _NUMBER, _NOT_NEGATIVE),
    ("fs/file-max", _NUMBER, _NOT_NEGATIVE),
    ("fs/nr_open", _NUMBER, _NOT_NEGATIVE),
    ("fs/aio-max-nr", _NUMBER, _NOT_NEGATIVE),
    ("fs/inotify/*", _NUMBER, _NOT_NEGATIVE),
    *((f"kernel/{name}", _NUMBER, _NOT_NEGATIVE) for name in ("threads-max", "sysrq", "shmmax", "shmall")),
    ("kernel/panic", _SIGNED, _WHOLE),
    *(
        (f"net/core/{name}", _TEXTS, "")
        for name in ("default_qdisc", "rps_default_mask", "flow_limit_cpu_bitmap", "*_key")
    ),
    ("net/core/*", _SIGNED, _WHOLE),
    *((f"net/ipv4/tcp_{name}", _TEXTS, "") for name in ("*congestion_control", "fastopen_key", "available_*")),
    ("net/ipv4/tcp_*", _SIGNED, _WHOLE),
    ("net/ipv4/ip_forward", _SIGNED, _WHOLE),
    ("net/ipv4/conf/*", _SIGNED, _WHOLE),
    ("net/ipv6/conf/*/stable_secret", _TEXTS, ""),
    ("net/ipv6/conf/*", _SIGNED, _WHOLE),
)
_COMPILED = [
    (lazy_pattern(fnmatch.translate(path)), lazy_pattern(value, re.DOTALL), words) for path, value, words in _ROWS
]


@lru_cache(maxsize=4096)
def wanted_value(path: str, value: str) -> str:
    """Return the kind of value that the parameter at ``path`` takes, ``""`` if it takes ``value`` or nobody knows.

    >>> wanted_value("net/ipv4/ip_local_port_range", "9 x"), wanted_value("kernel/core_pattern", "|/bin/x %p")
    ('two ports with a blank between', '')
    >>> wanted_value("vm/swappiness", "201"), wanted_value("vm/swappiness", "0x10")
    ('0 to 200', '')
    """
    if numbers := _RANGES.get(path):
        taken = re.fullmatch(_SIGNED, value) and int(value, 0 if "0x" in value else 10) in numbers
        return "" if taken else f"{numbers.start} to {numbers.stop - 1}"
    row = next((row for row in _COMPILED if row[0].match(path)), None)
    return "" if row is None or row[1].fullmatch(value) else row[2]
