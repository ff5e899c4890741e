"""The section ``host`` as the files for name, time zone, locale and keymap of the machine."""

from __future__ import annotations

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
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = lazy_pattern(rf"(?=.{{1,64}}\Z){_LABEL}(\.{_LABEL})*")
_ADDRESS = lazy_pattern(r"[0-9]+(?:\.[0-9]+){0,3}")
_ZONE = lazy_pattern(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")
_LOCALE = lazy_pattern(r"C|POSIX|[a-z]{2,3}(_[A-Z]{2})?(\.[A-Za-z0-9-]+)?(@[a-z]+)?|C\.[A-Za-z0-9-]+")
_WORD = lazy_pattern(r"[A-Za-z0-9_.@:+-]+")


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
            if _ADDRESS.fullmatch(str(leaf.value)):
                what = f"{leaf.value} is an address, and programs look up no name of digits and dots"
                self.warn(leaf, what, "write a name, such as web1; addresses are in `network`", "Doubtful")
            elif str(leaf.value).partition(".")[0].lower() == "localhost":
                what = f"{leaf.value} is what each machine calls itself, so that programs take it for a missing name"
                self.warn(leaf, what, "write a name of this machine, such as web1", "Doubtful")
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

    def restart_on_change(self, unit: str, path: str, wanted: Wanted = Wanted.PRESENT) -> None:
        uses = ((path, OnChange.RESTART),)
        self.members.append(
            Member(unit=unit, item=HOST_ITEM, wanted=wanted, ours=False, on_change=OnChange.RESTART, uses=uses)
        )

    def warn(self, leaf: Leaf, what: str, hint: str, code: str) -> None:
        self.problems.append(warning(HOST_ITEM, leaf.where, what, hint, code))

    def block(self, leaf: Leaf, what: str, hint: str, code: str = "Item") -> None:
        self.problems.append(blocked(HOST_ITEM, leaf.where, what, hint, code))
