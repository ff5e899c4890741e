"""What names, paths, addresses and amounts must look like for PID 1 to take them.

Every check raises `EncodeError` or returns nothing. Sources are named per function.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from ordain.transforms.systemd.values import EncodeError, integer, percent, signal, size, timespan, unsigned

Check = Callable[[str], object]


def matching(pattern: str, what: str, hint: str = "") -> Check:
    """A check that the whole value matches ``pattern``."""
    compiled = re.compile(pattern)

    def check(value: str) -> None:
        if not compiled.fullmatch(value):
            raise EncodeError(f"not {what}: {value!r}", hint)

    return check


def either(*checks: Check) -> Check:
    """The first of ``checks`` that takes the value; the last one says what is wrong."""

    def check(value: str) -> None:
        for one in checks[:-1]:
            try:
                one(value)
            except EncodeError:
                continue
            return
        checks[-1](value)

    return check


def one_of(*words: str) -> Check:
    """A check that the value is one of ``words``."""

    def check(value: str) -> None:
        if value not in words:
            raise EncodeError(f"not one of the values it knows: {value!r}", ", ".join(words))

    return check


def absolute_path(text: str) -> None:
    """An absolute path without ``..`` that the kernel could open (path_simplify_and_warn())."""
    if not text.startswith("/"):
        raise EncodeError(f"not an absolute path: {text!r}", "it starts with /, and is written without quotes")
    _path(text)


def relative_path(text: str) -> None:
    """A relative path without ``..``, as StateDirectory= takes it."""
    if not text or text.startswith("/"):
        raise EncodeError(f"not a relative path: {text!r}")
    _path(text)


def state_directory(text: str) -> None:
    """A relative path for StateDirectory= and its kin, without what its second pass would split or unescape."""
    relative_path(text)
    if bad := set(text) & set(":\"'\\"):
        raise EncodeError(f"a directory of a service cannot hold {min(bad)!r}: {text!r}")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if parts[:1] in ([], ["private"]):  # PID 1 ignores both (config_parse_exec_directories)
        raise EncodeError(f"no directory for a service: {text!r}", "name one of its own, such as that of the service")


def _path(text: str) -> None:
    if ".." in text.split("/"):
        raise EncodeError(f"path with '..': {text!r}", "write the path without it")
    size_ = len(text.encode(errors="replace"))
    if size_ > 4095 or any(len(part.encode(errors="replace")) > 255 for part in text.split("/")):
        raise EncodeError(f"path too long: {text[:40]!r}…")


def environment_file(text: str) -> None:
    """A path, or one with ``-`` in front: may be absent."""
    absolute_path(text.removeprefix("-"))


def working_directory(text: str) -> None:
    """A path, ``~`` for the home directory, or either with ``-`` in front: may be absent."""
    if text.removeprefix("-") != "~":
        absolute_path(text.removeprefix("-"))


def namespace_path(text: str) -> None:
    """A path with ``-`` (may be absent) or ``+`` (below RootDirectory=) in front, in that order."""
    absolute_path(text.removeprefix("-").removeprefix("+"))


def program(text: str) -> None:
    """The first word of a command line: an absolute path or a file name (config_parse_exec())."""
    if not text:
        raise EncodeError("no program", "the first word of a command is the program")
    if text[0] in "-@:+!|":
        raise EncodeError(
            f"a program cannot begin with {text[0]!r}: {text!r}",
            "there it changes how the command runs; write such a prefix in systemd's own syntax",
        )
    bad = sorted({c for c in text if c < " " or c in "\"'\\$\x7f"})
    if bad:
        raise EncodeError(
            f"a program's name cannot hold {bad[0]!r}: {text!r}", "give the program another name, by a link to it"
        )
    if "/" in text:
        absolute_path(text)
        if text.endswith(("/", "/.")):
            raise EncodeError(f"a directory is no program: {text!r}")
    elif text in (".", "..") or len(text.encode(errors="replace")) > 255 or text in (";",):
        raise EncodeError(f"not the name of a program: {text!r}")


def environment_name(text: str) -> None:
    """The name of an environment variable (env_name_is_valid())."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise EncodeError(f"not the name of an environment variable: {text!r}", "letters, digits and _")


def user(text: str) -> None:
    """A user or group by name or number (valid_user_group_name(), relaxed)."""
    bad = (
        not text
        or text in (".", "..")
        or text[0] in "-"
        or text != text.strip()
        or len(text.encode(errors="replace")) > 255
        or any(c in ":/" or not c.isprintable() for c in text)
    )
    if bad:
        raise EncodeError(f"not a user or group: {text!r}", "a name, or a number")
    if text[0].isdigit() and not (re.fullmatch("0|[1-9][0-9]{0,9}", text) and unsigned(text, 2**32 - 2) != 0xFFFF):
        raise EncodeError(f"not a user or group: {text!r}", "a name does not begin with a digit")


def condition(value: str) -> None:
    """Any text without the | and ! that change a condition."""
    if value.startswith(("|", "!")):
        raise EncodeError(
            f"begins with {value[0]!r}: {value!r}", "there it changes the condition; use systemd's own syntax"
        )


def not_prefixed(value: str) -> None:
    """Any text without the - that lets a failure pass."""
    if value.startswith("-"):
        raise EncodeError(f"begins with '-': {value!r}", "there it means that a failure is ignored")


def assignment(word: str) -> None:
    """NAME, or NAME=VALUE."""
    environment_name(word.partition("=")[0])


def bus_name(text: str) -> None:
    """A well-known D-Bus name (D-Bus specification, "Valid Names")."""
    if len(text) > 255 or not re.fullmatch(r"[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+", text):
        raise EncodeError(f"not a bus name: {text!r}", "such as org.example.Daemon")


def credential_name(text: str) -> None:
    """The name of a credential, of the characters that need no escape."""
    if len(text) > 255 or not re.fullmatch(r"[A-Za-z0-9_.@+-]+", text) or text in (".", ".."):
        raise EncodeError(f"not the name of a credential: {text!r}", "letters, digits and _.@+-")


def fd_name(text: str) -> None:
    """A file descriptor name: printable ASCII without a colon (fdname_is_valid())."""
    if not re.fullmatch(r"[ -9;-~]{1,255}", text):
        raise EncodeError(f"not a file descriptor name: {text!r}")


def interface(text: str) -> None:
    """A network interface name (ifname_valid())."""
    if not re.fullmatch(r"[!-~]{1,15}", text) or re.search(r"[:/%]", text) or text in (".", "..", "all", "default"):
        raise EncodeError(f"not a network interface: {text!r}")


def documentation(text: str) -> None:
    """A URL as documentation_url_is_valid() takes it."""
    if not re.fullmatch(r"(https?://|file:/|info:|man:)[!#-&(-\[\]-~]+", text):
        raise EncodeError(f"not a documentation URL: {text!r}", "http://, https://, file:, info: or man:")


def socket_address(text: str) -> None:
    """What ListenStream= takes (systemd.socket(5)): path, @abstract, port, ip:port, [ip]:port, vsock:cid:port."""
    if text.startswith(("/", "@")):
        if len(text.encode(errors="replace")) > 107 or text == "@":
            raise EncodeError(f"not a socket address: {text!r}", "at most 107 bytes")
        if text.startswith("/"):
            absolute_path(text)
        return
    if re.fullmatch(r"vsock(-stream|-dgram|-seqpacket)?:[0-9]*:[0-9]+", text):
        return
    host, colon, port = text.rpartition(":")
    try:
        integer(port.partition("%")[0] if host.endswith("]") else port, 1, 65535)
        if colon and host.startswith("[") and host.endswith("]"):
            ipaddress.IPv6Address(host[1:-1])
        elif colon:
            ipaddress.IPv4Address(host)
    except (ValueError, EncodeError):
        raise EncodeError(
            f"not a socket address: {text!r}",
            "write a path, a port, 127.0.0.1:80 or [::1]:80; host names cannot be used",
        ) from None


def ip_prefix(text: str) -> None:
    """What IPAddressAllow= takes: an address, one with a prefix length, or a symbol."""
    if text in ("any", "localhost", "link-local", "multicast"):
        return
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise EncodeError(f"not an IP address or network: {text!r}", "such as 10.0.0.0/8, any or localhost") from None


def cpu_set(text: str) -> None:
    """CPU indices and ranges: ``0-3 5,6``."""
    for part in re.split(r"[ ,]+", text.strip()):
        low, dash, high = part.partition("-")
        if unsigned(low, 8191) > unsigned(high if dash else low, 8191):
            raise EncodeError(f"not a range of CPUs: {part!r}")


def capability(text: str) -> None:
    """A capability by its name (capabilities(7)); PID 1 skips an unknown one in silence."""
    if text.upper() not in CAPABILITIES:
        raise EncodeError(f"not a capability: {text!r}", "such as CAP_NET_BIND_SERVICE")


CAPABILITIES = frozenset(
    "CAP_" + name
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
)


def exit_status(text: str) -> None:
    """An exit status by number or name, or a signal (systemd.exec(5), "Process Exit Codes")."""
    if re.fullmatch(r"[0-9]{1,3}", text):
        unsigned(text, 255)
    elif not re.fullmatch(r"[A-Z][A-Z0-9_]+", text) or text.startswith("SIG"):
        signal(text)


def memory(text: str) -> None:
    """A size, a percentage of the machine's memory, or infinity."""
    if text.endswith("%"):
        percent(text)
    elif text != "infinity":
        size(text)


def tasks(text: str) -> None:
    """A number of tasks, a percentage, or infinity."""
    if text.endswith("%"):
        percent(text)
    elif text != "infinity" and unsigned(text, 2**64 - 2) == 0:
        raise EncodeError("no task at all is allowed", "write a number above 0")


def cpu_quota(text: str) -> None:
    """A share of one CPU's time: 200% is two CPUs."""
    if percent(text, 0) == 0:
        raise EncodeError("no CPU time at all", 'write it as "50%"')


def weight(text: str) -> None:
    """1 to 10000."""
    integer(text, 1, 10000)


def cpu_weight(text: str) -> None:
    """1 to 10000, or idle."""
    if text != "idle":
        weight(text)


def device(text: str) -> None:
    """What DeviceAllow= takes: a device node, a subsystem's path, or a group of devices."""
    if not text.startswith(("/dev/", "/run/systemd/inaccessible/", "block-", "char-")):
        raise EncodeError(f"not a device: {text!r}", "/dev/…, char-… or block-…")


def device_rights(text: str) -> None:
    """Letters out of rwm."""
    if not re.fullmatch("[rwm]{1,3}", text):
        raise EncodeError(f"not access rights to a device: {text!r}", "r, w and m")


def rate(text: str) -> None:
    """Bytes or operations per second, in powers of 1000; or infinity."""
    if text != "infinity":
        size(text, 1000)


def bind_rule(text: str) -> None:
    """What SocketBindAllow= takes: [family:][protocol:]ports, or any."""
    match = re.fullmatch(r"(?:ipv[46]:)?(?:(?:tcp|udp):)?([0-9]+)(?:-([0-9]+))?|(?:ipv[46])?:?(?:tcp|udp)?|any", text)
    if match is None or not text:
        raise EncodeError(f"not a bind rule: {text!r}", "such as ipv4:tcp:8000-8100, tcp:80 or any")
    for port in match.groups():
        if port is not None:
            integer(port, 1, 65535)


def span(text: str) -> None:
    """A time span."""
    timespan(text)
