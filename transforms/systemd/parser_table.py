"""The kind of each directive. The function by which PID 1 parses it decides, and for a few keys their name.

`setting_kind` looks it up. tests/transforms/systemd/test_encode.py proves that no parse function is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from ordain.transforms.systemd import calendar, directives, value_checks, values
from ordain.transforms.systemd.setting_kinds import (
    SettingKind,
    bare_words,
    choice,
    colon_list,
    first_and_rest,
    pairs,
    plain,
    text,
    typed,
    units,
    word_list,
)
from ordain.transforms.systemd.special_settings import (
    bool_or_words,
    condition,
    environ,
    environment_file,
    exec_line,
    input_data,
    input_text,
    load_credential,
    output,
    resource_limits,
    set_credential,
)
from ordain.transforms.systemd.value_checks import either, matching, one_of
from ordain.transforms.systemd.values import EncodeError


def setting_kind(section: str, key: str) -> SettingKind:
    """Return the kind of ``[section] key``. Raises `EncodeError` if no version of systemd knew the key."""
    if directives.is_private(section, key):
        return text(specifiers=False)
    directive = directives.lookup(section, key)
    if directive is None:
        finding = directives.check(section, key, 0)
        raise EncodeError(finding.what if finding else key, finding.hint if finding else "")
    return KEYS.get(f"{section}.{key}") or KEYS.get(key) or PARSERS[directive.parser]


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
_MAPPINGS = (
    "default", "all", "private-anonymous", "shared-anonymous", "private-file-backed", "shared-file-backed",
    "elf-headers", "private-huge", "shared-huge", "private-dax", "shared-dax",
)  # fmt: skip
_FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
_PERSONALITIES = (
    "arm64", "arm64-be", "arm", "arm-be", "x86", "x86-64", "ppc", "ppc-le", "ppc64", "ppc64-le", "s390", "s390x",
)  # fmt: skip

_BOOL = typed(values.boolean)
_SPAN = typed(values.timespan)
_PATH = text(value_checks.absolute_path)
_MEMORY = typed(value_checks.memory)
_UNSIGNED = typed(values.unsigned)

PARSERS: Mapping[str, SettingKind] = {
    "NULL": units(),  # [Install]: read by systemctl, not by PID 1
    "config_parse_bind_network_interface": text(value_checks.interface),
    "config_parse_bind_paths": pairs(
        value_checks.absolute_path,
        value_checks.absolute_path,
        raw=(value_checks.bind_source, value_checks.absolute_path, one_of("rbind", "norbind")),
    ),
    "config_parse_bool": _BOOL,
    "config_parse_bpf_delegate_attachments": plain(),
    "config_parse_bpf_delegate_commands": plain(),
    "config_parse_bpf_delegate_maps": plain(),
    "config_parse_bpf_delegate_programs": plain(),
    "config_parse_bpf_foreign_program": plain(value_checks.attached_program),
    "config_parse_bus_name": text(value_checks.bus_name),
    "config_parse_bus_policy": plain(),
    "config_parse_bus_policy_world": plain(),
    "config_parse_busname_service": units("service", many=False),
    "config_parse_capability_set": bare_words(value_checks.capability, invertible=True),
    "config_parse_cg_cpu_weight": typed(value_checks.cpu_weight),
    "config_parse_cg_weight": typed(value_checks.weight),
    "config_parse_cgroup_nft_set": plain(),
    "config_parse_cgroup_socket_bind": typed(value_checks.bind_rule),
    "config_parse_collect_mode": choice("inactive", "inactive-or-failed"),
    "config_parse_concurrency_max": typed(either(one_of("infinity"), values.unsigned)),
    "config_parse_cpu_quota": typed(value_checks.cpu_quota),
    "config_parse_cpuset_partition": choice("member", "root", "isolated"),
    "config_parse_delegate": bool_or_words(*_CONTROLLERS),
    "config_parse_delegate_subgroup": text(matching(r"[^/]+", "the name of a control group")),
    "config_parse_device_allow": first_and_rest(value_checks.device, value_checks.device_rights, default="rwm"),
    "config_parse_device_policy": choice("auto", "closed", "strict"),
    "config_parse_disable_controllers": bare_words(one_of(*_CONTROLLERS)),
    "config_parse_documentation": word_list(value_checks.documentation),
    "config_parse_emergency_action": choice(*_ACTIONS),
    "config_parse_environ": environ(),
    "config_parse_exec": exec_line(),
    "config_parse_exec_coredump_filter": plain(
        bare_words(either(matching("(0x)?[0-9A-Fa-f]{1,16}", "a number"), one_of(*_MAPPINGS))).check
    ),
    "config_parse_exec_cpu_affinity": text(either(one_of("numa"), value_checks.cpu_set)),
    "config_parse_exec_cpu_sched_policy": choice("other", "batch", "idle", "fifo", "rr", "ext"),
    "config_parse_exec_cpu_sched_prio": typed(partial(values.integer, low=0, high=99)),
    "config_parse_exec_input": output("null", "tty", "tty-force", "tty-fail", "data", "socket", "fd"),
    "config_parse_exec_input_data": input_data(),
    "config_parse_exec_input_text": input_text(),
    "config_parse_exec_io_class": choice("none", "realtime", "best-effort", "idle", "0", "1", "2", "3"),
    "config_parse_exec_io_priority": typed(partial(values.integer, low=0, high=7)),
    "config_parse_exec_keyring_mode": choice("inherit", "private", "shared"),
    "config_parse_exec_memory_thp": choice("inherit", "disable", "madvise", "system"),
    "config_parse_exec_mount_propagation_flag": choice("shared", "slave", "private"),
    "config_parse_exec_nice": typed(partial(values.integer, low=-20, high=19)),
    "config_parse_exec_oom_score_adjust": typed(partial(values.integer, low=-1000, high=1000)),
    "config_parse_exec_output": output(
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
    "config_parse_exec_quota": typed(either(one_of("off"), value_checks.memory)),
    "config_parse_exec_root_hash": plain(value_checks.root_hash),
    "config_parse_exec_root_hash_sig": plain(value_checks.root_hash_signature),
    "config_parse_exec_secure_bits": bare_words(
        one_of("keep-caps", "keep-caps-locked", "no-setuid-fixup", "no-setuid-fixup-locked", "noroot", "noroot-locked")
    ),
    "config_parse_exec_selinux_context": plain(),
    "config_parse_exec_utmp_mode": choice("init", "login", "user"),
    "config_parse_exit_status": typed(partial(values.unsigned, high=255)),
    "config_parse_extension_images": plain(word_list(value_checks.extension_image).check),
    "config_parse_fdname": text(value_checks.fd_name),
    "config_parse_fsck_passno": typed(values.integer),
    "config_parse_iec_size": typed(values.size),
    "config_parse_image_policy": plain(),
    "config_parse_import_credential": plain(),
    "config_parse_in_addr_prefixes": bare_words(value_checks.ip_prefix),
    "config_parse_int": typed(values.integer),
    "config_parse_io_device_latency": first_and_rest(value_checks.absolute_path, values.timespan),
    "config_parse_io_device_weight": first_and_rest(value_checks.absolute_path, value_checks.weight),
    "config_parse_io_limit": first_and_rest(value_checks.absolute_path, value_checks.rate),
    "config_parse_ip_filter_bpf_progs": _PATH,
    "config_parse_ip_tos": typed(
        either(one_of("low-delay", "throughput", "reliability", "low-cost"), partial(values.unsigned, high=255))
    ),
    "config_parse_job_mode": choice(*_JOB_MODES),
    "config_parse_job_mode_isolate": _BOOL,
    "config_parse_job_running_timeout_sec": _SPAN,
    "config_parse_job_timeout_sec": _SPAN,
    "config_parse_kill_mode": choice("control-group", "process", "mixed", "none"),
    "config_parse_load_credential": load_credential(),
    "config_parse_log_extra_fields": word_list(
        matching(r"(?s)[A-Z0-9][A-Z0-9_]*=.*", "a journal field", "write FIELD=value"), unescape=True
    ),
    "config_parse_log_facility": typed(either(matching("[0-9]{1,2}", "a number"), one_of(*_FACILITIES))),
    "config_parse_log_filter_patterns": plain(),
    "config_parse_log_level": choice(*_LEVELS, *"01234567"),
    "config_parse_log_namespace": text(matching(r"[A-Za-z0-9_.@:-]+", "the name of a log namespace")),
    "config_parse_long": typed(partial(values.integer, low=-(2**63), high=2**63 - 1)),
    "config_parse_luo_sessions": plain(),
    "config_parse_managed_oom_mem_pressure_duration_sec": _SPAN,
    "config_parse_managed_oom_mem_pressure_limit": typed(values.percent),
    "config_parse_managed_oom_mode": choice("auto", "kill"),
    "config_parse_managed_oom_preference": choice("none", "avoid", "omit"),
    "config_parse_managed_oom_rules": plain(),
    "config_parse_memory_limit": _MEMORY,
    "config_parse_mode": typed(values.mode),
    "config_parse_mount_images": plain(word_list(value_checks.mount_image).check),
    "config_parse_mount_node": text(matching(r"[^\0]+", "something to mount")),
    "config_parse_namespace_flags": bool_or_words(*_NAMESPACES),
    "config_parse_namespace_path_strv": word_list(value_checks.absolute_path, raw_check=value_checks.namespace_path),
    "config_parse_notify_access": choice("none", "main", "exec", "all"),
    "config_parse_nsec": typed(matching(r"[0-9]+ ?(ns|us|ms|s)?", "a time span in nanoseconds")),
    "config_parse_numa_mask": typed(either(one_of("all"), value_checks.cpu_set)),
    "config_parse_numa_policy": choice("default", "preferred", "bind", "interleave", "local"),
    "config_parse_obsolete_unit_deps": units(),
    "config_parse_oom_policy": choice("continue", "stop", "kill"),
    "config_parse_open_file": plain(),
    "config_parse_pass_environ": word_list(value_checks.environment_name),
    "config_parse_path_spec": _PATH,
    "config_parse_personality": choice(*_PERSONALITIES),
    "config_parse_pid_file": text(either(value_checks.absolute_path, value_checks.relative_path)),
    "config_parse_pressure_watch": choice("auto", "skip", or_bool=True),
    "config_parse_private_bpf": _BOOL,
    "config_parse_private_pids": _BOOL,
    "config_parse_private_tmp": choice("disconnected", or_bool=True),
    "config_parse_private_users": choice("self", "identity", "full", "managed", or_bool=True),
    "config_parse_proc_subset": choice("all", "pid"),
    "config_parse_protect_control_groups": choice("private", "strict", or_bool=True),
    "config_parse_protect_home": choice("read-only", "tmpfs", or_bool=True),
    "config_parse_protect_hostname": typed(
        either(values.boolean, matching(r"(yes|private|true|on|1)(:[A-Za-z0-9.-]+)?", "yes, no or private"))
    ),
    "config_parse_protect_proc": choice("noaccess", "invisible", "ptraceable", "default"),
    "config_parse_protect_system": choice("full", "strict", or_bool=True),
    "config_parse_reboot_parameter": text(),
    "config_parse_restrict_filesystems": bare_words(
        matching(r"@?[A-Za-z0-9_.-]+", "a file system type"), invertible=True
    ),
    "config_parse_restrict_network_interfaces": bare_words(value_checks.interface, invertible=True),
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
    "config_parse_set_status": bare_words(value_checks.exit_status),
    "config_parse_signal": typed(values.signal),
    "config_parse_socket_bind": choice("default", "both", "ipv6-only", or_bool=True),
    "config_parse_socket_bindtodevice": text(value_checks.interface, specifiers=False),
    "config_parse_socket_defer_trigger": choice("patient", or_bool=True),
    "config_parse_socket_listen": text(value_checks.socket_address),
    "config_parse_socket_protocol": choice("udplite", "sctp", "mptcp"),
    "config_parse_socket_service": units("service", many=False),
    "config_parse_socket_timestamping": choice("us", "usec", "µs", "ns", "nsec", or_bool=True),
    "config_parse_string": text(specifiers=False),
    "config_parse_swap_priority": typed(partial(values.integer, low=-1, high=32767)),
    "config_parse_tasks_max": typed(value_checks.tasks),
    "config_parse_timer": text(values.timespan),
    "config_parse_trigger_unit": units(many=False),
    "config_parse_tristate": _BOOL,
    "config_parse_tty_size": _UNSIGNED,
    "config_parse_unit_cgroup": plain(),
    "config_parse_unit_cgroup_attr": plain(),
    "config_parse_unit_cgroup_attr_pretty": plain(),
    "config_parse_unit_condition_null": _BOOL,
    "config_parse_unit_condition_path": condition(value_checks.absolute_path),
    "config_parse_unit_condition_string": condition(value_checks.condition),
    "config_parse_unit_cpu_set": text(value_checks.cpu_set),
    "config_parse_unit_deps": units(),
    "config_parse_unit_env_file": environment_file(),
    "config_parse_unit_mounts_for": word_list(value_checks.absolute_path),
    "config_parse_unit_names": units(),
    "config_parse_unit_path_printf": _PATH,
    "config_parse_unit_path_strv_printf": word_list(value_checks.absolute_path),
    "config_parse_unit_slice": units("slice", many=False),
    "config_parse_unit_string_printf": text(),
    "config_parse_unset_environ": word_list(value_checks.assignment, unescape=True),
    "config_parse_unsigned": _UNSIGNED,
    "config_parse_user_group_compat": text(value_checks.user),
    "config_parse_user_group_strv_compat": bare_words(value_checks.user, specifiers=True),
    "config_parse_warn_compat": plain(),
    "config_parse_working_directory": text(value_checks.working_directory),
    "config_parse_xattr": text(),
    "config_parse_set_credential": set_credential(encrypted=False),
    "config_parse_exec_directories": word_list(value_checks.state_directory, raw_check=value_checks.named_directory),
    "config_parse_colon_separated_paths": colon_list(value_checks.absolute_path),
    "config_parse_temporary_filesystems": pairs(
        value_checks.absolute_path,
        matching(r"[!-~]+", "mount options"),
        specifiers_to=False,
        escape=lambda path: re.sub(r"([\\:])", r"\\\1", path),
    ),  # systemd splits off the path a second time
    "config_parse_rlimit": plain(),
}


# Keys that share a parse function but not a syntax, and keys whose parse function depends on the build of systemd; the
# table calls that function config_parse_warn_compat.
KEYS: Mapping[str, SettingKind] = {
    **resource_limits(),
    "ConfigurationDirectory": word_list(value_checks.state_directory),
    "DefaultInstance": text(matching(r"[A-Za-z0-9:_.\\@-]+", "the instance of a unit")),
    "OnCalendar": text(calendar.check_calendar),
    "ListenFIFO": _PATH,
    "ListenSequentialPacket": text(value_checks.unix_socket_address),
    "ListenSpecial": _PATH,
    "ListenUSBFunction": _PATH,
    "ListenMessageQueue": text(matching(r"/[^/]+", "the name of a message queue", "such as /queue")),
    "ListenNetlink": text(value_checks.netlink),
    "MemoryTHP": plain(),
    "AppArmorProfile": text(value_checks.not_prefixed),
    "SELinuxContext": text(value_checks.not_prefixed),
    "SmackProcessLabel": text(value_checks.not_prefixed),
    "SmackLabel": text(),
    "SmackLabelIPIn": text(),
    "SmackLabelIPOut": text(),
    "SELinuxContextFromNet": _BOOL,
    "PAMName": text(),
    "LockPersonality": _BOOL,
    "MemoryDenyWriteExecute": _BOOL,
    "RestrictRealtime": _BOOL,
    "RestrictSUIDSGID": _BOOL,
    "RestrictNamespaces": bool_or_words(*_NAMESPACES),
    "RestrictAddressFamilies": bare_words(
        matching("AF_[A-Za-z0-9_]+", "an address family", "such as AF_INET"), invertible=True, alone="none"
    ),
    "SystemCallFilter": bare_words(value_checks.system_call, invertible=True, check_list=value_checks.system_calls),
    "SystemCallLog": bare_words(matching(r"[@a-z0-9_]+(-[a-z]+)*", "a system call or group of them"), invertible=True),
    "SystemCallArchitectures": bare_words(matching(r"[a-z0-9_-]+", "an architecture", "such as native")),
    "SystemCallErrorNumber": typed(either(one_of("kill"), values.error_number)),
    "CPUAccounting": _BOOL,
    "BlockIOAccounting": _BOOL,
    "MemoryLimit": _MEMORY,
    "DefaultMemoryLow": _MEMORY,
    "DefaultMemoryMin": _MEMORY,
    "DefaultStartupMemoryLow": _MEMORY,
}
