"""The section ``host`` as the files for name, time zone, locale, keymap and time servers of the machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ordain.transforms.artifacts import Artifact, RegularFile, SymbolicLink
from ordain.transforms.catalog.known_words import LAYOUTS, is_time_zone, time_zones
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Problem, blocked, did_you_mean, is_blocked, warning
from ordain.transforms.lazy_patterns import LazyPattern, lazy_pattern
from ordain.transforms.model import Branch, Leaf, Member, OnChange, Wanted
from ordain.transforms.render.paths import HOST_ITEM, HOSTNAME, LOCALTIME
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.text_file import TextFile

HOSTNAME_READER = "ordain-hostname.service"
LOCALE, VCONSOLE = "/etc/locale.conf", "/etc/vconsole.conf"
VCONSOLE_SETUP, CONSOLE_SETUP = "systemd-vconsole-setup.service", "console-setup.service"
"""The readers of the keymap: systemd's, and Debian's, which wants the name of XKB (keyboard(5))."""
TIMESYNCD, CHRONY = "systemd-timesyncd.service", ("chrony.service", "chronyd.service")
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = lazy_pattern(rf"(?=.{{1,64}}\Z){_LABEL}(\.{_LABEL})*")
_ZONE = lazy_pattern(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_LOCALE = lazy_pattern(r"C|POSIX|[a-z]{2,3}(_[A-Z]{2})?(\.[A-Za-z0-9-]+)?(@[a-z]+)?|C\.[A-Za-z0-9-]+")
_SERVER = lazy_pattern(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_WORD = lazy_pattern(r"[A-Za-z0-9_.@:+-]+")


def _is_server(text: str) -> bool:
    """Return whether time services look ``text`` up as a name, or use it as an address."""
    if ":" not in text:
        return _SERVER.fullmatch(text) is not None
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def render(tree: Branch, names: Names) -> RenderedItem:
    """Return the item of the section."""
    renderer = _HostRenderer(tree, names)
    artifacts = tuple(renderer.artifacts())
    problems = tuple(renderer.problems)
    if is_blocked(problems):
        return RenderedItem(pointer=HOST_ITEM, problems=problems)
    return RenderedItem(pointer=HOST_ITEM, artifacts=artifacts, members=tuple(renderer.members), problems=problems)


class _HostRenderer:
    def __init__(self, tree: Branch, names: Names) -> None:
        self.tree, self.names = tree, names
        self.problems: list[Problem] = []
        self.members: list[Member] = []

    def artifacts(self) -> Iterator[Artifact]:
        if leaf := self.word("hostname", _HOSTNAME, "use letters, digits and -, with dots between, 64 at most"):
            # Without comments: PID 1 skips them, but other readers of the file do not.
            yield RegularFile(path=HOSTNAME, content=f"{leaf.value}\n", item=HOST_ITEM)
            # Running: it is not, where the package was installed in this boot, and then it has to start.
            self.restart_on_change(HOSTNAME_READER, HOSTNAME, Wanted.RUNNING)
        if leaf := self.word("timezone", _ZONE, "use a name below /usr/share/zoneinfo, such as Europe/Berlin"):
            if not is_time_zone(zone := str(leaf.value)) and _ZONE.fullmatch(zone):
                near = did_you_mean(zone, time_zones())
                what = f"tzdata has no time zone {zone}, and without its data all programs would use UTC"
                self.warn(leaf, what, near or "see `timedatectl list-timezones`", "TimeZone")
            target = f"../usr/share/zoneinfo/{zone}"
            yield SymbolicLink(path=LOCALTIME, target=target, item=HOST_ITEM)
        if leaf := self.word("locale", _WORD, "such as C.UTF-8"):
            if not _LOCALE.fullmatch(str(leaf.value)):
                self.warn(
                    leaf, f"{leaf.value} is not the name of a locale", "such as C.UTF-8 or de_DE.UTF-8", "Doubtful"
                )
            yield self.one_line(self.names.paths().get("locale", LOCALE), f"LANG={leaf.value}", leaf)
        if leaf := self.word("keymap", _WORD, "such as de"):
            path = self.names.paths().get("keyboard", VCONSOLE)
            variable, reader = ("KEYMAP", VCONSOLE_SETUP) if path == VCONSOLE else ("XKBLAYOUT", CONSOLE_SETUP)
            yield self.one_line(path, f"{variable}={leaf.value}", leaf)
            if variable == "XKBLAYOUT" and str(leaf.value) not in LAYOUTS:
                near = did_you_mean(str(leaf.value), LAYOUTS)
                what = f"xkb-data has no keyboard layout {leaf.value}"
                self.warn(leaf, what, near or "write a layout of keyboard(5), such as de or us", "Doubtful")
            self.restart_on_change(reader, path)
        yield from self.time_servers()

    def word(self, key: str, pattern: LazyPattern[str], hint: str) -> Leaf | None:
        leaf = self.tree.leaf(key)
        if leaf is not None and not pattern.fullmatch(str(leaf.value)):
            self.block(leaf, f"{leaf.value!r} is not a valid {key}", hint)
        return leaf

    def one_line(self, path: str, line: str, leaf: Leaf) -> RegularFile:
        file = TextFile(path=path, item=HOST_ITEM)
        file.add(line, leaf)
        self.problems += file.problems
        return file.artifact()

    def time_servers(self) -> Iterator[RegularFile]:
        leaf = self.tree.leaf("time-servers")
        if leaf is None:
            return
        servers = tuple(map(str, leaf.value)) if isinstance(leaf.value, tuple) else ()
        for server in servers:
            if not _is_server(server):
                self.block(leaf, f"{server!r} is not a time server", "use a name or an address, without a port")
        unit, config = (self.names.service("ntp", key) for key in ("unit", "config"))
        if unit == TIMESYNCD:
            file = TextFile(path=f"{config or '/etc/systemd/timesyncd.conf.d/'}00-ordain.conf", item=HOST_ITEM)
            file.lines.append("[Time]")
            file.add(f"NTP={' '.join(servers)}", leaf)
        elif unit in CHRONY and (config := self.names.service("chrony", "config")):
            file = TextFile(path=f"{config}00-ordain.conf", item=HOST_ITEM)
            for server in servers:
                file.add(f"server {server} iburst", leaf)
        else:
            self.block(leaf, *self.no_directory(unit), "Unmapped")
            return
        self.restart_on_change(unit, file.path)
        yield file.artifact()

    def no_directory(self, unit: str) -> tuple[str, str]:
        """Return the fault and the remedy where no Transform names a directory for the file of the time servers."""
        file = self.names.paths().get("chrony-configuration", "") if unit in CHRONY else ""
        if not file:
            what = f"no Transform says which file names the servers of {unit or 'the time service'} on this system"
            return what, "place the file in `files`"
        what = f"on this system, the servers of {unit} are in {file}, to which no other file can be added"
        uses = f"services: {{chrony: {{uses: [{file}]}}}}"
        return what, f"place {file} in `files`, with a line `server NAME iburst` for each, and write `{uses}`"

    def restart_on_change(self, unit: str, path: str, wanted: Wanted = Wanted.PRESENT) -> None:
        uses = ((path, OnChange.RESTART),)
        self.members.append(
            Member(unit=unit, item=HOST_ITEM, wanted=wanted, ours=False, on_change=OnChange.RESTART, uses=uses)
        )

    def warn(self, leaf: Leaf, what: str, hint: str, code: str) -> None:
        self.problems.append(warning(HOST_ITEM, leaf.where, what, hint, code))

    def block(self, leaf: Leaf, what: str, hint: str, code: str = "Item") -> None:
        self.problems.append(blocked(HOST_ITEM, leaf.where, what, hint, code))
