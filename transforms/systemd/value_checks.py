"""Checks of names, paths, addresses and amounts: PID 1 ignores a setting whose value fails them.

Every check raises `EncodeError` or returns nothing. The docstrings name the sources of the rules.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError, error_number, integer, percent, signal, size, unsigned

Check = Callable[[str], object]


def matching(pattern: str, what: str, hint: str = "") -> Check:
    """Return a check that the whole value matches ``pattern``; ``what`` names such a value, with its article."""
    compiled = lazy_pattern(pattern)

    def check(value: str) -> None:
        if not compiled.fullmatch(value):
            raise EncodeError(f"not {what}: {value!r}", hint)

    return check


def either(*checks: Check) -> Check:
    """Return a check that one of ``checks`` accepts the value; the error is that of the last one."""

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
    """Return a check that the value is one of ``words``."""

    def check(value: str) -> None:
        if value not in words:
            raise EncodeError(f"unknown value: {value!r}", f"known values: {', '.join(words)}")

    return check


def absolute_path(text: str) -> None:
    """Check an absolute path without ``..`` that the kernel could open (path_simplify_and_warn())."""
    if not text.startswith("/"):
        raise EncodeError(f"not an absolute path: {text!r}", "begin it with /, without quotes")
    _path(text)


def relative_path(text: str) -> None:
    """Check a relative path without ``..``."""
    if not text or text.startswith("/"):
        raise EncodeError(f"not a relative path: {text!r}", "write it without a leading /")
    _path(text)


def state_directory(text: str) -> None:
    """Check a relative path for StateDirectory= and its kin, which systemd splits and unescapes a second time."""
    relative_path(text)
    if bad := set(text) & set(":\"'\\"):
        raise EncodeError(f"a directory of a service cannot hold {min(bad)!r}: {text!r}")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if parts[:1] in ([], ["private"]):  # PID 1 ignores both (config_parse_exec_directories)
        raise EncodeError(
            f"not a directory of a service: {text!r}", "use a name of its own, such as the name of the service"
        )


def named_directory(text: str) -> None:
    """Check a word of StateDirectory= and its kin in systemd's own syntax: NAME, NAME:LINK or NAME:LINK:FLAGS."""
    for part in text.split(":")[:2]:
        if part:
            state_directory(part)


def bind_source(text: str) -> None:
    """Check the first part of BindPaths=: an absolute path, which may have ``-`` in front: it may be missing."""
    absolute_path(text.removeprefix("-"))


def mount_image(text: str) -> None:
    """Check a word of MountImages=: an image and the directory for it, which mount options may follow."""
    source, _, rest = text.partition(":")
    if not rest:
        raise EncodeError(f"an image without a directory: {text!r}", "write IMAGE:DIRECTORY")
    for path in (source.removeprefix("-"), rest.partition(":")[0]):
        if "%" not in path:
            absolute_path(path)


def extension_image(text: str) -> None:
    """Check a word of ExtensionImages=: an image, which mount options may follow."""
    path = text.partition(":")[0].removeprefix("-")
    if "%" not in path:
        absolute_path(path)


def _path(text: str) -> None:
    if ".." in text.split("/"):
        raise EncodeError(f"path with '..': {text!r}", "write the path without ..")
    size_ = len(text.encode(errors="replace"))
    if size_ > 4095 or any(len(part.encode(errors="replace")) > 255 for part in text.split("/")):
        raise EncodeError(f"path too long: {text[:40]!r}…", "use at most 4095 bytes, 255 between two slashes")


def environment_file(text: str) -> None:
    """Check an absolute path, which may have ``-`` in front: the file may be missing."""
    absolute_path(text.removeprefix("-"))


def working_directory(text: str) -> None:
    """Check an absolute path or ``~`` for the home directory; either may have ``-`` in front: it may be missing."""
    if text.removeprefix("-") != "~":
        absolute_path(text.removeprefix("-"))


def namespace_path(text: str) -> None:
    """Check an absolute path, which may have ``-`` (may be missing) and ``+`` (below RootDirectory=) in front."""
    absolute_path(text.removeprefix("-").removeprefix("+"))


def program(text: str) -> None:
    """Check the first word of a command line: an absolute path or a file name (config_parse_exec())."""
    if not text:
        raise EncodeError("command without a program", "write the program as the first word")
    if text[0] in "-@:+!|":
        raise EncodeError(
            f"the name of a program cannot begin with {text[0]!r}: {text!r}",
            "to systemd, it changes how the command runs; if you want that, write the command in systemd's own syntax",
        )
    bad = sorted({c for c in text if c < " " or c in "\"'\\$\x7f"})
    if bad:
        raise EncodeError(
            f"the name of a program cannot hold {bad[0]!r}: {text!r}", "make a symbolic link with another name"
        )
    if "/" in text:
        absolute_path(text)
        if text.endswith(("/", "/.")):
            raise EncodeError(f"a directory is not a program: {text!r}", "write the path of the program")
    elif text in (".", "..") or len(text.encode(errors="replace")) > 255 or text in (";",):
        raise EncodeError(f"not the name of a program: {text!r}")


def environment_name(text: str) -> None:
    """Check the name of an environment variable (env_name_is_valid())."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise EncodeError(f"not the name of an environment variable: {text!r}", "use letters, digits and _")


def user(text: str) -> None:
    """Check a user or group by name or number (valid_user_group_name(), relaxed)."""
    bad = (
        not text
        or text in (".", "..")
        or text[0] in "-"
        or text != text.strip()
        or len(text.encode(errors="replace")) > 255
        or any(c in ":/" or not c.isprintable() for c in text)
    )
    if bad:
        raise EncodeError(f"not a user or group: {text!r}", "use a name or a number")
    if text[0].isdigit() and not (re.fullmatch("0|[1-9][0-9]{0,9}", text) and unsigned(text, 2**32 - 2) != 0xFFFF):
        raise EncodeError(f"not a user or group: {text!r}", "a name does not begin with a digit")


def condition(value: str) -> None:
    """Check that a condition does not begin with | or !, which change its meaning."""
    if value.startswith(("|", "!")):
        raise EncodeError(
            f"begins with {value[0]!r}: {value!r}",
            "to systemd, it changes the condition; if you want that, use systemd's own syntax",
        )


def not_prefixed(value: str) -> None:
    """Check that a value does not begin with -, which ignores failures."""
    if value.startswith("-"):
        raise EncodeError(
            f"begins with '-': {value!r}",
            "to systemd, it means that a failure is ignored; if you want that, use systemd's own syntax",
        )


def assignment(word: str) -> None:
    """Check a word NAME or NAME=VALUE."""
    environment_name(word.partition("=")[0])


def bus_name(text: str) -> None:
    """Check a well-known D-Bus name (D-Bus specification, "Valid Names")."""
    if len(text) > 255 or not re.fullmatch(r"[A-Za-z_-][A-Za-z0-9_-]*(\.[A-Za-z_-][A-Za-z0-9_-]*)+", text):
        raise EncodeError(f"not a bus name: {text!r}", "such as org.example.Daemon")


def credential_name(text: str) -> None:
    """Check the name of a credential; only characters that need no escape are allowed."""
    if len(text) > 255 or not re.fullmatch(r"[A-Za-z0-9_.@+-]+", text) or text in (".", ".."):
        raise EncodeError(f"not the name of a credential: {text!r}", "use letters, digits and _.@+-")


def any_credential_name(text: str) -> None:
    """Check the name of a credential as systemd does (credential_name_valid())."""
    if "%" not in text and (not re.fullmatch(r"[ -.0-9;-~]{1,255}", text) or text in (".", "..")):
        raise EncodeError(f"not the name of a credential: {text!r}", "use letters, digits and _.@+-")


def fd_name(text: str) -> None:
    """Check a file descriptor name: printable ASCII without a colon (fdname_is_valid())."""
    if not re.fullmatch(r"[ -9;-~]{1,255}", text):
        raise EncodeError(f"not a file descriptor name: {text!r}", "use printable ASCII without a colon")


def interface(text: str) -> None:
    """Check the name of a network interface (ifname_valid())."""
    if not re.fullmatch(r"[!-~]{1,15}", text) or re.search(r"[:/%]", text) or text in (".", "..", "all", "default"):
        raise EncodeError(
            f"not the name of a network interface: {text!r}", "use at most 15 characters without : / and %"
        )


def documentation(text: str) -> None:
    """Check a URL for Documentation= (documentation_url_is_valid())."""
    if not re.fullmatch(r"(https?://|file:/|info:|man:)[!#-&(-\[\]-~]+", text):
        raise EncodeError(f"not a documentation URL: {text!r}", "begin it with http://, https://, file:, info: or man:")


def socket_address(text: str) -> None:
    """Check an address for ListenStream=: path, @abstract, port, ip:port or vsock:cid:port (systemd.socket(5))."""
    if text.startswith(("/", "@")):
        if len(text.encode(errors="replace")) > 107 or text == "@":
            raise EncodeError(f"not a socket address: {text!r}", "use at most 107 bytes")
        if text.startswith("/"):
            absolute_path(text)
        return
    if re.fullmatch(r"vsock(-stream|-dgram|-seqpacket)?:[0-9]*:[0-9]+", text):
        return
    host, colon, port = text.rpartition(":")
    if "%" in host:
        # PID 1 logs "Failed to parse address value …, ignoring" and listens on the other addresses only.
        right = f"{host.partition('%')[0]}]:{port}%{host.partition('%')[2].rstrip(']')}"
        raise EncodeError(f"not a socket address: {text!r}", f"write the interface at the end: {right}")
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


def unix_socket_address(text: str) -> None:
    """Check an address for ListenSequentialPacket=; PID 1 ignores any other than a path or @abstract."""
    if not text.startswith(("/", "@")):
        raise EncodeError(f"not the address of a Unix socket: {text!r}", "write a path, or @ and a name")
    socket_address(text)


def ip_prefix(text: str) -> None:
    """Check a value of IPAddressAllow=: an address, a network, or a symbol (systemd.resource-control(5))."""
    if text in ("any", "localhost", "link-local", "multicast"):
        return
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise EncodeError(f"not an IP address or network: {text!r}", "such as 10.0.0.0/8, any or localhost") from None


def cpu_set(text: str) -> None:
    """Check CPU indices and ranges: ``0-3 5,6``."""
    for part in re.split(r"[ ,]+", text.strip()):
        low, dash, high = part.partition("-")
        if unsigned(low, 8191) > unsigned(high if dash else low, 8191):
            raise EncodeError(f"not a range of CPUs: {part!r}", "write the lower index first")


def capability(text: str) -> None:
    """Check the name of a capability (capabilities(7)); PID 1 skips an unknown one without a message."""
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


EXIT_STATUSES = frozenset(
    """
    SUCCESS FAILURE INVALIDARGUMENT NOTIMPLEMENTED NOPERMISSION NOTINSTALLED NOTCONFIGURED NOTRUNNING USAGE DATAERR
    NOINPUT NOUSER NOHOST UNAVAILABLE SOFTWARE OSERR OSFILE CANTCREAT IOERR TEMPFAIL PROTOCOL NOPERM CONFIG CHDIR NICE
    FDS EXEC MEMORY LIMITS OOM_ADJUST SIGNAL_MASK STDIN STDOUT CHROOT IOPRIO TIMERSLACK SECUREBITS SETSCHEDULER
    CPUAFFINITY GROUP USER CAPABILITIES CGROUP SETSID CONFIRM STDERR PAM NETWORK NAMESPACE NO_NEW_PRIVILEGES SECCOMP
    SELINUX_CONTEXT PERSONALITY APPARMOR ADDRESS_FAMILIES RUNTIME_DIRECTORY CHOWN SMACK_PROCESS_LABEL KEYRING
    STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY CONFIGURATION_DIRECTORY NUMA_POLICY CREDENTIALS BPF KSM EXCEPTION
    """.split()
)
"""The names that ``systemd-analyze exit-status`` prints."""


def exit_status(text: str) -> None:
    """Check an exit status by number or name, or a signal (systemd.exec(5), "Process Exit Codes")."""
    if re.fullmatch(r"[0-9]{1,3}", text):
        unsigned(text, 255)
    elif text not in EXIT_STATUSES:
        signal(text)


def memory(text: str) -> None:
    """Check a size, a percentage of the machine's memory, or infinity."""
    if text.endswith("%"):
        percent(text)
    elif text != "infinity":
        size(text)


def tasks(text: str) -> None:
    """Check a number of tasks, a percentage, or infinity."""
    if text.endswith("%"):
        percent(text)
    elif text != "infinity" and unsigned(text, 2**64 - 2) == 0:
        raise EncodeError("0 tasks would allow none at all", "write a number above 0")


def cpu_quota(text: str) -> None:
    """Check a share of the time of one CPU; 200% is two CPUs."""
    if percent(text, 0) == 0:
        raise EncodeError("0% would allow no CPU time at all", 'write it as "50%"')


def weight(text: str) -> None:
    """Check a weight: 1 to 10000."""
    integer(text, 1, 10000)


def cpu_weight(text: str) -> None:
    """Check a CPU weight: 1 to 10000, or idle."""
    if text != "idle":
        weight(text)


def device(text: str) -> None:
    """Check a device for DeviceAllow=: a device node, or a group of devices (systemd.resource-control(5))."""
    if not text.startswith(("/dev/", "/run/systemd/inaccessible/", "block-", "char-")):
        raise EncodeError(f"not a device: {text!r}", "write /dev/…, char-… or block-…")


def device_rights(text: str) -> None:
    """Check access rights to a device: letters out of rwm."""
    if not re.fullmatch("[rwm]{1,3}", text):
        raise EncodeError(f"not access rights to a device: {text!r}", "use the letters r, w and m")


def rate(text: str) -> None:
    """Check bytes or operations per second, with suffixes in powers of 1000, or infinity."""
    if text != "infinity":
        size(text, 1000)


def bind_rule(text: str) -> None:
    """Check a value of SocketBindAllow=: [family:][protocol:]ports, or any (systemd.resource-control(5))."""
    match = re.fullmatch(
        r"(?:ipv[46]:)?(?:(?:tcp|udp):)?([0-9]+)(?:-([0-9]+))?|ipv[46](?::(?:tcp|udp))?|tcp|udp|any", text
    )
    if match is None:
        raise EncodeError(f"not a rule for ports: {text!r}", "such as ipv4:tcp:8000-8100, tcp:80 or any")
    for port in match.groups():
        if port is not None:
            integer(port, 1, 65535)


def system_call(word: str) -> None:
    """Check a system call or a group of them, which an error number or ``kill`` may follow (systemd.exec(5))."""
    name, colon, error = word.partition(":")
    if not re.fullmatch("[@a-z0-9_]+(-[a-z]+)*", name):
        raise EncodeError(f"not a system call or group of them: {word!r}", "such as @system-service")
    if colon and error not in ("kill", "0"):
        error_number(error)


def system_calls(words: Sequence[str]) -> None:
    """Check that only a list of forbidden system calls has error numbers: PID 1 ignores such a word in another list."""
    with_error = next((word for word in words if ":" in word), "")
    if with_error and not words[0].startswith("~"):
        name = with_error.partition(":")[0]
        raise EncodeError(
            f"a list of allowed system calls cannot have an error number: {with_error!r}",
            f"write {name}, or ~ before the first word to forbid these system calls",
        )


_NETLINK = (
    "route", "firewall", "inet-diag", "nflog", "xfrm", "selinux", "iscsi", "audit", "fib-lookup", "connector",
    "netfilter", "ip6-fw", "dnrtmsg", "kobject-uevent", "generic", "scsitransport", "ecryptfs", "rdma",
)  # fmt: skip


def netlink(text: str) -> None:
    """Check a value of ListenNetlink=: a family of netlink(7), and a group of it (systemd.socket(5))."""
    family, _, group = text.partition(" ")
    if not family.isdecimal():
        one_of(*_NETLINK)(family)
    if group:
        unsigned(group.strip(), 2**32 - 1)


def attached_program(text: str) -> None:
    """Check a value of BPFProgram=: a type of attachment and the path of a program (systemd.resource-control(5))."""
    kind, colon, path = text.partition(":")
    if not colon:
        raise EncodeError(f"not a type with a program: {text!r}", "such as egress:/sys/fs/bpf/program")
    one_of(*_ATTACHMENTS)(kind)
    absolute_path(path)


_ATTACHMENTS = (
    "ingress", "egress", "sock_create", "sock_ops", "device", "bind4", "bind6", "connect4", "connect6", "post_bind4",
    "post_bind6", "sendmsg4", "sendmsg6", "sysctl", "recvmsg4", "recvmsg6", "getsockopt", "setsockopt",
)  # fmt: skip


def root_hash(text: str) -> None:
    """Check a value of RootHash=: a path, or at least 16 bytes in hexadecimal (systemd.exec(5))."""
    if not text.startswith("/") and not re.fullmatch("([0-9A-Fa-f]{2}){16,}", text):
        raise EncodeError(f"not a root hash: {text!r}", "write at least 32 hexadecimal digits, or an absolute path")


def root_hash_signature(text: str) -> None:
    """Check a value of RootHashSignature=: a path, or ``base64:`` and the signature (systemd.exec(5))."""
    if not text.startswith(("/", "base64:")):
        raise EncodeError(f"not a signature: {text!r}", "write base64:SIGNATURE, or an absolute path")
