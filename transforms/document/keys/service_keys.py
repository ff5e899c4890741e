"""The keys of a service as one table, the larger half of the document language (see `language`)."""

from __future__ import annotations

from ordain.transforms.document.keys.shapes import (
    Choice,
    CommandLine,
    Flag,
    Integer,
    Map,
    MemberWord,
    Record,
    Sequence,
    Set,
    Shape,
    String,
)

PATH = String(title="an absolute path", format="path")
SPAN = String(title='a time span such as "90s"', format="timespan", template=False)
SIZE = String(title='a size such as "512M"', format="size", template=False)
COMMANDS = ("/usr/bin/true", "[/usr/bin/true, --flag]")


def span(about: str) -> String:
    """Return the shape of a time span (systemd.time(7))."""
    return String(about, SPAN.title, "timespan", template=False)


def size(about: str) -> String:
    """Return the shape of a size in bytes: a number, also with K, M, G or T in powers of 1024."""
    return String(about, SIZE.title, "size", template=False)


def size_limit(about: str) -> String:
    """Return the shape of a limit in bytes: a size, or infinity (systemd.resource-control(5), systemd.exec(5))."""
    return String(about, 'a size such as "512M", or infinity', "size-limit", template=False)


def path(about: str, example: str = "") -> String:
    """Return the shape of an absolute path."""
    return String(about, PATH.title, "path", example)


def names(about: str) -> Set:
    """Return the shape of a set of services, milestones, paths or unit names (docs/design/documents.md, rule 15)."""
    return Set(about, "a service, milestone, path or unit name", "reference")


LIMITS = Record(
    {
        "memory": size_limit("The most memory it may use. If it uses more, it is killed (MemoryMax=)."),
        "memory-high": size_limit("The memory above which it is throttled (MemoryHigh=)."),
        "memory-locked": size_limit("The most memory it may lock (LimitMEMLOCK=)."),
        "cpu": String(
            'The most CPU time it may use; "200%" or 2 is two CPUs (CPUQuota=).',
            'a percentage such as "50%", or a number of CPUs',
            "cpu",
            "50%",
        ),
        "cpu-weight": Integer(
            "Its share of the CPU time when several services compete; the default is 100 (CPUWeight=).", 1, 10000
        ),
        "io-weight": Integer(
            "Its share of disk bandwidth when several services compete; the default is 100 (IOWeight=).", 1, 10000
        ),
        "tasks": String(
            "The most processes and threads it may have (TasksMax=).",
            "a number, a percentage or infinity",
            "count",
        ),
        "open-files": String("The most files it may have open (LimitNOFILE=).", "a number or infinity", "rlimit"),
        "processes": String("The most processes its user may have (LimitNPROC=).", "a number or infinity", "rlimit"),
        "core": size_limit("The largest core file (LimitCORE=)."),
    },
    "Resource limits.",
)

SANDBOX = Record(
    {
        "level": Choice(("none", "standard", "strict"), "The strength of the sandbox."),
        "write": Sequence(
            path("A path that it may write to."), "The paths it may write to, although the rest is read-only."
        ),
        "network": Flag("It may use the network. Default: true."),
        "capabilities": Sequence(String(title="a capability", format="capability"), "The capabilities it keeps."),
    },
    "Takes from the service what it does not need, as far as the systemd of the machine can. A bare word is the level. "
    "With `strict`, a service with a `command` keeps only the capabilities that are named here or in `capabilities`.",
    shorthand="level",
)

ON_SOURCE_LOSS = Record(
    {
        "policy": Choice(("keep",), "keep: it continues to run."),
        "stop-after": span("It is stopped after the source of the documents has not been reachable for this long."),
    },
    "The behaviour while the source of the documents is not reachable: keep, or {stop-after: 1h}. Default: keep.",
    one_of=(("policy", "stop-after"),),
    shorthand="policy",
)

LISTEN = Record(
    {
        "stream": Sequence(
            String(title="a port, an address with a port, or a path", format="listen"),
            "TCP or Unix stream sockets.",
            "127.0.0.1:8080",
        ),
        "datagram": Sequence(
            String(title="a port, an address with a port, or a path", format="listen"), "UDP or Unix datagram sockets."
        ),
        "sequential": Sequence(String(title="a path", format="listen"), "Unix sequential-packet sockets."),
        "fifo": Sequence(path("A named pipe."), "Named pipes."),
        "accept": Flag("Start one process for each connection (Accept=yes)."),
        "mode": String("The access mode of Unix sockets and pipes.", "an octal mode", "mode", template=False),
        "user": String("The owner of Unix sockets and pipes.", "a user"),
    },
    "Sockets that systemd opens for the service. A connection starts it.",
)

SCHEDULE = Record(
    {
        "calendar": Sequence(
            String(title='a calendar time such as "daily"', format="calendar", template=False),
            "The times to start it at (systemd.time(7)).",
            "daily",
        ),
        "after-boot": span("Start it once, this long after boot (OnBootSec=)."),
        "every": span("Start it again this long after its last start."),
        "splay": span("The longest random delay, which is constant on a machine (RandomizedDelaySec=)."),
        "persistent": Flag("Start it at boot if a start was missed while the machine was off (Persistent=)."),
    },
    "The times at which a timer starts the service. A bare string is a calendar time.",
    shorthand="calendar",
)

DIRECTORY = Sequence(String(title="a relative path", format="relative-path"), "")
DIRECTORIES = Record(
    {
        "state": Sequence(DIRECTORY.item, "Directories below /var/lib."),
        "cache": Sequence(DIRECTORY.item, "Directories below /var/cache."),
        "logs": Sequence(DIRECTORY.item, "Directories below /var/log."),
        "runtime": Sequence(DIRECTORY.item, "Directories below /run."),
        "configuration": Sequence(DIRECTORY.item, "Directories below /etc."),
    },
    "Directories that systemd makes for the service and that its user owns.",
)

CREDENTIAL = Record(
    {
        "file": path("A file that holds the secret."),
        "encrypted": path("A file that `systemd-creds encrypt` made."),
        "ciphertext": String(
            "The output of `systemd-creds encrypt`.", "an encrypted credential", "sealed", template=False
        ),
        "secret": String("A name in the section `secrets`.", "the name of a secret", "credential-name", template=False),
    },
    one_of=(("file", "encrypted", "ciphertext", "secret"),),
)

CONDITIONS = {
    "path-exists": "ConditionPathExists",
    "path-exists-glob": "ConditionPathExistsGlob",
    "path-is-directory": "ConditionPathIsDirectory",
    "path-is-symbolic-link": "ConditionPathIsSymbolicLink",
    "path-is-mount-point": "ConditionPathIsMountPoint",
    "path-is-read-write": "ConditionPathIsReadWrite",
    "directory-not-empty": "ConditionDirectoryNotEmpty",
    "file-not-empty": "ConditionFileNotEmpty",
    "file-is-executable": "ConditionFileIsExecutable",
    "virtualization": "ConditionVirtualization",
    "architecture": "ConditionArchitecture",
    "kernel-command-line": "ConditionKernelCommandLine",
    "kernel-version": "ConditionKernelVersion",
    "capability": "ConditionCapability",
    "security": "ConditionSecurity",
    "ac-power": "ConditionACPower",
    "first-boot": "ConditionFirstBoot",
    "host": "ConditionHost",
    "memory": "ConditionMemory",
    "cpus": "ConditionCPUs",
    "environment": "ConditionEnvironment",
    "user": "ConditionUser",
    "group": "ConditionGroup",
    "credential": "ConditionCredential",
}
CONDITION = Record(
    {
        name: Sequence(
            String(
                title="an absolute path or a value, with ! for not",
                format="condition-path" if name.startswith(("path-", "file-", "directory-")) else "",
            ),
            f"{directive}= of systemd.unit(5).",
        )
        for name, directive in CONDITIONS.items()
    },
    "Conditions of the start: unless all hold, systemd skips it. ! in front of a value negates it.",
)

HEALTH = Record(
    {
        "tcp": String("The address accepts a TCP connection.", 'an address such as "127.0.0.1:80"'),
        "http": String("The URL answers with a status below 400.", "a URL"),
        "unix": path("The Unix socket accepts a connection."),
        "command": CommandLine("The command exits with 0."),
        "bus-name": String("The name is owned on the system bus."),
        "within": span("The time from the start of the service until the check must succeed."),
        "settle": span("The time for which the check must go on to succeed."),
    },
    "The check that the service works. A socket-activated service is only checked while it is active.",
    one_of=(("tcp", "http", "unix", "command", "bus-name"),),
)

FILE = Record(
    {
        "content": String("The content of the file.", "a text"),
        "template": String("The content of the file as a jinja2 template.", "a text", template=False),
        "credential": Record(
            {
                "name": String("The name of a credential of the machine.", "a name"),
                "file": path("A file of the machine that holds the secret."),
                "encrypted": path("A file that `systemd-creds encrypt` made."),
                "ciphertext": String(
                    "The output of `systemd-creds encrypt`.", "an encrypted credential", "sealed", template=False
                ),
                "secret": String(
                    "A name in the section `secrets`.", "the name of a secret", "credential-name", template=False
                ),
            },
            "A secret as the content of the file. A bare word is the name of a credential.",
            title="a secret",
            one_of=(("name", "file", "encrypted", "ciphertext", "secret"),),
            shorthand="name",
        ),
        "link": path("The target of a symbolic link."),
        "directory": Flag("Make a directory."),
        "mode": String("The access mode.", "an octal mode", "mode", template=False),
        "owner": String("The user that owns it. Missing directories above it belong to root.", "a user"),
        "group": String("The group that owns it.", "a group"),
        "state": Choice(("present", "absent"), "absent: the file is removed."),
        "on-remove": Choice(
            ("restore", "keep"),
            "The behaviour when no document names it any more: `restore` brings back what was there before.",
        ),
        "drift": Choice(
            ("report", "enforce"),
            "The action when others have changed it. Default: report, or that of the services that use it.",
        ),
    },
    one_of=(("content", "template", "credential", "link", "directory"),),
)

RAW = Map(
    Map(
        Sequence(String(title="a value in systemd's own syntax", format="raw", template=False)),
        key="a directive",
        format="directive",
    ),
    "Directives in systemd's own syntax, by section. Specifiers are expanded. They override the neutral keys. "
    "The section Socket is for the socket of `listen`, Timer for the timer of `schedule`.",
    "a section such as Service",
    "section",
)

_COMMON: dict[str, Shape] = {
    "unit": String(
        "The unit of the distribution that this entry is about, of any type. The other keys become a drop-in for it.",
        "a unit name",
        "unit-name",
        "apt-daily.timer",
        template=False,
    ),
    "description": String("A description for people."),
    "documentation": Sequence(
        String(title="a URI such as man:foo(8)", format="uri"), "Its documentation.", "man:sshd(8)"
    ),
    "command": CommandLine(
        "The command that the service runs. With this key Ordain makes the unit, unless `unit` is set.", COMMANDS[0]
    ),
    "before-start": CommandLine("A command to run before the start (ExecStartPre=)."),
    "after-start": CommandLine("A command to run after the start (ExecStartPost=)."),
    "stop": CommandLine("The command that stops it (ExecStop=)."),
    "reload": CommandLine(
        "The signal, such as SIGHUP, or the command that makes it read its configuration again.", "SIGHUP"
    ),
    "type": Choice(
        ("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"),
        "The moment from which it counts as started (Type=). Default: exec.",
    ),
    "bus-name": String("The D-Bus name that it takes (type dbus).", "a bus name"),
    "remain": Flag("The service stays active after its command has finished (type oneshot; RemainAfterExit=)."),
    "user": String("The user that it runs as.", "a user"),
    "group": String("The group that it runs as.", "a group"),
    "supplementary-groups": Sequence(String(title="a group"), "Its further groups."),
    "dynamic-user": Flag("Run it as a user of its own that exists only while it runs (DynamicUser=)."),
    "working-directory": path("The directory that it starts in."),
    "umask": String("The file mode creation mask.", "an octal mode", "mode", template=False),
    "environment": Map(String(), "Its environment variables.", "a variable name", "variable"),
    "environment-files": Sequence(
        String(title="an absolute path, with - in front if it may be missing", format="optional-path"),
        "Files with environment variables.",
    ),
    "restart": Choice(
        ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"),
        "The cases in which systemd starts it again (Restart=).",
    ),
    "restart-delay": span("The time to wait before systemd starts it again."),
    "start-limit": Record(
        {"burst": Integer("The number of starts."), "interval": span("The time that they are counted in.")},
        "The limit of starts; systemd refuses more.",
    ),
    "start-timeout": span("The longest time that a start may take."),
    "stop-timeout": span("The longest time that a stop may take. After it the service is killed."),
    "stop-signal": String("The signal that stops it.", "a signal", "signal", template=False),
    "watchdog": span("It is restarted after it has not notified systemd for this long (WatchdogSec=)."),
    "nice": Integer("Its scheduling priority; lower is more.", -20, 19),
    "oom-score": Integer(
        "Its score when memory runs out; the kernel kills processes with a high score first.", -1000, 1000
    ),
    "slice": String("The slice that it is in.", "a slice", "slice", template=False),
    "limits": LIMITS,
    "capabilities": Sequence(
        String(title="a capability", format="capability"),
        "The capabilities it has without being root. It cannot get others.",
        "net-bind-service",
    ),
    "after": names("If these start as well, it starts after them."),
    "before": names("If these start as well, it starts before them."),
    "requires": names("These are started with it; it does not start without them."),
    "wants": names("These are started with it."),
    "part-of": names("It is stopped and restarted with these."),
    "conflicts": names("It and these never run at the same time."),
    "on-failure": names("These are started when it fails."),
    "condition": CONDITION,
    "listen": LISTEN,
    "schedule": SCHEDULE,
    "directories": DIRECTORIES,
    "credentials": Map(
        CREDENTIAL, "Secrets, which the service gets as files that only it can read.", "a name", "credential-name"
    ),
    "sandbox": SANDBOX,
    "files": Map(FILE, "Files that it needs. A relative name is in its configuration directory.", "a path"),
    "uses": Set(
        "The paths that it reads; a trailing / means the whole tree. It is reloaded or restarted when they change.",
        "an absolute path",
        "path",
        of=MemberWord(("reload", "restart")),
    ),
    "check": CommandLine("A command to run before a start, restart or reload. If it fails, nothing is done."),
    "health": HEALTH,
    "state": Choice(("running", "stopped", "masked"), "Its desired state."),
    "phase": Choice(("main", "early"), "main: the agent starts it. early: it starts as part of the boot."),
    "on-change": Choice(
        ("auto", "restart", "reload", "none", "reboot"),
        "The action when its definition changes. Default: auto, the one that the changed directives need.",
    ),
    "on-remove": Choice(("stop", "keep"), "The action when no document names it any more. Default: stop."),
    "on-source-loss": ON_SOURCE_LOSS,
    "drift": Choice(("report", "enforce"), "The action when an administrator has changed it. Default: report."),
    "systemd": RAW,
}

SERVICE = Record(
    {
        **_COMMON,
        "provider": String(
            "The service that has the role which the entry is named after. Without it, the machine decides.",
            "a service name",
            "service-name",
            "chrony",
            template=False,
        ),
        "instances": Set(
            "Makes NAME@.service and these instances of it; for a service of the distribution, instances of its "
            "template. The keys of an instance become a drop-in for it.",
            "an instance name",
            "instance",
            of=Record(
                {key: shape for key, shape in _COMMON.items() if key not in {"unit", "listen", "schedule", "phase"}},
                title="the keys of an instance",
            ),
        ),
    },
    title="the keys of a service",
)
