"""Values with which a condition of a unit never holds, so that PID 1 never starts the unit, and says nothing.

PID 1 takes nearly any text when it loads a unit. It reads the value when it starts the unit, and a condition that it
cannot read counts as one that does not hold, also behind a ``!`` (condition_test_list() in systemd's
src/shared/condition.c). ``systemd-analyze condition`` shows the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ordain.transforms.decimal_numbers import clamped
from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import LazyPattern, lazy_pattern
from ordain.transforms.systemd import value_checks, values
from ordain.transforms.systemd.checks.doubtful_values import LEAST, NO_DOUBT, Doubt
from ordain.transforms.systemd.machine_words import ALIKE, ARCHITECTURES, VIRTUAL

_KEY = lazy_pattern(r"(?:Condition|Assert)([A-Z][A-Za-z]+)")
_SIGNS = lazy_pattern(r"\|?[ \t]*!?[ \t]*")
_SPECIFIER = lazy_pattern(r"%[A-Za-z]")
_AMOUNT = lazy_pattern(r"(?:!=|<=|>=|<>|==|=|<|>|)[ \t]*(.*)")
_SECURITY = frozenset(
    "selinux apparmor tomoyo smack ima audit uefi-secureboot tpm2 cvm measured-uki measured-os".split()
)
"""The words of ConditionSecurity= in any version of systemd (systemd.unit(5))."""
_SECURITY_ALIKE = {"tpm": "tpm2", "secureboot": "uefi-secureboot", "secure-boot": "uefi-secureboot"}
_CONTROLLERS = frozenset("cpu cpuacct io blkio memory devices pids cpuset v1 v2".split())
_BOOLEANS = frozenset("1 yes y true t on 0 no n false f off".split())
"""The words of parse_boolean() in systemd."""
_HOST = lazy_pattern(r"[A-Za-z0-9._*?\[\]!^-]+")
_VARIABLE = lazy_pattern(r"(?s)[A-Za-z_][A-Za-z0-9_]*(?:=.*)?")
_OF_SYSTEM = lazy_pattern(r"\"?[A-Z][A-Z0-9_]*(?:!\$=|\$=|!=|<=|>=|==|=|<|>).+")
_FIRMWARE = lazy_pattern(r"uefi|device-tree|device-tree-compatible\(.+\)|smbios-field\([a-z_]+ *[!$<>=].*\)")
_PRESSURE = lazy_pattern(r"(?:[^\s:]+:)?[0-9]{1,3}(?:\.[0-9]{1,2})?%(?:/(?:(?:10|60|300)(?:s|sec)?|[15] ?m(?:in)?))?")
_COMPARISON = lazy_pattern(r"(!\$=|\$=|!=|<=|>=|==|=|<|>|)(.*)")
_VERSION = lazy_pattern(r"[0-9][0-9A-Za-z.+~^_-]*")
_RELEASE = lazy_pattern(r"[0-9*?\[][0-9A-Za-z.+~_*?\[\]!^-]*")
_SHORT = lazy_pattern(r"[0-9]+(?:\.[0-9]+)?")
"""A version that is never the whole release of a kernel, which has three numbers (uname(2))."""


def of_condition(key: str, value: str) -> Doubt:
    """Return the doubt about a condition or an assertion in systemd's own syntax.

    >>> of_condition("ConditionMemory", "4GB")[0]
    "'4GB' is not an amount of memory, so ConditionMemory= never holds"
    """
    name = _KEY.fullmatch(key)
    check = _CHECKS.get(name[1]) if name else None
    signs = _SIGNS.match(value)
    sign = signs[0] if signs else ""
    text = value.removeprefix(sign).replace("%%", "%").strip()
    if check is None or not text or _SPECIFIER.search(text):
        return NO_DOUBT
    what, hint = check(text)
    return what.replace("{key}", key).replace("{never}", "always" if "!" in sign else "never"), hint


def _word(text: str, *, words: frozenset[str], what: str, alike: Mapping[str, str] | None = None) -> Doubt:
    """Return the doubt about a word that PID 1 compares: an unknown one is that of no machine."""
    if text in words:
        return NO_DOUBT
    near = (alike or {}).get(text, "")
    hint = f"write {near}" if near else did_you_mean(text, words) or f"write one of {', '.join(sorted(words))}"
    return f"{text!r} is not {what}, so no machine ever has it", hint


def _unreadable(text: str, what: str, hint: str) -> Doubt:
    return f"{text!r} is not {what}, so {{key}}= never holds", hint


def _virtualization(text: str) -> Doubt:
    if text.lower() in _BOOLEANS:
        return NO_DOUBT
    return _word(text, words=VIRTUAL, what="a virtualization that systemd detects")


def _boolean(text: str) -> Doubt:
    return NO_DOUBT if text.lower() in _BOOLEANS else _unreadable(text, "yes or no", "write yes or no")


def _matching(text: str, *, pattern: LazyPattern[str], what: str, hint: str) -> Doubt:
    return NO_DOUBT if pattern.fullmatch(text) else _unreadable(text, what, hint)


def _memory(text: str) -> Doubt:
    amount = _AMOUNT.fullmatch(text)
    number = amount[1].strip() if amount else ""
    try:
        count = values.size(number)
    except values.EncodeError:
        return _unreadable(text, "an amount of memory", "write a comparison and a size, such as >=4G")
    if 0 < count < LEAST and number[-1:].isdigit():
        return f"{text} is about {count} bytes of memory", f"write the unit, such as {text}G"
    return NO_DOUBT


def _count(text: str) -> Doubt:
    amount = _AMOUNT.fullmatch(text)
    try:
        values.unsigned(amount[1].strip() if amount else "")
    except values.EncodeError:
        return _unreadable(text, "a number of CPUs", "write a comparison and a whole number, such as >=4")
    return NO_DOUBT


def _capability(text: str) -> Doubt:
    if text.isdecimal() and clamped(text) < len(value_checks.CAPABILITIES):
        return NO_DOUBT
    upper = text.upper().replace("-", "_")
    if upper in value_checks.CAPABILITIES and upper == text.upper():
        return NO_DOUBT
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    hint = f"write {full}" if full in value_checks.CAPABILITIES else "write one, such as CAP_NET_ADMIN"
    return _unreadable(text, "a capability", hint)


def _kernel_word(text: str) -> Doubt:
    """Return the doubt about a word of the kernel command line, whose name has no blank (kernel-command-line(7))."""
    name = text.partition("=")[0]
    if name and not any(char.isspace() for char in name):
        return NO_DOUBT
    words = text.split()
    hint = f"write one, such as {words[0]}" if words else "write NAME or NAME=VALUE"
    return _unreadable(text, "one word of the kernel command line", hint)


def _kernel(text: str) -> Doubt:
    """Return the doubt about comparisons with the release of the kernel, and shell patterns for it."""
    words = text.replace('"', "").split()
    while words:
        comparison = _COMPARISON.fullmatch(words.pop(0))
        sign, version = (comparison[1], comparison[2]) if comparison else ("", "")
        if sign and not version and words:  # a blank may follow the sign
            version = words.pop(0)
        if not version:
            return _unreadable(sign, "a comparison with a version", "write the version behind it, such as >=5.10")
        fault, hint = _kernel_fault(sign, version)
        if fault:
            return f"{sign}{version}: {fault}, so {{key}}= {{never}} holds", hint
    return NO_DOUBT


def _kernel_fault(sign: str, version: str) -> Doubt:
    pattern = sign in ("", "$=", "!$=")
    if "," in version:
        return "a comma does not part two comparisons", "write a blank between them, such as `>=5.10 <6`"
    if pattern and (_SHORT.fullmatch(version) or version.endswith((".x", ".X"))):
        number = version.rstrip(".xX")
        return "no kernel has this as its whole release", f"write {number}.* or >={number}"
    if pattern:
        wrong = not _RELEASE.fullmatch(version) or not set(version) & set(".*?[")
        return ("no kernel has such a release", "write one such as >=5.10 or 6.1.*") if wrong else NO_DOUBT
    if not _VERSION.fullmatch(version):
        return "a comparison needs a sign and a version", "such as >=5.10; the signs are < <= = != >= >"
    if sign in ("=", "==") and _SHORT.fullmatch(version):
        return "no kernel has this as its whole release", f"write {version}.*"
    return NO_DOUBT


def _account(text: str, *, what: str, same: frozenset[str]) -> Doubt:
    if text in same:
        return NO_DOUBT
    fault = f"PID 1 itself is {what}, and not {text}: {{key}}={text} {{never}} holds"
    return fault, "remove it; `user` and `group` set the accounts of the service"


def _controllers(text: str) -> Doubt:
    """Return the doubt about controllers: PID 1 leaves out a word that it does not know."""
    unknown = next((word for word in text.split() if word not in _CONTROLLERS), "")
    hint = f"write one of {', '.join(sorted(_CONTROLLERS))}"
    return (f"{unknown!r} is not a controller of control groups: {{key}}= ignores it", hint) if unknown else NO_DOUBT


def _updated(text: str) -> Doubt:
    if text.rstrip("/") in ("/etc", "/var"):
        return NO_DOUBT
    return (
        f"systemd keeps the state of /etc and /var only, and not of {text}: {{key}}= always holds",
        "write /etc or /var",
    )


def _system(text: str) -> Doubt:
    wrong = next((word for word in text.split() if not _OF_SYSTEM.fullmatch(word) and '"' not in text), "")
    hint = "write a key of os-release(5) in upper case, a sign and a value, such as ID=debian or VERSION_ID>=12"
    return _unreadable(wrong, "a comparison with a key of os-release", hint) if wrong else NO_DOUBT


def _firmware(text: str) -> Doubt:
    if _FIRMWARE.fullmatch(text):
        return NO_DOUBT
    hint = "write uefi (or !uefi), device-tree, device-tree-compatible(…) or smbios-field(…)"
    return f"{text!r} is not a firmware of systemd.unit(5), so no machine ever has it", hint


_pressure = partial(
    _matching, pattern=_PRESSURE, what="a pressure", hint="write a percentage, such as 10% or 10%/5min (or 10s, 1min)"
)
_CHECKS: Mapping[str, Callable[[str], Doubt]] = {
    "ACPower": _boolean,
    "Architecture": partial(_word, words=ARCHITECTURES | {"native"}, what="an architecture of systemd", alike=ALIKE),
    "CPUs": _count,
    "CPUPressure": _pressure,
    "Capability": _capability,
    "ControlGroupController": _controllers,
    "Credential": partial(
        _matching,
        pattern=lazy_pattern(r"[ -.0-9;-~]{1,255}"),
        what="the name of a credential",
        hint="write the name of a credential of the machine, and not its path",
    ),
    "Environment": partial(
        _matching,
        pattern=_VARIABLE,
        what="a variable of the service manager",
        hint="write NAME or NAME=VALUE",
    ),
    "Firmware": _firmware,
    "FirstBoot": _boolean,
    "Group": partial(_account, what="in the group root", same=frozenset(("root", "0"))),
    "Host": partial(
        _matching, pattern=_HOST, what="a host name, a machine ID or a pattern", hint="write one, such as web1 or web*"
    ),
    "IOPressure": _pressure,
    "KernelCommandLine": _kernel_word,
    "KernelVersion": _kernel,
    "Memory": _memory,
    "MemoryPressure": _pressure,
    "NeedsUpdate": _updated,
    "OSRelease": _system,
    "Security": partial(_word, words=_SECURITY, what="a security technology of systemd.unit(5)", alike=_SECURITY_ALIKE),
    "User": partial(_account, what="root", same=frozenset(("root", "0", "@system"))),
    "Virtualization": _virtualization,
}
"""The check of each condition whose value PID 1 reads late."""
