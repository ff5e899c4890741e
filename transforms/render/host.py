"""``host`` → the files that hold name, time zone, locale, keymap and time servers of the machine; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ordain.transforms.artifacts import Artifact, RegularFile, SymbolicLink
from ordain.transforms.catalog.names import Names
from ordain.transforms.model import Branch, Leaf, Member, OnChange, Wanted
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.text_file import TextFile

HOSTNAME = "/etc/hostname"
READER = "ordain-hostname.service"
LOCALE, VCONSOLE = "/etc/locale.conf", "/etc/vconsole.conf"
VCONSOLE_SETUP, CONSOLE_SETUP = "systemd-vconsole-setup.service", "console-setup.service"
"""What reads the keymap: systemd's, or on Debian the package of that name, in XKB's words (keyboard(5))."""
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?=.{{1,64}}\Z){_LABEL}(\.{_LABEL})*")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_WORD = re.compile(r"[A-Za-z0-9_.@:+-]+")
TIMESYNCD, CHRONY = "systemd-timesyncd.service", ("chrony.service", "chronyd.service")


def render(tree: Branch, problems: RenderedItem, names: Names) -> RenderedItem:
    """The one item of the host."""
    host = _Host(tree, problems.pointer, names)
    artifacts = tuple(host.artifacts())
    found = (*problems.problems, *host.problems.problems)
    if found:
        return RenderedItem(pointer=problems.pointer, problems=found)
    return RenderedItem(pointer=problems.pointer, artifacts=artifacts, members=tuple(host.members))


class _Host:
    def __init__(self, tree: Branch, pointer: str, names: Names) -> None:
        self.tree, self.pointer, self.names = tree, pointer, names
        self.problems = TextFile(path="", item=pointer)
        self.members: list[Member] = []

    def artifacts(self) -> Iterator[Artifact]:
        if leaf := self.word("hostname", _HOSTNAME, "letters, digits and -, with dots between, 64 at most"):
            # Read whole by PID 1, which knows comments there; other readers do not.
            yield RegularFile(path=HOSTNAME, content=f"{leaf.value}\n", item=self.pointer)
            self.read_by(READER, HOSTNAME)
        if leaf := self.word("timezone", _ZONE, "a name below /usr/share/zoneinfo, such as Europe/Berlin"):
            target = f"../usr/share/zoneinfo/{leaf.value}"
            yield SymbolicLink(path="/etc/localtime", target=target, item=self.pointer)
        if leaf := self.word("locale", _WORD, "such as C.UTF-8"):
            yield self.lines(self.names.paths().get("locale", LOCALE), f"LANG={leaf.value}", leaf)
        if leaf := self.word("keymap", _WORD, "such as de"):
            path = self.names.paths().get("keyboard", VCONSOLE)
            variable, reader = ("KEYMAP", VCONSOLE_SETUP) if path == VCONSOLE else ("XKBLAYOUT", CONSOLE_SETUP)
            yield self.lines(path, f"{variable}={leaf.value}", leaf)
            self.read_by(reader, path)
        yield from self.time_servers()

    def word(self, key: str, pattern: re.Pattern[str], hint: str) -> Leaf | None:
        leaf = self.tree.leaf(key)
        if leaf is not None and not pattern.fullmatch(str(leaf.value)):
            self.problems.block(leaf, f"{leaf.value!r} is no {key}", hint)
        return leaf

    def lines(self, path: str, line: str, leaf: Leaf) -> Artifact:
        file = TextFile(path=path, item=self.pointer)
        file.add(line, leaf)
        self.problems.problems += file.problems
        return file.artifact()

    def time_servers(self) -> Iterator[Artifact]:
        leaf = self.tree.leaf("time-servers")
        if leaf is None:
            return
        servers = tuple(map(str, leaf.value)) if isinstance(leaf.value, tuple) else ()
        for server in servers:
            if not _WORD.fullmatch(server):
                self.problems.block(leaf, f"{server!r} is no time server", "a name or an address")
        unit, config = (self.names.service("ntp", key) for key in ("unit", "config"))
        if unit == TIMESYNCD:
            file = TextFile(path=f"{config or '/etc/systemd/timesyncd.conf.d/'}00-ordain.conf", item=self.pointer)
            file.lines.append("[Time]")
            file.add(f"NTP={' '.join(servers)}", leaf)
        elif unit in CHRONY and (config := self.names.service("chrony", "config")):
            file = TextFile(path=f"{config}00-ordain.conf", item=self.pointer)
            for server in servers:
                file.add(f"server {server} iburst", leaf)
        else:
            what = f"no transform says where {unit or 'the clock'} is told its servers here"
            self.problems.block(leaf, what, "place its file in `files`", "Unmapped")
            return
        self.read_by(unit, file.path)
        yield file.artifact()

    def read_by(self, unit: str, path: str) -> None:
        uses = ((path, OnChange.RESTART),)
        self.members.append(
            Member(
                unit=unit, item=self.pointer, wanted=Wanted.PRESENT, ours=False, on_change=OnChange.RESTART, uses=uses
            )
        )
