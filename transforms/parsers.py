"""Which kind each directive is of: the parse function of PID 1's table decides, a few keys for themselves.

`kind` is the one door. tests/test_encode.py proves that no parse function of data/unit-directives.json is missing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import partial

from ordain.transforms import calendars, directives, grammar, quoting, values
from ordain.transforms.kinds import (
    Kind,
    Neutral,
    bare_words,
    choice,
    colon_list,
    first_and_rest,
    listed,
    nothing,
    pairs,
    plain,
    scalar,
    text,
    typed,
    units,
    word_list,
)
from ordain.transforms.values import EncodeError
from ordain.transforms.words import check_specifiers, split


def kind(section: str, key: str) -> Kind:
    """The kind of ``[section] key``. Raises `EncodeError` if no version of systemd knew the key."""
    if directives.is_private(section, key):
        return text(specifiers=False)
    directive = directives.lookup(section, key)
    if directive is None:
        finding = directives.check(section, key, 0)
        raise EncodeError(finding.what if finding else key, finding.hint if finding else "")
    return KEYS.get(f"{section}.{key}") or KEYS.get(key) or PARSERS[directive.parser]


def command(argv: tuple[str, ...]) -> str:
    """A command line whose words are exactly ``argv``."""
    if not argv:
        raise EncodeError("an empty command", "the first word of a command is the program")
    grammar.program(quoting.shown(argv[0]))
    first = quoting.c_word(argv[0])
    rest = (quoting.c_word(word, escape=lambda piece: piece.replace("$", "$$")) for word in argv[1:])
    return " ".join((first, *rest))


def environment(name: str, value: str) -> str:
    """One word ``NAME=VALUE``."""
    grammar.environment_name(name)
    return quoting.c_word(f"{name}={value}")


def _exec() -> Kind:
    def encode(value: Neutral) -> str:
        if not isinstance(value, (tuple, str)):
            raise EncodeError("a command is a list of words")
        return command(listed(value))

    def check(raw: str) -> None:
        check_specifiers(raw)
        if not split(raw, unescape=True) or not raw.lstrip("-@:+!|"):
            raise EncodeError(f"a command without a program: {raw!r}")

    return Kind(encode, check)


def _environ() -> Kind:
    def encode(value: Neutral) -> str:
        if not isinstance(value, Mapping):
            raise EncodeError("the environment is a map of names to values")
        return " ".join(environment(name, item) for name, item in value.items())

    def check(raw: str) -> None:
        check_specifiers(raw)
        for word in split(raw, unescape=True):
            name, equals, _ = word.partition("=")
            if not equals:
                raise EncodeError(f"not an assignment: {word!r}", "write NAME=VALUE")
            grammar.environment_name(name)

    return Kind(encode, check)


def _assignment_or_name(word: str) -> None:
    grammar.environment_name(word.partition("=")[0])


def _environment_file() -> Kind:
    """A neutral path is no glob: PID 1 globs this one, so what glob(3) reads is escaped for it."""

    def encode(value: Neutral) -> str:
        path = scalar(value)
        grammar.absolute_path(quoting.shown(path))
        return quoting.one_line(re.sub(r"([*?\[\\])", r"\\\1", path), specifiers=True)

    return Kind(encode, check_of(grammar.environment_file))


def check_of(check: grammar.Check) -> grammar.Check:
    """``check`` for text in which specifiers may stand."""
    return text(check).check


def _input_text() -> Kind:
    def encode(value: Neutral) -> str:
        content = scalar(value)
        if not content.endswith("\n"):
            raise EncodeError(
                "this setting ends its text in a line end", "end the text in one, or use StandardInputData="
            )
        return quoting.neutral(content[:-1], specifiers=True, escape=quoting.c_escape)

    return Kind(encode, nothing)


def _input_data() -> Kind:
    def encode(value: Neutral) -> str:
        content = quoting.neutral(scalar(value), specifiers=False)
        return base64.b64encode(content.encode()).decode()

    def check(raw: str) -> None:
        try:
            base64.b64decode(re.sub(r"\s", "", raw), validate=True)
        except ValueError:
            raise EncodeError("not base64") from None

    return Kind(encode, check)


def _one_pair(value: Neutral) -> tuple[str, str]:
    items = tuple(value.items()) if isinstance(value, Mapping) else (listed(value),)
    if len(items) != 1 or len(items[0]) != 2:
        raise EncodeError("one name and what belongs to it are wanted")
    return items[0][0], items[0][1]


def _load_credential() -> Kind:
    def encode(value: Neutral) -> str:
        name, source = _one_pair(value)
        grammar.credential_name(name)
        if source.startswith("/"):
            grammar.absolute_path(quoting.shown(source))
        else:
            grammar.credential_name(quoting.shown(source))
        return f"{name}:{quoting.one_line(source, specifiers=True)}"

    return Kind(encode, check_specifiers)


def _set_credential(*, encrypted: bool) -> Kind:
    def encode(value: Neutral) -> str:
        name, content = _one_pair(value)
        grammar.credential_name(name)
        if encrypted:
            _input_data().check(content)
            return f"{name}:{''.join(content.split())}"
        return f"{name}:{quoting.neutral(content, specifiers=False, escape=quoting.c_escape)}"

    return Kind(encode, nothing)


def _output(*names: str) -> Kind:
    def check(value: str) -> None:
        head, colon, rest = value.partition(":")
        if colon and head in ("file", "append", "truncate"):
            grammar.absolute_path(rest)
        elif colon and head == "fd":
            grammar.fd_name(rest)
        elif value not in names:
            raise EncodeError(f"not a place for input or output: {value!r}", ", ".join((*names, "file:PATH")))

    return text(check)


def _condition(value: str) -> None:
    if value.startswith(("|", "!")):
        raise EncodeError(
            f"begins with {value[0]!r}: {value!r}", "there it changes the condition; use systemd's own syntax"
        )


def _bool_or_words(*names: str) -> Kind:
    """A boolean, or words out of ``names`` with ~ before the first for all but these."""

    def check(value: str) -> None:
        for at, word in enumerate(value.split()):
            if word.removeprefix("~" if at == 0 else "") not in names:
                raise EncodeError(f"not one of the values it knows: {word!r}", ", ".join(("yes", "no", *names)))

    def both(value: str) -> None:
        try:
            values.boolean(value)
        except EncodeError:
            check(value)

    return Kind(lambda value: _checked(" ".join(listed(value)), both), both)


def _checked(value: str, check: grammar.Check) -> str:
    check(value)
    return quoting.one_line(value, specifiers=False)


def _matching(pattern: str, what: str, hint: str = "") -> grammar.Check:
    compiled = re.compile(pattern)

    def check(value: str) -> None:
        if not compiled.fullmatch(value):
            raise EncodeError(f"not {what}: {value!r}", hint)

    return check


def _either(*checks: grammar.Check) -> grammar.Check:
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


def _word(*words: str) -> grammar.Check:
    return choice(*words).check


_NAMESPACES = ("cgroup", "ipc", "net", "mnt", "pid", "user", "uts", "time")
_CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids",
    "bpf-firewall", "bpf-devices", "bpf-foreign", "bpf-socket-bind", "bpf-restrict-network-interfaces",
)  # fmt: skip
_LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_ACTIONS = (
    "none", "reboot", "reboot-force", "reboot-immediate", "poweroff", "poweroff-force", "poweroff-immediate", "exit",
    "exit-force", "soft-reboot", "soft-reboot-force", "kexec", "kexec-force", "halt", "halt-force", "halt-immediate",
)  # fmt: skip
_JOB_MODES = (
    "fail", "replace", "replace-irreversibly", "isolate", "flush", "ignore-dependencies", "ignore-requirements",
    "triggering", "restart-dependencies", "lenient",
)  # fmt: skip

_BOOL = typed(values.boolean)
_SPAN = typed(values.timespan)
_PATH = text(grammar.absolute_path)
_MEMORY = typed(grammar.memory)
_UNSIGNED = typed(values.unsigned)

PARSERS: Mapping[str, Kind] = {
    "NULL": units(),  # [Install]: read by systemctl, not by PID 1
    "config_parse_bind_network_interface": text(grammar.interface),
    "config_parse_bind_paths": pairs(grammar.absolute_path, _matching(r"/[^:]*|[^:]*:[a-z]*|/.*", "a path")),
    "config_parse_bool": _BOOL,
    "config_parse_bpf_delegate_attachments": plain(),
    "config_parse_bpf_delegate_commands": plain(),
    "config_parse_bpf_delegate_maps": plain(),
    "config_parse_bpf_delegate_programs": plain(),
    "config_parse_bpf_foreign_program": plain(),
    "config_parse_bus_name": text(grammar.bus_name),
    "config_parse_bus_policy": plain(),
    "config_parse_bus_policy_world": plain(),
    "config_parse_busname_service": units("service", many=False),
    "config_parse_capability_set": bare_words(grammar.capability, invertible=True),
    "config_parse_cg_cpu_weight": typed(grammar.cpu_weight),
    "config_parse_cg_weight": typed(grammar.weight),
    "config_parse_cgroup_nft_set": plain(),
    "config_parse_cgroup_socket_bind": text(grammar.bind_rule),
    "config_parse_collect_mode": choice("inactive", "inactive-or-failed"),
    "config_parse_concurrency_max": typed(_either(_word("infinity"), values.unsigned)),
    "config_parse_cpu_quota": typed(grammar.cpu_quota),
    "config_parse_cpuset_partition": choice("member", "root", "isolated"),
    "config_parse_delegate": _bool_or_words(*_CONTROLLERS),
    "config_parse_delegate_subgroup": text(_matching(r"[^/]+", "the name of a control group")),
    "config_parse_device_allow": first_and_rest(grammar.device, grammar.device_rights, default="rwm"),
    "config_parse_device_policy": choice("auto", "closed", "strict"),
    "config_parse_disable_controllers": bare_words(_word(*_CONTROLLERS)),
    "config_parse_documentation": word_list(grammar.documentation),
    "config_parse_emergency_action": choice(*_ACTIONS),
    "config_parse_environ": _environ(),
    "config_parse_exec": _exec(),
    "config_parse_exec_coredump_filter": plain(),
    "config_parse_exec_cpu_affinity": typed(_either(_word("numa"), grammar.cpu_set)),
    "config_parse_exec_cpu_sched_policy": choice("other", "batch", "idle", "fifo", "rr", "ext"),
    "config_parse_exec_cpu_sched_prio": typed(partial(values.integer, low=0, high=99)),
    "config_parse_exec_input": _output("null", "tty", "tty-force", "tty-fail", "data", "socket", "fd"),
    "config_parse_exec_input_data": _input_data(),
    "config_parse_exec_input_text": _input_text(),
    "config_parse_exec_io_class": choice("none", "realtime", "best-effort", "idle", "0", "1", "2", "3"),
    "config_parse_exec_io_priority": typed(partial(values.integer, low=0, high=7)),
    "config_parse_exec_keyring_mode": choice("inherit", "private", "shared"),
    "config_parse_exec_memory_thp": choice("inherit", "disable", "madvise", "system"),
    "config_parse_exec_mount_propagation_flag": choice("shared", "slave", "private"),
    "config_parse_exec_nice": typed(partial(values.integer, low=-20, high=19)),
    "config_parse_exec_oom_score_adjust": typed(partial(values.integer, low=-1000, high=1000)),
    "config_parse_exec_output": _output(
        "inherit",
        "null",
        "tty",
        "journal",
        "kmsg",
        "journal+console",
        "kmsg+console",
        "socket",
        "fd",
        "syslog",
        "syslog+console",
    ),
    "config_parse_exec_preserve_mode": choice("restart", or_bool=True),
    "config_parse_exec_quota": typed(_either(_word("off"), grammar.memory)),
    "config_parse_exec_root_hash": plain(),
    "config_parse_exec_root_hash_sig": plain(),
    "config_parse_exec_secure_bits": bare_words(
        _word("keep-caps", "keep-caps-locked", "no-setuid-fixup", "no-setuid-fixup-locked", "noroot", "noroot-locked")
    ),
    "config_parse_exec_selinux_context": plain(),
    "config_parse_exec_utmp_mode": choice("init", "login", "user"),
    "config_parse_exit_status": typed(partial(values.unsigned, high=255)),
    "config_parse_extension_images": plain(),
    "config_parse_fdname": text(grammar.fd_name),
    "config_parse_fsck_passno": typed(values.integer),
    "config_parse_iec_size": typed(values.size),
    "config_parse_image_policy": plain(),
    "config_parse_import_credential": plain(),
    "config_parse_in_addr_prefixes": bare_words(grammar.ip_prefix),
    "config_parse_int": typed(values.integer),
    "config_parse_io_device_latency": first_and_rest(grammar.absolute_path, values.timespan),
    "config_parse_io_device_weight": first_and_rest(grammar.absolute_path, grammar.weight),
    "config_parse_io_limit": first_and_rest(grammar.absolute_path, grammar.rate),
    "config_parse_ip_filter_bpf_progs": _PATH,
    "config_parse_ip_tos": typed(
        _either(_word("low-delay", "throughput", "reliability", "low-cost"), partial(values.unsigned, high=255))
    ),
    "config_parse_job_mode": choice(*_JOB_MODES),
    "config_parse_job_mode_isolate": _BOOL,
    "config_parse_job_running_timeout_sec": _SPAN,
    "config_parse_job_timeout_sec": _SPAN,
    "config_parse_kill_mode": choice("control-group", "process", "mixed", "none"),
    "config_parse_load_credential": _load_credential(),
    "config_parse_log_extra_fields": word_list(
        _matching(r"(?s)[A-Z0-9][A-Z0-9_]*=.*", "a journal field", "write FIELD=value"), unescape=True
    ),
    "config_parse_log_facility": typed(_matching(r"[a-z0-9]+", "a syslog facility")),
    "config_parse_log_filter_patterns": plain(),
    "config_parse_log_level": choice(*_LEVELS, *"01234567"),
    "config_parse_log_namespace": text(_matching(r"[A-Za-z0-9_.@:-]+", "the name of a log namespace")),
    "config_parse_long": typed(partial(values.integer, low=-(2**63), high=2**63 - 1)),
    "config_parse_luo_sessions": plain(),
    "config_parse_managed_oom_mem_pressure_duration_sec": _SPAN,
    "config_parse_managed_oom_mem_pressure_limit": typed(values.percent),
    "config_parse_managed_oom_mode": choice("auto", "kill"),
    "config_parse_managed_oom_preference": choice("none", "avoid", "omit"),
    "config_parse_managed_oom_rules": plain(),
    "config_parse_memory_limit": _MEMORY,
    "config_parse_mode": typed(values.mode),
    "config_parse_mount_images": plain(),
    "config_parse_mount_node": text(_matching(r"[^\0]+", "what to mount")),
    "config_parse_namespace_flags": _bool_or_words(*_NAMESPACES),
    "config_parse_namespace_path_strv": word_list(grammar.absolute_path, raw_check=grammar.namespace_path),
    "config_parse_notify_access": choice("none", "main", "exec", "all"),
    "config_parse_nsec": typed(_matching(r"[0-9]+ ?(ns|us|ms|s)?", "a time span in nanoseconds")),
    "config_parse_numa_mask": typed(_either(_word("all"), grammar.cpu_set)),
    "config_parse_numa_policy": choice("default", "preferred", "bind", "interleave", "local"),
    "config_parse_obsolete_unit_deps": units(),
    "config_parse_oom_policy": choice("continue", "stop", "kill"),
    "config_parse_open_file": plain(),
    "config_parse_pass_environ": word_list(grammar.environment_name),
    "config_parse_path_spec": _PATH,
    "config_parse_personality": typed(_matching("[a-z0-9_-]+", "an architecture", "such as x86-64")),
    "config_parse_pid_file": text(_either(grammar.absolute_path, grammar.relative_path)),
    "config_parse_pressure_watch": choice("auto", "skip", or_bool=True),
    "config_parse_private_bpf": _BOOL,
    "config_parse_private_pids": _BOOL,
    "config_parse_private_tmp": choice("disconnected", or_bool=True),
    "config_parse_private_users": choice("self", "identity", "full", "managed", or_bool=True),
    "config_parse_proc_subset": choice("all", "pid"),
    "config_parse_protect_control_groups": choice("private", "strict", or_bool=True),
    "config_parse_protect_home": choice("read-only", "tmpfs", or_bool=True),
    "config_parse_protect_hostname": typed(
        _either(values.boolean, _matching(r"(yes|private|true|on|1)(:[A-Za-z0-9.-]+)?", "yes, no or private"))
    ),
    "config_parse_protect_proc": choice("noaccess", "invisible", "ptraceable", "default"),
    "config_parse_protect_system": choice("full", "strict", or_bool=True),
    "config_parse_reboot_parameter": text(),
    "config_parse_restrict_filesystems": bare_words(
        _matching(r"@?[A-Za-z0-9_.-]+", "a file system type"), invertible=True
    ),
    "config_parse_restrict_network_interfaces": bare_words(grammar.interface, invertible=True),
    "config_parse_root_image_options": plain(),
    "config_parse_sec": _SPAN,
    "config_parse_sec_def_infinity": _SPAN,
    "config_parse_sec_fix_0": _SPAN,
    "config_parse_service_exit_type": choice("main", "cgroup"),
    "config_parse_service_refresh_on_reload": plain(),
    "config_parse_service_restart": choice(
        "no", "always", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort"
    ),
    "config_parse_service_restart_mode": choice("normal", "direct", "debug"),
    "config_parse_service_sockets": units("socket"),
    "config_parse_service_timeout": _SPAN,
    "config_parse_service_timeout_abort": _SPAN,
    "config_parse_service_timeout_failure_mode": choice("terminate", "abort", "kill"),
    "config_parse_service_type": choice(
        "simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"
    ),
    "config_parse_set_status": bare_words(grammar.exit_status),
    "config_parse_signal": typed(values.signal),
    "config_parse_socket_bind": choice("default", "both", "ipv6-only", or_bool=True),
    "config_parse_socket_bindtodevice": text(grammar.interface, specifiers=False),
    "config_parse_socket_defer_trigger": choice("patient", or_bool=True),
    "config_parse_socket_listen": text(grammar.socket_address),
    "config_parse_socket_protocol": choice("udplite", "sctp", "mptcp"),
    "config_parse_socket_service": units("service", many=False),
    "config_parse_socket_timestamping": choice("us", "usec", "µs", "ns", "nsec", or_bool=True),
    "config_parse_string": text(specifiers=False),
    "config_parse_swap_priority": typed(partial(values.integer, low=-1, high=32767)),
    "config_parse_tasks_max": typed(grammar.tasks),
    "config_parse_timer": _SPAN,
    "config_parse_trigger_unit": units(many=False),
    "config_parse_tristate": _BOOL,
    "config_parse_tty_size": _UNSIGNED,
    "config_parse_unit_cgroup": plain(),
    "config_parse_unit_cgroup_attr": plain(),
    "config_parse_unit_cgroup_attr_pretty": plain(),
    "config_parse_unit_condition_null": _BOOL,
    "config_parse_unit_condition_path": text(grammar.absolute_path),
    "config_parse_unit_condition_string": text(_condition),
    "config_parse_unit_cpu_set": typed(grammar.cpu_set),
    "config_parse_unit_deps": units(),
    "config_parse_unit_env_file": _environment_file(),
    "config_parse_unit_mounts_for": word_list(grammar.absolute_path),
    "config_parse_unit_names": units(),
    "config_parse_unit_path_printf": _PATH,
    "config_parse_unit_path_strv_printf": word_list(grammar.absolute_path),
    "config_parse_unit_slice": units("slice", many=False),
    "config_parse_unit_string_printf": text(),
    "config_parse_unset_environ": word_list(_assignment_or_name, unescape=True),
    "config_parse_unsigned": _UNSIGNED,
    "config_parse_user_group_compat": text(grammar.user),
    "config_parse_user_group_strv_compat": bare_words(grammar.user, specifiers=True),
    "config_parse_warn_compat": plain(),
    "config_parse_working_directory": text(grammar.working_directory),
    "config_parse_xattr": text(),
    "config_parse_set_credential": _set_credential(encrypted=False),
    "config_parse_exec_directories": word_list(grammar.state_directory, raw_check=nothing),
    "config_parse_colon_separated_paths": colon_list(grammar.absolute_path),
    "config_parse_temporary_filesystems": pairs(
        grammar.absolute_path, nothing, escape=lambda path: re.sub(r"([\\:])", r"\\\1", path)
    ),  # the path is split off a second time
    "config_parse_rlimit": plain(),
}


def _limits() -> dict[str, Kind]:
    resources = "CPU FSIZE DATA STACK CORE RSS NOFILE AS NPROC MEMLOCK LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME"
    return {
        f"Limit{resource}": typed(partial(values.resource_limit, resource=resource)) for resource in resources.split()
    }


def _not_prefixed(value: str) -> None:
    if value.startswith("-"):
        raise EncodeError(f"begins with '-': {value!r}", "there it means that a failure is ignored")


# One parse function, but a syntax per key; and keys whose parser depends on how systemd was built, which the
# table therefore calls config_parse_warn_compat.
KEYS: Mapping[str, Kind] = {
    **_limits(),
    "OnCalendar": text(calendars.calendar),
    "ListenFIFO": _PATH,
    "ListenSpecial": _PATH,
    "ListenUSBFunction": _PATH,
    "ListenMessageQueue": text(_matching(r"/[^/]+", "the name of a message queue", "such as /queue")),
    "ListenNetlink": text(_matching(r"[a-z0-9-]+( [0-9]+)?", "a netlink family", "such as route 1361")),
    "MemoryTHP": plain(),
    "AppArmorProfile": text(_not_prefixed),
    "SELinuxContext": text(_not_prefixed),
    "SmackProcessLabel": text(_not_prefixed),
    "SmackLabel": text(),
    "SmackLabelIPIn": text(),
    "SmackLabelIPOut": text(),
    "SELinuxContextFromNet": _BOOL,
    "PAMName": text(),
    "LockPersonality": _BOOL,
    "MemoryDenyWriteExecute": _BOOL,
    "RestrictRealtime": _BOOL,
    "RestrictSUIDSGID": _BOOL,
    "RestrictNamespaces": _bool_or_words(*_NAMESPACES),
    "RestrictAddressFamilies": bare_words(
        _either(_word("none"), _matching("AF_[A-Z0-9_]+", "an address family", "such as AF_INET")), invertible=True
    ),
    "SystemCallFilter": bare_words(
        _matching(
            r"[@a-z0-9_]+(-[a-z]+)*(:([A-Z0-9]+|kill|allow))?",
            "a system call or group of them",
            "such as @system-service",
        ),
        invertible=True,
    ),
    "SystemCallLog": bare_words(_matching(r"[@a-z0-9_]+(-[a-z]+)*", "a system call or group of them"), invertible=True),
    "SystemCallArchitectures": bare_words(_matching(r"[a-z0-9_-]+", "an architecture", "such as native")),
    "SystemCallErrorNumber": typed(_either(_word("kill"), values.error_number)),
    "CPUAccounting": _BOOL,
    "BlockIOAccounting": _BOOL,
    "MemoryLimit": _MEMORY,
    "DefaultMemoryLow": _MEMORY,
    "DefaultMemoryMin": _MEMORY,
    "DefaultStartupMemoryLow": _MEMORY,
}
