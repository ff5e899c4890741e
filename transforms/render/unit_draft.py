"""A unit file or drop-in in the making: every line encoded, checked against the target's systemd, with its cause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ordain.transforms.artifacts import UnitFile
from ordain.transforms.errors import NOWHERE, Problem, Severity, Where
from ordain.transforms.model import Installed, Leaf
from ordain.transforms.render.provenance import cause
from ordain.transforms.systemd import directives, unit_file, unit_name
from ordain.transforms.systemd.encode import EncodeError, Neutral, encode, encode_command, encode_environment, raw
from ordain.transforms.systemd.unit_file import Setting

HEADER = (
    "Made by Ordain from documents; what is written here is lost.",
    "`ordainctl explain {unit}` tells more, `systemctl edit {unit}` overrides it.",
)
SECRET = re.compile(r"(?i)(^|_)(PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRET_KEY|TOKEN|API_?KEY|PRIVATE_KEY)$")
"""Names of variables whose value no other user should read; the last word counts, so TOKEN_FILE is none."""
SECRET_HINT = "hand it over in `credentials`, or in a file by `environment-files`"
ADD_ONLY = frozenset(
    "After Before Requires Requisite Wants BindsTo PartOf Upholds Conflicts OnFailure OnSuccess".split()
)
DROP_IN = "00-ordain.conf"
"""Drop-ins merge by file name, and any admin's must win (docs/design/contract.md, rule 8)."""


@dataclass(slots=True)
class Draft:
    """The lines of one unit (or, with ``drop_in``, of one drop-in for it) that item ``item`` asks for.

    ``where`` is the place of the item. ``said`` is the cause of the last line of each section, which the next
    need not repeat.
    """

    unit: str
    item: str
    systemd: int
    drop_in: str = ""
    where: Where = NOWHERE
    lines: list[Setting] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)

    def set(self, section: str, key: str, value: Neutral, leaf: Leaf, *, sign: str = "") -> None:
        """``key`` holds exactly ``value``, whose bytes mean nothing to systemd; ``sign`` stands before it."""
        try:
            self.add(section, key, sign + encode(section, key, value), leaf)
        except EncodeError as error:
            self.block(leaf, error.what, error.hint, "Encode")

    def command(self, key: str, argv: tuple[str, ...], leaf: Leaf) -> None:
        """One more command for an Exec setting."""
        try:
            self.add("Service", key, encode_command(argv), leaf)
        except EncodeError as error:
            self.block(leaf, error.what, error.hint, "Encode")

    def environment(self, name: str, value: str, leaf: Leaf) -> None:
        """One more environment variable."""
        try:
            self.add("Service", "Environment", encode_environment(name, value), leaf)
        except EncodeError as error:
            self.block(leaf, error.what, error.hint, "Encode")

    def raw(self, section: str, key: str, text: str, leaf: Leaf) -> None:
        """``text`` in systemd's own syntax."""
        if finding := directives.check(section, key, self.systemd):
            self.unfit(finding, leaf)
            return
        if self.drop_in and not text.strip() and key in ADD_ONLY:
            what = f"{key}= of a distribution's unit can be added to, not reset"
            self.block(
                leaf, what, "systemd.unit(5): dependencies cannot be reset; mask the unit, or write your own", "Item"
            )
            return
        if key in {"Environment", "SetCredential"} and (
            key == "SetCredential" or SECRET.search(text.partition("=")[0].strip(' "'))
        ):
            self.warn(leaf, f"{key}= looks like a secret, and every user can read a unit", SECRET_HINT, "Secret")
        try:
            self.add(section, key, raw(section, key, text), leaf)
        except EncodeError as error:
            self.block(leaf, error.what, error.hint, "Encode")

    def fixed(self, section: str, assignments: Mapping[str, str], why: str) -> None:
        """Lines that no document asks for, and why they are there; what a document says of a key stands."""
        comment = f"default: {why}"
        self.said.pop(section, None)
        set_already = {line.key for line in self.lines if line.section == section} - ADD_ONLY
        for key, text in assignments.items():
            if key in set_already:
                continue
            self.lines.append(Setting(section=section, key=key, value=text, comment=comment))
            comment = ""

    def add(self, section: str, key: str, text: str, leaf: Leaf) -> None:
        """``text`` as it stands; a key or value the target does not know becomes a problem instead."""
        if finding := directives.check_value(section, key, text, self.systemd):
            self.unfit(finding, leaf)
            return
        if "PRIVATE KEY-----" in text:
            self.block(leaf, "a private key, and every user can read a unit", SECRET_HINT, "Secret")
            return
        kind = unit_name.suffix(self.unit)
        if section not in directives.SECTIONS[kind] and not section.startswith("X-"):
            self.block(leaf, f"{key}= has no meaning in a {kind}", "this key is for services", "UnknownKey")
            return
        comment = cause(leaf)
        said = comment == self.said.get(section)
        self.said[section] = comment
        self.lines.append(Setting(section=section, key=key, value=text, comment="" if said else comment))

    def unfit(self, finding: directives.Finding, leaf: Leaf) -> None:
        """What hardens must not be lost; what does not is left out with a warning (docs/design/documents.md, rule 3).

        Nor is it mild to lose a Type= or a condition: the unit would start at another time, or where it must not.
        """
        unknown = finding.reason is directives.IgnoreReason.UNKNOWN
        code = "UnknownKey" if unknown else "TooNew"
        if unknown or finding.hardening or finding.what.startswith(("Type=", "Condition", "Assert")):
            self.block(leaf, finding.what, finding.hint, code)
        else:
            self.warn(leaf, f"{finding.what}; left out", finding.hint, code)

    def block(self, leaf: Leaf, what: str, hint: str = "", code: str = "Item") -> None:
        """This machine cannot have the item."""
        self.problems.append(
            Problem(where=leaf.where, what=what, hint=hint, code=code, severity=Severity.BLOCKED, item=self.item)
        )

    def warn(self, leaf: Leaf, what: str, hint: str = "", code: str = "Item") -> None:
        """Worth a look."""
        self.problems.append(
            Problem(where=leaf.where, what=what, hint=hint, code=code, severity=Severity.WARNING, item=self.item)
        )

    def replace(self, section: str, keys: Iterable[str]) -> None:
        """Takes out what stands for ``keys`` so far: raw directives win."""
        gone = frozenset(keys)
        self.said.pop(section, None)
        self.lines = [line for line in self.lines if line.section != section or line.key not in gone]

    def settle(self, installed: Installed | None) -> None:
        """Moves a drop-in behind a vendor's that sets the same keys, which would win over it otherwise.

        Drop-ins merge by file name over all directories (docs/design/systemd.md, fact 12); what an admin wrote in /etc
        wins and stays in front of nothing but this.
        """
        there = installed.units.get(self.unit) if installed and self.drop_in else None
        mine = {(line.section, line.key): line for line in self.lines}
        for path in there.drop_ins if there else ():
            name = path.rpartition("/")[2]
            common = sorted(there.drop_in_keys.get(path, frozenset()) & mine.keys()) if there else []
            if common and not path.startswith("/etc/") and name > self.drop_in:
                self.drop_in = f"{name.removesuffix('.conf')}.ordain.conf"
                keys = ", ".join(f"{key}=" for _, key in common)
                what = f"the distribution's drop-in {path} sets {keys} too; ours is placed behind it"
                hint = f"an admin's drop-in that sorts before {self.drop_in} loses to it"
                self.problems.append(
                    Problem(
                        where=self.where,
                        what=what,
                        hint=hint,
                        code="Behind",
                        severity=Severity.WARNING,
                        item=self.item,
                    )
                )

    @property
    def path(self) -> str:
        """Where it is placed."""
        return f"normal/{self.unit}.d/{self.drop_in}" if self.drop_in else f"normal/{self.unit}"

    def artifact(self) -> UnitFile:
        """The file. A draft without lines gives none: ask ``lines`` first."""
        header = (line.format(unit=self.unit) for line in HEADER)
        return UnitFile(path=self.path, content=unit_file.write(self.lines, header=header), item=self.item)
