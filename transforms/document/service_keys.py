"""The keys of a service as one table: the larger half of the document language, see `language`."""

from __future__ import annotations

from ordain.transforms.document.shapes import (
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
    """A time span (systemd.time(7))."""
    return String(about, SPAN.title, "timespan", template=False)


def size(about: str) -> String:
    """A size in bytes, with K, M, G, T (1024), a percentage, or infinity."""
    return String(about, SIZE.title, "size", template=False)


def path(about: str, example: str = "") -> String:
    """An absolute path."""
    return String(about, PATH.title, "path", example)


def names(about: str) -> Set:
    """A set of services, milestones, paths or unit names (rule 15)."""
    return Set(about, "a service, milestone, path or unit name", "reference")


LIMITS = Record(
    {
        "memory": size("Most memory it may use; beyond it is killed (MemoryMax=)."),
        "memory-high": size("Memory beyond which it is throttled (MemoryHigh=)."),
        "memory-locked": size("Most memory it may lock (LimitMEMLOCK=)."),
        "cpu": String(
            'CPU time: "200%" or 2 = two CPUs (CPUQuota=).',
            'a percentage such as "50%", or a number of CPUs',
            "cpu",
            "50%",
        ),
        "cpu-weight": Integer("Share of the CPU under contention, 100 is normal (CPUWeight=).", 1, 10000),
        "io-weight": Integer("Share of disk bandwidth under contention, 100 is normal (IOWeight=).", 1, 10000),
        "tasks": String(
            "Most processes and threads, or a percentage, or infinity (TasksMax=).",
            "a number, a percentage or infinity",
            "count",
        ),
        "open-files": String("Most open files (LimitNOFILE=).", "a number or infinity", "rlimit"),
        "processes": String("Most processes of its user (LimitNPROC=).", "a number or infinity", "rlimit"),
        "core": size("Largest core file (LimitCORE=)."),
    },
    "Resource limits.",
)

SANDBOX = Record(
    {
        "level": Choice(("none", "standard", "strict"), "How much to shut off."),
        "write": Sequence(path("A path it may write to."), "Paths it may write to although the rest is read-only."),
        "network": Flag("Whether it may use the network; true unless set."),
        "capabilities": Sequence(String(title="a capability", format="capability"), "Capabilities it keeps."),
    },
    "Shuts off what a service does not need, as far as the target's systemd can; a bare word is the level. Strict "
    "leaves no capability to a service of ours but those it names here or in `capabilities`.",
    shorthand="level",
)

ON_SOURCE_LOSS = Record(
    {
        "policy": Choice(("keep",), "It runs on."),
        "stop-after": span("It is stopped when the documents could not be reached for so long."),
    },
    "What happens while the documents cannot be reached: keep, or {stop-after: 1h}.",
    one_of=(("policy", "stop-after"),),
    shorthand="policy",
)

LISTEN = Record(
    {
        "stream": Sequence(
            String(title="a port, an address with a port, or a path", format="listen"),
            "TCP or Unix stream.",
            "127.0.0.1:8080",
        ),
        "datagram": Sequence(
            String(title="a port, an address with a port, or a path", format="listen"), "UDP or Unix datagram."
        ),
        "sequential": Sequence(String(title="a path", format="listen"), "Unix sequential packets."),
        "fifo": Sequence(path("A named pipe."), "Named pipes."),
        "accept": Flag("One process for each connection (Accept=yes)."),
        "mode": String("Access mode of Unix sockets and pipes.", "an octal mode", "mode", template=False),
        "user": String("Owner of Unix sockets and pipes.", "a user"),
    },
    "Sockets that systemd opens and hands over; the socket starts the service.",
)

SCHEDULE = Record(
    {
        "calendar": Sequence(
            String(title='a calendar time such as "daily"', format="calendar", template=False),
            "Points in time (systemd.time(7)).",
            "daily",
        ),
        "after-boot": span("Once, so long after boot (OnBootSec=)."),
        "every": span("Again and again, so long after the last start."),
        "splay": span("A random delay of up to so much, fixed for the machine (RandomizedDelaySec=)."),
        "persistent": Flag("Make up for a run missed while the machine was off."),
    },
    "When to start the service; a bare string is a calendar time.",
    shorthand="calendar",
)

DIRECTORY = Sequence(String(title="a relative path", format="relative-path"), "")
DIRECTORIES = Record(
    {
        "state": Sequence(DIRECTORY.item, "Below /var/lib."),
        "cache": Sequence(DIRECTORY.item, "Below /var/cache."),
        "logs": Sequence(DIRECTORY.item, "Below /var/log."),
        "runtime": Sequence(DIRECTORY.item, "Below /run."),
        "configuration": Sequence(DIRECTORY.item, "Below /etc."),
    },
    "Directories made for the service and owned by its user.",
)

CREDENTIAL = Record(
    {
        "file": path("A file with the secret."),
        "encrypted": path("A file made by systemd-creds encrypt."),
        "ciphertext": String("What systemd-creds encrypt printed.", "base64", "base64", template=False),
    },
    one_of=(("file", "encrypted", "ciphertext"),),
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
    "The start is skipped unless all hold; ! in front of a value negates it.",
)

HEALTH = Record(
    {
        "tcp": String("Connects.", 'an address such as "127.0.0.1:80"'),
        "http": String("Answers below 400.", "a URL"),
        "unix": path("Connects."),
        "command": CommandLine("Exits with 0."),
        "bus-name": String("Is owned."),
        "within": span("How long it may take."),
        "settle": span("How long it must last."),
    },
    "How to see that it works (of a socket-activated service only while it is active).",
    one_of=(("tcp", "http", "unix", "command", "bus-name"),),
)

FILE = Record(
    {
        "content": String("The content.", "a text"),
        "template": String("The content as a jinja2 template.", "a text", template=False),
        "credential": Record(
            {
                "name": String("The name of a credential of the machine.", "a name"),
                "file": path("A file of the machine that holds it."),
                "encrypted": path("A file that systemd-creds encrypted."),
                "ciphertext": String("What systemd-creds encrypt printed.", "base64", "base64", template=False),
            },
            "The secret that is the content; a bare word is its name.",
            title="a secret",
            one_of=(("name", "file", "encrypted", "ciphertext"),),
            shorthand="name",
        ),
        "link": path("The target of a symbolic link."),
        "directory": Flag("A directory."),
        "mode": String("Access mode.", "an octal mode", "mode", template=False),
        "owner": String("User that owns it.", "a user"),
        "group": String("Group that owns it.", "a group"),
        "state": Choice(("present", "absent"), "absent removes it."),
        "on-remove": Choice(("restore", "keep"), "What happens when no document speaks of it any more."),
    },
    one_of=(("content", "template", "credential", "link", "directory"),),
)

RAW = Map(
    Map(
        Sequence(String(title="a value in systemd's own syntax", format="raw", template=False)),
        key="a directive",
        format="directive",
    ),
    "Directives in systemd's own syntax, by section; specifiers work. They win over the neutral keys. "
    "Socket goes to the socket of `listen`, Timer to the timer of `schedule`.",
    "a section such as Service",
    "section",
)

_COMMON: dict[str, Shape] = {
    "unit": String(
        "The unit of the distribution this is about, of any type; keys then change it by drop-in.",
        "a unit name",
        "unit-name",
        "apt-daily.timer",
        template=False,
    ),
    "description": String("What it is, for people."),
    "documentation": Sequence(
        String(title="a URI such as man:foo(8)", format="uri"), "Where to read on.", "man:sshd(8)"
    ),
    "command": CommandLine("What to run. With it the service is ours, unless `unit` is set.", COMMANDS[0]),
    "before-start": CommandLine("Runs before it (ExecStartPre=)."),
    "after-start": CommandLine("Runs after it has started (ExecStartPost=)."),
    "stop": CommandLine("Runs to stop it (ExecStop=)."),
    "reload": CommandLine(
        "A signal such as SIGHUP, or a command, that makes it read its configuration again.", "SIGHUP"
    ),
    "type": Choice(
        ("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"),
        "When it counts as started (Type=); exec unless set.",
    ),
    "bus-name": String("The D-Bus name it takes (type dbus).", "a bus name"),
    "remain": Flag("A oneshot stays active after it has finished."),
    "user": String("User to run as.", "a user"),
    "group": String("Group to run as.", "a group"),
    "supplementary-groups": Sequence(String(title="a group"), "Further groups."),
    "dynamic-user": Flag("A user of its own that exists only while it runs."),
    "working-directory": path("Where it starts."),
    "umask": String("File mode creation mask.", "an octal mode", "mode", template=False),
    "environment": Map(String(), "Environment variables.", "a variable name", "variable"),
    "environment-files": Sequence(
        String(title="an absolute path, with - in front if it may be missing", format="optional-path"),
        "Files with environment variables.",
    ),
    "restart": Choice(
        ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"),
        "When systemd starts it again.",
    ),
    "restart-delay": span("How long to wait before that."),
    "start-limit": Record(
        {"burst": Integer("How many starts."), "interval": span("In which time.")},
        "Starts beyond this are refused.",
    ),
    "start-timeout": span("How long a start may take."),
    "stop-timeout": span("How long a stop may take before it is killed."),
    "stop-signal": String("The signal that stops it.", "a signal", "signal", template=False),
    "watchdog": span("It is restarted when it has not called for so long."),
    "nice": Integer("Scheduling niceness.", -20, 19),
    "oom-score": Integer("How soon the kernel kills it when memory runs out.", -1000, 1000),
    "slice": String("The slice it is in.", "a slice", "slice", template=False),
    "limits": LIMITS,
    "capabilities": Sequence(
        String(title="a capability", format="capability"),
        "Capabilities it has without being root; it can get no others.",
        "net-bind-service",
    ),
    "after": names("Starts after these, if they start."),
    "before": names("Starts before these."),
    "requires": names("Starts these too, and does not start without them."),
    "wants": names("Starts these too."),
    "part-of": names("Stops and restarts with these."),
    "conflicts": names("Never runs together with these."),
    "on-failure": names("Started when it fails."),
    "condition": CONDITION,
    "listen": LISTEN,
    "schedule": SCHEDULE,
    "directories": DIRECTORIES,
    "credentials": Map(CREDENTIAL, "Secrets, handed over in files only it can read.", "a name", "credential-name"),
    "sandbox": SANDBOX,
    "files": Map(FILE, "Files it needs; a relative name lies in its configuration directory.", "a path"),
    "uses": Set(
        "Paths it reads; a trailing / is the tree.",
        "an absolute path",
        "path",
        of=MemberWord(("reload", "restart")),
    ),
    "check": CommandLine("Runs before a start, restart or reload; if it fails nothing is done."),
    "health": HEALTH,
    "state": Choice(("running", "stopped", "masked"), "What it should be."),
    "phase": Choice(("main", "early"), "main: the agent starts it. early: it is part of the boot."),
    "on-change": Choice(
        ("auto", "restart", "reload", "none", "reboot"), "What happens to it when its definition changes."
    ),
    "on-remove": Choice(("stop", "keep"), "What happens to it when no document speaks of it any more."),
    "on-source-loss": ON_SOURCE_LOSS,
    "drift": Choice(("report", "enforce"), "What happens when an admin has changed it."),
    "systemd": RAW,
}

SERVICE = Record(
    {
        **_COMMON,
        "instances": Set(
            "Makes NAME@.service and these instances of it; the keys of one are a drop-in for it.",
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
