"""The draft of a unit file or drop-in: each line encoded, checked against the target's systemd, below its place."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from ordain.transforms.artifacts import UnitFile
from ordain.transforms.control_characters import visible
from ordain.transforms.document.formats.secret_names import SECRET
from ordain.transforms.errors import NOWHERE, Problem, Where, blocked, warning
from ordain.transforms.model import Installed, Leaf
from ordain.transforms.render.cause_comments import UNIT_HEADER, cause, default
from ordain.transforms.systemd import directives, unit_file, unit_name
from ordain.transforms.systemd.checks.condition_values import of_condition
from ordain.transforms.systemd.checks.directive_words import of_words
from ordain.transforms.systemd.checks.doubtful_values import Doubt, of_command, of_setting
from ordain.transforms.systemd.encode import (
    EncodeError,
    Neutral,
    encode,
    encode_command,
    encode_environment,
    encode_raw,
)
from ordain.transforms.systemd.unit_file import Setting

SECRET_HINT = "pass it in `credentials`, or in a file named in `environment-files`"
ADD_ONLY = frozenset(
    "After Before Requires Requisite Wants BindsTo PartOf Upholds Conflicts OnFailure OnSuccess".split()
)
"""Dependencies, which an empty assignment does not reset (systemd.unit(5))."""
FOR_PEOPLE = frozenset({"Description", "SyslogIdentifier"})
"""Settings whose values systemctl and journalctl print as they are."""
DOUBTFUL = "Doubtful"
"""The code of a warning about a value that is surely meant otherwise."""
DROP_IN = "00-ordain.conf"
"""Drop-ins merge by file name, and any drop-in of an administrator must win (docs/design/contract.md, rule 8)."""


@dataclass(slots=True)
class UnitDraft:
    """The lines of one unit (or, with ``drop_in``, of one drop-in for it) that ``item`` asks for, and its problems.

    ``where`` is the place of the item, ``systemd`` the major version of the target. ``last_comment`` holds the comment
    above the last line of each section, which is not repeated above the next line.
    """

    unit: str
    item: str
    systemd: int
    drop_in: str = ""
    where: Where = NOWHERE
    lines: list[Setting] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    last_comment: dict[str, str] = field(default_factory=dict)

    def set(self, section: str, key: str, value: Neutral, leaf: Leaf, *, sign: str = "") -> None:
        """Assign exactly ``value`` to ``key``, encoded so that systemd expands nothing in it, after ``sign``."""
        self._add_encoded(section, key, lambda: sign + encode(section, key, value), leaf)

    def command(self, key: str, argv: tuple[str, ...], leaf: Leaf) -> None:
        """Add a command to an Exec setting."""
        self._add_encoded("Service", key, lambda: encode_command(argv), leaf)

    def environment(self, name: str, value: str, leaf: Leaf) -> None:
        """Add an environment variable."""
        self._add_encoded("Service", "Environment", lambda: encode_environment(name, value), leaf)

    def raw(self, section: str, key: str, text: str, leaf: Leaf) -> None:
        """Assign ``text``, which is in systemd's own syntax."""
        if finding := directives.check(section, key, self.systemd):
            self._report(finding, leaf)
            return
        if self.drop_in and not text.strip() and key in ADD_ONLY:
            what = f"a drop-in can add to {key}= but cannot reset it (systemd.unit(5))"
            self.block(leaf, what, "mask the unit, or write your own")
            return
        if key in {"Environment", "SetCredential"} and (
            key == "SetCredential" or SECRET.search(text.partition("=")[0].strip(' "'))
        ):
            self.warn(leaf, f"{key}= looks like a secret, and every user can read a unit", SECRET_HINT, "Secret")
        if key.startswith("Exec"):
            with contextlib.suppress(ValueError):
                self.doubt(leaf, of_command(shlex.split(text), expanded=True))
        self._add_encoded(section, key, lambda: encode_raw(section, key, text), leaf)

    def _add_encoded(self, section: str, key: str, encoded: Callable[[], str], leaf: Leaf) -> None:
        try:
            self.add(section, key, encoded(), leaf)
        except EncodeError as error:
            self.block(leaf, error.what, error.hint, "Encode")

    def set_defaults(self, section: str, assignments: Mapping[str, str], why: str) -> None:
        """Add the ``assignments`` that no document makes, below the comment ``why``; keys already set keep theirs."""
        comment = default(why)
        self.last_comment.pop(section, None)
        set_already = {line.key for line in self.lines if line.section == section} - ADD_ONLY
        for key, text in assignments.items():
            if key in set_already:
                continue
            self.lines.append(Setting(section=section, key=key, value=text, comment=comment))
            comment = ""

    def add(self, section: str, key: str, text: str, leaf: Leaf) -> None:
        """Add a line as it is; a key or value that the target does not know becomes a problem instead."""
        if finding := directives.check_value(section, key, text, self.systemd):
            self._report(finding, leaf)
            return
        if key in FOR_PEOPLE and (shown := visible(text)) != text:
            what = f"{key}= has control characters, which every terminal would obey; they are written as escapes"
            self.warn(leaf, what, f"remove them: {shown[:60]}", "Unprintable")
            text = shown
        if "PRIVATE KEY-----" in text:
            self.block(leaf, "this holds a private key, and every user can read a unit", SECRET_HINT, "Secret")
            return
        kind = unit_name.unit_type(self.unit)
        if section not in directives.SECTIONS[kind] and not section.startswith("X-"):
            self.block(leaf, f"{key}= has no meaning in a {kind}", "this key is for services", "UnknownKey")
            return
        self.doubt(leaf, of_setting(key, text))
        self.doubt(leaf, of_condition(key, text))
        for doubt in of_words(key, text, self.systemd):
            self.doubt(leaf, doubt)
        comment = cause(leaf)
        repeated = comment == self.last_comment.get(section)
        self.last_comment[section] = comment
        self.lines.append(Setting(section=section, key=key, value=text, comment="" if repeated else comment))

    def _report(self, finding: directives.Finding, leaf: Leaf) -> None:
        """Block the item or, if the unit is as safe without the directive, warn that it is left out.

        An item is blocked if the directive hardens the unit (docs/design/documents.md, rule 3), and also without a
        Type= or a condition: the unit would start at another time, or where it must not.
        """
        unknown = finding.reason is directives.IgnoreReason.UNKNOWN
        code = "UnknownKey" if unknown else "TooNew"
        if unknown or finding.hardening or finding.what.startswith(("Type=", "Condition", "Assert")):
            self.block(leaf, finding.what, finding.hint, code)
        else:
            self.warn(leaf, f"{finding.what}; left out", finding.hint, code)

    def block(self, leaf: Leaf, what: str, hint: str = "", code: str = "Item") -> None:
        """Add the problem that this machine cannot have the item."""
        self.problems.append(blocked(self.item, leaf.where, what, hint, code))

    def warn(self, leaf: Leaf, what: str, hint: str = "", code: str = "Item") -> None:
        """Add a warning."""
        self.problems.append(warning(self.item, leaf.where, what, hint, code))

    def doubt(self, leaf: Leaf, doubt: Doubt) -> None:
        """Add a warning about a value that is surely meant otherwise, if there is a doubt."""
        if doubt[0] and not any(p.where == leaf.where and p.hint == doubt[1] for p in self.problems):
            self.warn(leaf, *doubt, DOUBTFUL)

    def remove(self, section: str, keys: Iterable[str]) -> None:
        """Remove the lines of ``keys``, because raw directives replace them."""
        removed = frozenset(keys)
        self.last_comment.pop(section, None)
        self.lines = [line for line in self.lines if line.section != section or line.key not in removed]

    def move_behind_vendor(self, installed: Installed | None) -> None:
        """Rename a drop-in so that it follows the distribution's drop-ins that set the same keys and would win.

        Drop-ins of all directories merge by file name (docs/design/systemd.md, fact 12). A drop-in of an
        administrator in /etc still wins, unless its name sorts before the new name.
        """
        unit = installed.units.get(self.unit) if installed and self.drop_in else None
        own_keys = {(line.section, line.key) for line in self.lines}
        for path in unit.drop_ins if unit else ():
            name = path.rpartition("/")[2]
            common = sorted(unit.drop_in_keys.get(path, frozenset()) & own_keys) if unit else []
            if common and not path.startswith("/etc/") and name > self.drop_in:
                self.drop_in = f"{name.removesuffix('.conf')}.ordain.conf"
                keys = ", ".join(f"{key}=" for _, key in common)
                what = f"the distribution's drop-in {path} also sets {keys}; ours is placed behind it"
                hint = f"an administrator's drop-in whose name sorts before {self.drop_in} does not override ours"
                self.problems.append(warning(self.item, self.where, what, hint, "Behind"))

    @property
    def path(self) -> str:
        """Return the path of the artifact."""
        return f"normal/{self.unit}.d/{self.drop_in}" if self.drop_in else f"normal/{self.unit}"

    def artifact(self) -> UnitFile:
        """Return the finished file. Do not ask a draft without ``lines`` for one."""
        header = (line.format(unit=self.unit) for line in UNIT_HEADER)
        return UnitFile(path=self.path, content=unit_file.write(self.lines, header=header), item=self.item)
