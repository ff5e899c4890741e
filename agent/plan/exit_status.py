"""Exit statuses of services in words: those that systemd sets itself (systemd.exec(5), "Process Exit Codes")."""

from __future__ import annotations

MEANINGS = {
    200: ("CHDIR", "the working directory cannot be entered"),
    201: ("NICE", "the scheduling priority cannot be set"),
    202: ("FDS", "unwanted file descriptors cannot be closed"),
    203: ("EXEC", "the program cannot be run"),
    204: ("MEMORY", "there is not enough memory"),
    205: ("LIMITS", "a resource limit cannot be set"),
    206: ("OOM_ADJUST", "the OOM score cannot be set"),
    207: ("SIGNAL_MASK", "the signal mask cannot be set"),
    208: ("STDIN", "standard input cannot be set up"),
    209: ("STDOUT", "standard output cannot be set up"),
    210: ("CHROOT", "the root directory cannot be changed"),
    211: ("IOPRIO", "the I/O priority cannot be set"),
    212: ("TIMERSLACK", "the timer slack cannot be set"),
    213: ("SECUREBITS", "the secure bits cannot be set"),
    214: ("SETSCHEDULER", "the CPU scheduling policy cannot be set"),
    215: ("CPUAFFINITY", "the CPU affinity cannot be set"),
    216: ("GROUP", "the group is unknown or cannot be set"),
    217: ("USER", "the user is unknown or cannot be set"),
    218: ("CAPABILITIES", "the capabilities cannot be set"),
    219: ("CGROUP", "the control group cannot be set up"),
    220: ("SETSID", "the session cannot be created"),
    221: ("CONFIRM", "the start was refused on the console"),
    222: ("STDERR", "standard error cannot be set up"),
    224: ("PAM", "the PAM session cannot be set up"),
    225: ("NETWORK", "the network namespace cannot be set up"),
    226: ("NAMESPACE", "the file system namespace cannot be set up; a path in it may be missing"),
    227: ("NO_NEW_PRIVILEGES", "new privileges cannot be disabled"),
    228: ("SECCOMP", "the system call filter cannot be set up"),
    229: ("SELINUX_CONTEXT", "the SELinux context cannot be set"),
    230: ("PERSONALITY", "the personality cannot be set"),
    231: ("APPARMOR_PROFILE", "the AppArmor profile cannot be set"),
    232: ("ADDRESS_FAMILIES", "the address families cannot be restricted"),
    233: ("RUNTIME_DIRECTORY", "the runtime directory cannot be created"),
    235: ("CHOWN", "the owner of a socket cannot be changed"),
    236: ("SMACK_PROCESS_LABEL", "the SMACK label cannot be set"),
    237: ("KEYRING", "the kernel keyring cannot be set up"),
    238: ("STATE_DIRECTORY", "the state directory cannot be created"),
    239: ("CACHE_DIRECTORY", "the cache directory cannot be created"),
    240: ("LOGS_DIRECTORY", "the log directory cannot be created"),
    241: ("CONFIGURATION_DIRECTORY", "the configuration directory cannot be created"),
    242: ("NUMA_POLICY", "the NUMA policy cannot be set"),
    243: ("CREDENTIALS", "the credentials cannot be set up; one may be missing"),
    245: ("BPF", "the BPF restriction cannot be set up"),
}
"""The name and the meaning of each status."""
SUBJECTS = {
    200: ("WorkingDirectory",),
    203: ("ExecStart",),
    210: ("RootDirectory",),
    216: ("Group", "SupplementaryGroups"),
    217: ("User",),
}
"""The directives of [Service] whose value a status is about."""


def exit_status_words(status: int, subject: str = "") -> str:
    """Return an exit status with its meaning, and with the ``subject`` that it is about.

    >>> exit_status_words(203, "/usr/bin/nodejs"), exit_status_words(1)
    ('exit status 203 (EXEC: the program cannot be run: /usr/bin/nodejs)', 'exit status 1')
    """
    if status not in MEANINGS:
        return f"exit status {status}"
    name, meaning = MEANINGS[status]
    return f"exit status {status} ({name}: {meaning}{f': {subject}' if subject else ''})"
