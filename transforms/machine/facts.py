"""Reads the facts of a machine from the files below its root, and from nothing else.

    root/ ──survey──▶ Facts, Problems

Nothing here is refused: a fact that cannot be read gets its default, and a warning says so.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import agent_yaml, os_release, rootfs, virtualization
from ordain.transforms.model import Facts

SETTING = "ordain.labels"
SYSTEMD = ("usr/lib/systemd/systemd", "lib/systemd/systemd")
# Debian ≥ 12 keeps its private library in the directory of the architecture.
SYSTEMD_LIBRARIES = (
    "usr/lib/systemd",
    "usr/lib64/systemd",
    "usr/lib/*/systemd",
    "lib/systemd",
    "lib/*/systemd",
)

MACHINE_ID = lazy_pattern(r"[0-9a-f]{32}")
HOSTNAME = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
_OS_ID = lazy_pattern(r"[a-z0-9._-]+")
_LIBRARY = lazy_pattern(r"libsystemd-shared-([0-9]{1,6})\b.*\.so")
_MAC = lazy_pattern(r"[0-9a-f]{2}(:[0-9a-f]{2}){5,19}")
_WORD = lazy_pattern(r'(?:[^\s"]|"[^"]*(?:"|$))+')

SMBIOS: Mapping[str, str] = {
    "system_uuid": "product_uuid",
    "system_serial_number": "product_serial",
    "system_manufacturer": "sys_vendor",
    "system_product_name": "product_name",
}
"""The kernel's files below /sys/class/dmi/id for facts."""

# e_machine → systemd's name (ConditionArchitecture= in systemd.unit(5)), as (32 bit big endian, 32 little,
# 64 big, 64 little); one name if the machine has one form.
ARCHITECTURES: Mapping[int, tuple[str, ...]] = {
    2: ("sparc",),
    3: ("x86",),
    4: ("m68k",),
    8: ("mips", "mips-le", "mips64", "mips64-le"),
    15: ("parisc", "parisc", "parisc64", "parisc64"),
    20: ("ppc", "ppc-le", "ppc", "ppc-le"),
    21: ("ppc64", "ppc64-le", "ppc64", "ppc64-le"),
    22: ("s390", "s390", "s390x", "s390x"),
    40: ("arm-be", "arm", "arm-be", "arm"),
    42: ("sh",),
    43: ("sparc64",),
    50: ("ia64",),
    62: ("x86-64",),
    183: ("arm64-be", "arm64", "arm64-be", "arm64"),
    243: ("riscv32", "riscv32", "riscv64", "riscv64"),
    258: ("loongarch64",),
}


def read_facts(root: Path) -> Facts:
    """Return the facts of the machine whose file system is ``root``, without the problems that `survey` returns."""
    return survey(root)[0]


def survey(root: Path) -> tuple[Facts, tuple[Problem, ...]]:
    """Return the facts of the machine whose file system is ``root``, and a warning for each fact that is unreadable."""
    reader = _Reader(root=root)
    release = reader.os_release()
    container = virtualization.container(root)
    words = _words(reader.text("proc/1/cmdline" if container else "proc/cmdline"), container)
    pinned = reader.command_line_labels(words)
    facts = Facts(
        id=reader.os_id(release),
        like=tuple(dict.fromkeys(release.get("ID_LIKE", "").split())),
        version=release.get("VERSION_ID", ""),
        systemd=reader.systemd(),
        arch=reader.architecture(),
        virtualization=container or virtualization.machine(root),
        hostname=reader.hostname(),
        machine_id=reader.machine_id(),
        mac=reader.macs(),
        root=reader.root_kind(),
        **({} if container else reader.hardware()),  # type: ignore[arg-type] # they are texts
        labels={**reader.agent_labels(), **pinned},
        pinned=frozenset(pinned),
    )
    return facts, tuple(reader.problems)


@dataclass(slots=True)
class _Reader:
    """The reader of one root, which collects problems."""

    root: Path
    problems: list[Problem] = field(default_factory=list)

    def warn(self, path: str, what: str, *, line: int = 0, hint: str = "") -> None:
        where = Where(path=f"/{path}", line=line)
        self.problems.append(Problem(where=where, what=what, hint=hint, code="Facts", severity=Severity.WARNING))

    def data(self, path: str) -> bytes | None:
        """Return the content of a file, None if it is missing, or, with a warning, if it cannot be read."""
        try:
            return rootfs.read(self.root, path)
        except OSError as error:
            self.warn(path, f"cannot be read: {error.strerror or error}")
            return None

    def text(self, path: str) -> str:
        """Return the text of a file, "" if it is missing; invalid UTF-8 is replaced, with a warning."""
        data = self.data(path) or b""
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            self.warn(path, f"not UTF-8 at byte {error.start}")
            return data.decode("utf-8", "replace")

    def os_release(self) -> dict[str, str]:
        for path in ("etc/os-release", "usr/lib/os-release"):
            if text := self.text(path):
                values, wrong = os_release.parse(text)
                for line, what in wrong:
                    self.warn(path, what, line=line)
                return values
        self.warn("etc/os-release", "the file is missing: the system is unknown")
        return {}

    def os_id(self, release: Mapping[str, str]) -> str:
        name = release.get("ID", "")
        if not name or _OS_ID.fullmatch(name):
            return name or "linux"  # the default of os-release(5)
        self.warn("etc/os-release", f'invalid ID "{name}"', hint="use lower-case letters, digits and . _ -")
        return "linux"

    def systemd(self) -> int:
        versions = [
            int(match[1])
            for directory in SYSTEMD_LIBRARIES
            for path in self._directories(directory)
            for name in rootfs.names(self.root, path)
            if (match := _LIBRARY.fullmatch(name))
        ]
        if not versions:
            self.warn("usr/lib/systemd", "libsystemd-shared-VERSION.so is missing: the version of systemd is unknown")
        return max(versions, default=0)  # during an upgrade both exist for a moment

    def _directories(self, pattern: str) -> Iterable[str]:
        before, star, after = pattern.partition("*")
        return [f"{before}{name}{after}" for name in rootfs.names(self.root, before)] if star else [pattern]

    def architecture(self) -> str:
        for path in SYSTEMD:
            try:
                head = rootfs.head(self.root, path, 20)
            except OSError as error:
                self.warn(path, f"cannot be read: {error.strerror or error}")
                continue
            if head is None:
                continue
            if name := elf_architecture(head):
                return name
            self.warn(path, "not a program for an architecture that systemd knows")
        return "unknown"

    def hostname(self) -> str:
        for path in ("etc/hostname", "proc/sys/kernel/hostname"):
            lines = (line.strip() for line in self.text(path).splitlines())
            name = next((line for line in lines if line and not line.startswith("#")), "")
            if HOSTNAME.fullmatch(name):
                return name.rstrip(".")
            if name and name != "(none)":
                self.warn(path, f'"{name}" is not a host name')
        return "localhost"

    def machine_id(self) -> str:
        text = self.text("etc/machine-id").strip()
        if MACHINE_ID.fullmatch(text):
            return text
        if text and text != "uninitialized":  # machine-id(5): it is written during the first boot
            self.warn("etc/machine-id", "not 32 hexadecimal digits")
        return ""

    def macs(self) -> tuple[str, ...]:
        """Return the addresses of physical interfaces; a bridge or bond has a borrowed or random one."""
        interfaces = [
            f"sys/class/net/{name}"
            for name in rootfs.names(self.root, "sys/class/net")
            if rootfs.exists(self.root, f"sys/class/net/{name}/device")
        ]
        addresses = {self.text(f"{interface}/address").strip().lower() for interface in interfaces}
        return tuple(sorted(a for a in addresses if _MAC.fullmatch(a)))

    def hardware(self) -> dict[str, str]:
        """Return the facts of SMBIOS, in the form of dmidecode(8), and the kind of firmware; "" for those unknown.

        Only root may read the UUID and the serial number, so that they are unknown to other users, without a warning.
        """
        facts = {}
        for fact, name in SMBIOS.items():
            with contextlib.suppress(OSError):
                data = rootfs.read(self.root, f"sys/class/dmi/id/{name}") or b""
                facts[fact] = data.decode("utf-8", "replace").strip()
        if rootfs.exists(self.root, "sys/firmware/efi"):
            facts["system_firmware"] = "uefi"
        elif any(facts.values()):
            facts["system_firmware"] = "bios"  # only PCs have SMBIOS without UEFI
        return {**facts, "system_uuid": facts.get("system_uuid", "").lower()}

    def root_kind(self) -> str:
        """Return ``ram`` if the last mount over / is in memory, else ``disk``. Source: proc_pid_mountinfo(5)."""
        kind = ""
        # Only these end a line and a word: users who may mount give their mounts names with others of Unicode.
        for line in self.text("proc/1/mountinfo").split("\n"):
            mount, _, source = line.partition(" - ")
            words = mount.split(" ")
            if len(words) > 4 and words[4] == "/":
                kind = source.partition(" ")[0]
        return "ram" if kind in ("rootfs", "tmpfs", "ramfs") else "disk"

    def agent_labels(self) -> dict[str, tuple[str, ...]]:
        """Return the labels in agent.yaml, and warn of wrong ones; the agent reports the rest of the file."""
        try:
            data = agent_yaml.read_in_force(self.root)
        except OSError as error:
            self.warn(agent_yaml.PATH, f"cannot be read: {error.strerror or error}")
            return {}
        if not data:
            return {}
        file = agent_yaml.read(data)
        for problem in file.problems:
            pointer = problem.where.pointer
            if pointer.partition("/")[0] in ("", "labels"):
                what = f"{pointer}: {problem.what}" if pointer else problem.what
                self.warn(agent_yaml.PATH, what, line=problem.where.line, hint=problem.hint)
        labels: dict[str, tuple[str, ...]] = file.values.get("labels", {})
        return labels

    def command_line_labels(self, words: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return the labels of ``ordain.labels=k=v,…`` on the kernel command line; a repeated key adds a value."""
        labels: dict[str, tuple[str, ...]] = {}
        for word in words:
            setting, _, text = word.partition("=")
            if setting != SETTING:
                continue
            for pair in filter(None, text.split(",")):
                name, _, value = pair.partition("=")
                if not name or not value:
                    self.warn("proc/cmdline", f'"{pair}" in {SETTING} is not a label', hint="write NAME=VALUE")
                elif self._label(name, "proc/cmdline"):
                    labels[name] = tuple(dict.fromkeys((*labels.get(name, ()), value)))
        return labels

    def _label(self, name: str, path: str, *, line: int = 0) -> bool:
        if name in FACTS:
            self.warn(path, f"a label cannot have the name of a fact: {name}", line=line)
        return name not in FACTS


def pinned_labels(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the labels among the words of a kernel command line.

    >>> pinned_labels(["quiet", "ordain.labels=role=web,role=db"])
    {'role': ('web', 'db')}
    """
    return _Reader(root=Path("/")).command_line_labels(words)


def elf_architecture(head: bytes) -> str:
    """Return systemd's name of the architecture in the first 20 bytes of an ELF file; "" if there is none.

    >>> elf_architecture(bytes.fromhex("7f454c46020101000000000000000000" "0300" "b700"))
    'arm64'
    """
    if len(head) < 20 or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return ""
    wide, little = head[4] == 2, head[5] == 1
    (machine,) = struct.unpack_from("<H" if little else ">H", head, 18)
    forms = ARCHITECTURES.get(machine, ("",))
    return forms[2 * wide + little] if len(forms) == 4 else forms[0]


def kernel_command_line(root: Path) -> list[str]:
    """Return the words of the kernel command line, in a container of PID 1's; none if it cannot be read."""
    container = virtualization.container(root)
    return _words(_Reader(root=root).text("proc/1/cmdline" if container else "proc/cmdline"), container)


def _words(text: str, container: str) -> list[str]:
    """Return the words of a command line; on that of a kernel, double quotes group words and are removed."""
    return text.split("\0") if container else [word.replace('"', "") for word in _WORD.findall(text)]
