"""The sections ``sysctl`` and ``modules`` as files for sysctl.d(5), modules-load.d(5) and modprobe.d(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.decimal_numbers import clamped
from ordain.transforms.errors import is_blocked, warning
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Member, OnChange, Wanted
from ordain.transforms.render.paths import MODPROBE, MODULES_LOAD, SYSCTL
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.text_file import TextFile
from ordain.transforms.systemd.checks.sysctl_values import wanted_value
from ordain.transforms.systemd.sysctl_files import parameter_path

_PARAMETER = lazy_pattern(r"[A-Za-z0-9_][A-Za-z0-9_.:*/-]*")
_WORDS = frozenset({"yes", "no", "true", "false"})
_NOT_WHOLE = lazy_pattern(r"[0-9]+(\.[0-9]+(e[0-9]+)?|e[0-9]+)", re.IGNORECASE)
"""Values that documents have for a number, and that no kernel parameter takes (proc_dointvec)."""
_OCTAL = lazy_pattern("0[0-7]*[1-7][0-7]*")
_QUOTED = lazy_pattern(r'"[^"]*"')
_OPTION = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_.-]*(?:=.*)?", re.DOTALL)
_LEAST = {"fs/file-max": 4096, "vm/max_map_count": 1024}
"""Parameters that keep programs from starting if they are too small; the kernel takes each number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneWay:
    """``values`` (a pattern) of the parameters ``paths`` that the kernel does not let anybody change again."""

    paths: str
    values: str
    meaning: str
    hint: str = "try the machine with it before all machines have it; remove it if this is not meant"


_LOADS = "each load lowers it, and nothing raises it again"
_ONE_WAY = (
    _OneWay(paths="kexec_load_disabled", values="1", meaning="no other kernel can be loaded, also not that of kdump"),
    _OneWay(paths="kexec_load_limit_panic", values="0+", meaning="no kernel of kdump can be loaded"),
    _OneWay(paths="kexec_load_limit_reboot", values="0+", meaning="no other kernel can be loaded"),
    _OneWay(paths="kexec_load_limit_panic kexec_load_limit_reboot", values="[0-9]*[1-9][0-9]*", meaning=_LOADS),
    _OneWay(
        paths="unprivileged_bpf_disabled",
        values="1",
        meaning="users other than root can load no program of BPF",
        hint="write 2, which forbids the same and can be changed again",
    ),
    _OneWay(paths="yama/ptrace_scope", values="3", meaning="no program can trace another one, also not root's"),
    _OneWay(
        paths="usermodehelper/bset usermodehelper/inheritable",
        values=".*",
        meaning="programs that the kernel starts do not get the other capabilities back",
    ),
    _OneWay(paths="tainted", values="[1-9][0-9]*", meaning="a tainted kernel stays tainted"),
)
"""Below ``kernel/``; `render_sysctl` blocks ``modules_disabled``. Source: sysctl/kernel.rst and LSM/Yama.rst
in the documentation of the kernel."""
_MODULE = lazy_pattern(r"[A-Za-z0-9_-]+")


def render_sysctl(tree: Branch, names: Names) -> RenderedItem:
    """Return the item of all kernel parameters, which are in one file."""
    file = TextFile(path=SYSCTL, item="sysctl")
    known: dict[str, tuple[str, str]] = {}
    for name, leaf in tree.leaves():
        value = str(leaf.value)
        other, other_value = known.setdefault(parameter_path(name), (name, value))
        if other_value != value:
            what = f"{other} and {name} are one kernel parameter, and have two values"
            file.block(leaf, what, "remove one of them", "Clash")
        if value.lower() in _WORDS or _NOT_WHOLE.fullmatch(value):
            what = f"the kernel takes whole numbers, and would refuse {value!r} for {name}"
            file.problems.append(warning("sysctl", leaf.where, what, "write it as a whole number, 1 or 0", "Doubtful"))
        elif _OCTAL.fullmatch(value):
            what = f"the kernel reads {value} as an octal number, {int(value, 8)}"
            number = value.lstrip("0")
            file.problems.append(warning("sysctl", leaf.where, what, f"write {number} or {int(value, 8)}", "Doubtful"))
        elif wanted := wanted_value(parameter_path(name), value):
            what = f"the kernel would refuse {value!r} for {name}"
            file.problems.append(warning("sysctl", leaf.where, what, f"write {wanted}", "Doubtful"))
        if re.fullmatch("[0-9]+", value) and clamped(value) < (least := _LEAST.get(parameter_path(name), 0)):
            what = f"with {name} = {value}, the machine could start no program"
            file.block(leaf, what, f"write {least} at least", "Vital")
        for one_way in _one_way(parameter_path(name), value):
            what = f"{name} = {value} holds until the next boot, whatever a rollback writes: {one_way.meaning}"
            file.problems.append(warning("sysctl", leaf.where, what, one_way.hint, "Doubtful"))
        if parameter_path(name) == "kernel/modules_disabled" and value == "1":
            what = f"with {name} = 1, the boot could load no driver any more, such as that of the network"
            hint = "set it late in the boot: a service with `command: [sysctl, -w, kernel.modules_disabled=1]`"
            file.block(leaf, what, hint, "Vital")
        if not _PARAMETER.fullmatch(name) or "" in re.split("[./]", name):
            file.block(leaf, f"{name!r} is not a kernel parameter", "write it like sysctl: net.ipv4.ip_forward")
        if not value.strip() or value != value.strip():
            file.block(leaf, f"{name} cannot have the value {value!r}", "remove the blanks around it")
        file.add(f"{name} = {value}", leaf)
    return _item("sysctl", [file], "systemd-sysctl.service", SYSCTL)


def _one_way(path: str, value: str) -> Iterator[_OneWay]:
    for row in _ONE_WAY:
        if path in (f"kernel/{name}" for name in row.paths.split()) and re.fullmatch(row.values, value):
            yield row


def render_modules(tree: Branch, names: Names) -> RenderedItem:
    """Return the item of all kernel modules."""
    load, probe = TextFile(path=MODULES_LOAD, item="modules"), TextFile(path=MODPROBE, item="modules")
    for name, branch in tree.branches():
        if not _MODULE.fullmatch(name):
            load.block(branch.here, f"{name!r} is not the name of a kernel module", "use letters, digits, - and _")
        options, blacklist = branch.leaf("options"), branch.leaf("blacklist")
        if blacklist is not None and blacklist.value is True:
            probe.add(f"blacklist {name}", blacklist)
            # A blacklist only keeps aliases from loading the module; other modules could still load it.
            probe.add(f"install {name} /bin/false", blacklist)
            continue
        load.add(name, branch.here)
        if options is not None:
            if str(options.value).endswith("\\"):
                probe.block(options, "the options end in a backslash, which joins the next line", "remove it")
            bare = _QUOTED.sub("x", str(options.value))
            if wrong := next((word for word in bare.split() if not _OPTION.fullmatch(word)), ""):
                what = f"the kernel ignores {wrong!r} in the options of {name}"
                hint = "write words like name=value, without blanks around ="
                probe.problems.append(warning("modules", options.where, what, hint, "Doubtful"))
            probe.add(f"options {name} {options.value}", options)
    files = [file for file in (load, probe) if file.lines or file.problems]
    return _item("modules", files, "systemd-modules-load.service", MODULES_LOAD)


def _item(item: str, files: Sequence[TextFile], reader: str, path: str) -> RenderedItem:
    """Return the item of ``files``; the service ``reader`` of the boot runs again when the file at ``path`` changes."""
    problems = tuple(problem for file in files for problem in file.problems)
    if is_blocked(problems):
        return RenderedItem(pointer=item, problems=problems)
    member = Member(
        unit=reader,
        item=item,
        wanted=Wanted.PRESENT,
        ours=False,
        on_change=OnChange.RESTART,
        uses=((path, OnChange.RESTART),),
    )
    return RenderedItem(
        pointer=item, artifacts=tuple(file.artifact() for file in files), members=(member,), problems=problems
    )
