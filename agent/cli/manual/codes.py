"""Every code of a problem or condition, with its meaning and remedy; the reference pages are generated from it.

A code is stable, so that scripts and monitoring can rely on it; the text of a message is not. A test compares this
table with the codes in the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ordain.agent.status import AgentState


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeGroup:
    """Codes of one kind: a heading, a sentence, and by code its meaning and remedy.

    ``pages`` has the page of the documentation that tells more about a code, relative to docs/.
    """

    title: str
    about: str
    codes: Mapping[str, tuple[str, str]]
    pages: Mapping[str, str] = field(default_factory=dict)


STATES: Mapping[str, tuple[str, str]] = {
    AgentState.STARTING: (
        "The agent has not started the services of this boot yet.",
        "Wait; see `systemctl status ordain-agent`.",
    ),
    AgentState.CONVERGED: (
        "The documents are accepted, nothing is left to apply, every value was read back, and every unit is in the "
        "state that the documents want, or an administrator holds it.",
        "Nothing.",
    ),
    AgentState.APPLYING: ("A change is being applied.", "Wait."),
    AgentState.TRIAL: (
        "A change was applied with `ordainctl apply --confirm` and is rolled back unless it is confirmed.",
        "Run `ordainctl confirm` or `ordainctl rollback`.",
    ),
    AgentState.DEGRADED: (
        "The machine is not as the documents want it: a unit or value differs, an item is blocked, the documents are "
        "refused, or the agent does not run.",
        "A condition in `ordainctl status` names each difference and its remedy.",
    ),
    AgentState.ROLLED_BACK: (
        "An apply failed, and the machine was rolled back; the change is not tried again.",
        "Correct the documents, or run `ordainctl apply` to try again.",
    ),
    AgentState.PAUSED: (
        "Changes of the documents are not applied: after `ordainctl pause`, `rollback` or `apply FILE`.",
        "Run `ordainctl follow`. A condition says what else ends it.",
    ),
}
"""The states of a machine, the first line of `ordainctl status`, with their meaning and remedy."""


DOCUMENTS = CodeGroup(
    title="Documents",
    about="An error refuses the whole set of documents; the last valid state stays in force.",
    codes={
        "Syntax": (
            "The file is not valid YAML or JSON, or uses a feature that documents do not allow.",
            "Correct the place that the message names.",
        ),
        "Schema": (
            "A key is unknown, or a value has the wrong type or form.",
            "Follow the hint, which names near keys or the expected form. `ordainctl schema` prints the schema.",
        ),
        "NeverMatches": (
            "A `match` names a system, an architecture, a label or another value that no machine has, or a range of "
            "versions that is empty.",
            "Correct the value; the hint has a near one. `ordainctl facts` shows the facts and labels of a machine.",
        ),
        "UnknownAtNetboot": (
            "A document with `netboot` matches on a fact that nobody knows before a system runs, so it never counts.",
            "Match on a MAC address, a fact of the hardware, or a label of the Node, as the hint lists.",
        ),
        "Netboot": (
            "The `netboot` of a machine makes no script: it has no kernel, or a value that iPXE or the kernel changes.",
            "Follow the hint; `ordainctl render --netboot` shows the script.",
        ),
        "NothingMatches": (
            "There are layers, but none matches this machine, so they configure nothing.",
            "`ordainctl match` gives the reason for each layer.",
        ),
        "Duplicate": (
            "Two documents of one kind have the same name, or two files of a release have one.",
            "Rename one of them. For a Transform this is only a warning.",
        ),
        "TwoNodes": (
            "Two Node documents match the same machine.",
            "Change the `match` of one of them, or delete it.",
        ),
        "LayerConflict": (
            "Two layers of the same tier and weight set one value differently.",
            "Give the exception a higher weight or a higher tier.",
        ),
        "Unreadable": ("A file cannot be read.", "Check that the file exists and its permissions."),
        "NotRead": (
            "A file in the directory of documents holds a document, but is not read, because its name does not end in "
            ".yaml, .yml or .json.",
            "Rename it, or move it elsewhere.",
        ),
        "UnknownSystem": (
            "--os or --on names a system that is not known.",
            "Use one of the names in the message. A Transform describes more systems for runs.",
        ),
        "Settings": (
            "agent.yaml, or ordain.source= on the kernel command line, has an error.",
            "Run `ordainctl validate /etc/ordain/agent.yaml`. The previous settings stay in force, and "
            "the machine is `degraded` until the error is corrected.",
        ),
        "SchemaTooNew": (
            "A release or its documents need a later version of Ordain.",
            "Upgrade Ordain on this machine.",
        ),
        "Release": (
            "`ordainctl serve` cannot serve a release in its directory.",
            "Follow the hint; in the meantime, machines get the last complete release.",
        ),
        "BadKey": (
            "A file in /etc/ordain/trust contains a line that is not a public key.",
            "Copy the .pub file of `ordainctl release keygen` again.",
        ),
    },
)
BLOCKED = CodeGroup(
    title="Items of this machine",
    about=(
        "A blocked item keeps its last valid form on this machine; everything else is applied. "
        "Some of these codes are also used for warnings."
    ),
    codes={
        "Item": (
            "The entry lacks a value that it needs, or its values do not fit together.",
            "Correct the entry as the message says.",
        ),
        "Encode": (
            "The file format of systemd, or of another program, cannot express a value.",
            "Use a value without the characters in the message.",
        ),
        "Template": (
            "A template cannot be expanded: a name is not defined, or the template takes too long.",
            "Define the name in `values` or as a label, or correct the template.",
        ),
        "Budget": (
            "The documents together have too many bytes or values, their templates take too many steps, or compiling "
            "them takes too much time or memory. The place is that of the document at which it was too much.",
            "Remove or split documents; the machine keeps what it has.",
        ),
        "Secret": (
            "A value looks like a password or a private key, and everybody can read the file that it is written to.",
            "Use `credentials`, or a file that only the service can read.",
        ),
        "Vital": (
            "The entry would replace something that the machine needs to boot or to be reached.",
            "Remove the entry.",
        ),
        "Clash": (
            "Two entries result in the same unit, file or network device, or one is a file below a file of the other.",
            "Merge the two entries, or rename or move one.",
        ),
        "Conflict": (
            "Two units that should both run conflict with each other (Conflicts=).",
            "Set `state: stopped` for one of them.",
        ),
        "Cycle": (
            "Units are ordered in a cycle, so systemd would not start one of them; or Runs depend on each other.",
            "Remove one of the orderings (`after`, `before`).",
        ),
        "Requires": (
            "A service requires a unit that is masked or blocked.",
            "Correct that unit first, or use `wants` instead of `requires`.",
        ),
        "NotLoadable": (
            "PID 1 would refuse to load a unit: a oneshot with `restart: always`, a timer without a time, a mount "
            "whose name does not match its path.",
            "Correct the key in the message; `systemd-analyze verify` checks a unit file.",
        ),
        "Shadows": (
            "A unit of the documents has the name of a unit of the distribution or of another generator, "
            "and would hide it.",
            "Use `unit: NAME` to change the distribution's unit, or choose another name.",
        ),
        "UnknownName": (
            "`after`, `requires` or a similar key names a service, milestone or device that does not exist.",
            "Use one of the near names in the message, or a unit name with its suffix.",
        ),
        "UnknownKey": (
            "systemd has no such section or setting. In a release: a key of a later version, which is ignored.",
            "Check the spelling in the manual page of systemd.",
        ),
        "TooNew": (
            "The systemd version of this machine does not have the setting yet.",
            "Remove the setting, or upgrade the machine. A setting that does not affect security is left out.",
        ),
        "Unmapped": (
            "The transformation database has no entry for the name on this operating system.",
            "Name the unit with `unit`, or add a Transform for this system. The message names the remedy.",
        ),
        "NoProvider": (
            "No service of the machine has the role that an entry is named after, or several can have it.",
            "Write `provider: NAME` with one of the services that the message names, or install one of them.",
        ),
        "BadTransform": (
            "An entry of the transformation database has an error, so items that use it are blocked.",
            "Correct the Transform in /etc/ordain/transforms (`ordainctl validate /etc/ordain/transforms`).",
        ),
        "UnsafeFile": (
            "Users other than root could have written or replaced a Transform, so it is not used, and nothing changes.",
            "Run the command in the message: only root may be able to write the file and the directories above it.",
        ),
        "NotInstalled": (
            "The service should run, but its unit is not installed, or its program while packages may still bring it.",
            "Install the package that the message names; the service is then started by itself. A unit that a "
            "generator makes from a file, such as a quadlet, is found after `systemctl daemon-reload`.",
        ),
        "NoPackageManager": (
            "The documents want a package on a system for which no Transform names a package manager.",
            "Install it into the image of the machine, or limit the layer to other systems with `match`.",
        ),
        "PackageName": (
            "The package manager of the system would take the name as more than a package, such as one of a release.",
            "Write the name of the package alone. The message names the place for the rest.",
        ),
        "ForeignName": (
            "The package has this name on other systems only, and the transformation database knows its name here.",
            "Write the neutral name that the message names.",
        ),
        "Unread": (
            "A setting is written, but the service that would read it is not installed.",
            "Install the package that the message names, or remove the setting.",
        ),
        "TooLate": (
            "A service of the main phase is ordered before a unit that the boot has started by then.",
            "Set `phase: early` if the order matters, else remove it.",
        ),
        "PulledIn": (
            "The service should be stopped, but something else still starts it: another unit, D-Bus or udev.",
            "Set `state: masked`, or stop what starts it.",
        ),
        "CredentialMissing": (
            "The file of a credential does not exist.",
            "Create it, for example with systemd-creds encrypt. The service then starts by itself.",
        ),
        "SecretUnknown": (
            "The entry names a secret that no document of this machine has in `secrets`, or one that is incomplete.",
            "Correct the name, or make it with `ordainctl secret seal`.",
        ),
        "SecretIncomplete": (
            "A secret has no `value` or no `keys`, or it is sealed for too many keys.",
            "Use the whole output of `ordainctl secret seal`.",
        ),
        "SecretNotForMachine": (
            "The secret is not sealed for the key of this machine. The items that use it keep their last form.",
            "Run `ordainctl secret list` to see why, then `ordainctl secret reseal`.",
        ),
        "SecretDamaged": (
            "The secret does not open: its value or a key was changed, or it was copied under another name.",
            "Seal it again with `ordainctl secret seal`.",
        ),
        "SecretKeyMissing": (
            "This machine has no key that opens secrets.",
            "Run `ordainctl fleet enroll` or `ordainctl secret key` on it, then seal the secret for it.",
        ),
        "SecretKeyUnusable": (
            "The key that opens secrets cannot be read or decrypted, or others than root can read its file.",
            "Follow the message. If others have read it, make another key, and change the secrets that it opened.",
        ),
        "NaclMissing": (
            "PyNaCl is not installed, which opens secrets.",
            "Install the package python3-nacl. The secrets are tried again with the next change, or `ordainctl apply`.",
        ),
        "SecretNotTried": (
            "ordain-secrets.service, which opens secrets, did not run.",
            "See `journalctl -u ordain-secrets.service`, then run `ordainctl apply`.",
        ),
        "AddressTaken": (
            "Two sockets listen on one address, which only the first of them can have.",
            "Choose another address for one of them, or set `state: stopped` for it.",
        ),
        "NumberTaken": (
            "The uid or gid of an account belongs to another account, of the machine or of the documents.",
            "Choose another number, or leave it out. The number of an existing account never changes.",
        ),
        "Network": (
            "The settings of a network device do not fit together, or cannot be used on this machine.",
            "Correct the device as the message says.",
        ),
        "Renderer": (
            "The network service of this machine cannot express the setting.",
            "Remove the setting, or set another `renderer`.",
        ),
        "Needs": (
            "A network device needs another device that is blocked.",
            "Correct the other device first.",
        ),
        "Renamed": (
            "With the new `hostname`, a document would no longer match this machine.",
            "Match that document on machine-id or mac.",
        ),
        "CutOff": (
            "Exclusive mode (`boot`) would stop a service through which the machine is reached.",
            "Allow the service under `boot: {allow: …}`, or set `state: stopped` for it.",
        ),
    },
    pages={
        "Secret": "howto/secrets.md",
        "CredentialMissing": "howto/secrets.md",
        "SecretNotForMachine": "howto/secrets.md",
        "SecretKeyMissing": "howto/secrets.md",
        "CutOff": "howto/exclusive-boot.md",
    },
)
RUNS = CodeGroup(
    title="Runs",
    about="`ordainctl run` refuses a Run with one of these, and submits nothing. NativeUnused and NoEffect are "
    "warnings.",
    codes={
        "Unsupported": (
            "The system cannot express a key of the Run. Nothing is left out in silence.",
            "Follow the hint; a layer that matches the run and the system can remove the key, or a Transform can add a "
            "directive to the system.",
        ),
        "OverLimit": (
            "The Run asks for more than its queue or its system allows.",
            "Use less, or a queue that the message names.",
        ),
        "Resources": (
            "The numbers of nodes, tasks, memory or GPUs contradict each other.",
            "Correct one of them.",
        ),
        "UnknownModule": (
            "The system has no module of this neutral name.",
            "Add it to `systems/NAME/modules` in a Transform, or name the module itself: `modules: {NAME: MODULE}`.",
        ),
        "NativeUnused": (
            "Directives in a scheduler's own words are not used on a system with another scheduler.",
            "Use neutral keys, or put the directives into a layer that matches the scheduler.",
        ),
        "NativeConflict": (
            "A directive in the scheduler's own words sets what a key of the Run sets, too.",
            "Remove one of them.",
        ),
        "NoEffect": ("A key of the Run has no effect without another one.", "Set the other key, or remove this one."),
    },
    pages=dict.fromkeys(("Unsupported", "OverLimit", "UnknownModule"), "howto/runs.md"),
)
WARNINGS = CodeGroup(
    title="Warnings",
    about="A warning refuses nothing.",
    codes={
        "NullOfNothing": (
            "A `null` removes a value that no lower layer sets.",
            "Check the spelling of the key, or remove the `null`.",
        ),
        "Overridden": (
            "A value has no effect, because another layer overrides it on every machine that it matches. As a "
            "condition: systemd uses another file than ours for a unit, such as one in /etc/systemd/system.",
            "Remove one of the two. `ordainctl explain UNIT` shows the files of a unit.",
        ),
        "OverriddenValue": (
            "A drop-in of an administrator overrides a value of the documents; the message has both values and the "
            "file. It is not a fault, as the administrator decides: a drop-in lasts until somebody removes it.",
            "Remove the value from the drop-in and run `systemctl daemon-reload`, then restart the unit if the message "
            "says so; or change the documents.",
        ),
        "Deprecated": ("A key is outdated.", "Use the key in the hint."),
        "Emulated": (
            "The systemd version of this machine lacks a feature, and a similar one is used instead.",
            "Nothing, if the difference in the message does not matter to you.",
        ),
        "Behind": (
            "A drop-in of the distribution sets the same keys, so ours gets a name that systemd reads after it.",
            "Nothing, unless an administrator's drop-in should override ours: its name must sort after ours.",
        ),
        "RequiresBlocked": (
            "A service requires one that this machine cannot have, and so it will not start.",
            "Correct the required service, or use `wants`.",
        ),
        "UnsupportedType": (
            "The running system cannot have a unit of this type: an automount without autofs, swap in a container.",
            "Leave the key out for this machine, for example with `match: {virtualization: …}`.",
        ),
        "ProgramMissing": (
            "A program of a service, or of its `health` or `check`, is not installed, or is not executable.",
            "Install it first; until then, a change that starts the service is rolled back.",
        ),
        "EnvironmentMissing": (
            "A file in `environment-files` does not exist.",
            "Make it first, or write - in front of its path if the service can do without it.",
        ),
        "NeverElapses": (
            "All calendar times of a timer have passed, so it never starts its unit.",
            "Write a time that comes, or one without a year.",
        ),
        "NoSuchUnit": (
            "A unit requires one that does not exist on this machine, or that is masked, so it would not start.",
            "Check the spelling, install the package that has it, or use `wants`.",
        ),
        "NoSuchAccount": (
            "A unit or a file names a user or group that neither the machine has nor the documents make.",
            "Check the spelling, add it to `users` or `groups`, or install the package that makes it.",
        ),
        "NoSuchShell": (
            "A user gets a login shell that is not in /etc/shells of the machine, so that the user cannot log in.",
            "Check the spelling, or install the package that has the shell.",
        ),
        "Unprintable": (
            "A text for people has control characters or marks that change the direction of a text.",
            "Remove them; until then, they are written as visible escapes.",
        ),
        "SharedDirectory": (
            "Two services own one directory, or a socket or file is in the runtime directory of a service: PID 1 "
            "removes everything in such a directory below /run when the service stops.",
            "Use a directory for each, or RuntimeDirectoryPreserve=yes for both.",
        ),
        "Doubtful": (
            "A value is valid, but surely meant otherwise: a size in single bytes, 50 whole CPUs, a decimal mode, "
            "words of a shell in a command that no shell reads, a system call or an address family that systemd does "
            "not know and ignores, a program that the sandbox of its own service hides, a file whose reader ignores "
            "its name, or a group of administrators that has no rights on this system.",
            "Write the value as the hint says.",
        ),
        "Overwritten": (
            "A file of the documents is at a path that a tool of the distribution writes anew: grub.cfg, an image of "
            "an initrd, a bundle of certificates, a cache. The status reports it as changed after the tool has run.",
            "Place what the tool reads, as the hint says, or the file under another name.",
        ),
        "NothingToAllow": (
            "`boot: {allow: …}` names a unit that the system would not start anyway.",
            "Check the spelling of the unit.",
        ),
        "Facts": (
            "A file that describes this machine, such as /etc/os-release, cannot be read or has an error.",
            "Correct the file.",
        ),
        "NotCarried": (
            "`ordainctl import` cannot convert a line.",
            "Follow the hint, which names an alternative.",
        ),
    },
    pages={
        "NotCarried": "howto/migrate.md",
    },
)
SOURCE = CodeGroup(
    title="Sources",
    about="The documents cannot be fetched, or this machine refuses them; the services continue with those that were "
    "fetched last. That a source cannot be reached is not a fault. That its documents are refused is one: Unsigned, "
    "VerifyFailed, ReleaseReplayed, ReleaseExpired, SourceShrunken, SchemaTooNew, WrongMachine.",
    codes={
        "SourceStarting": ("ordain-source.service has not fetched any documents yet.", "Wait a few seconds."),
        "SourceUnreadable": (
            "The directory of documents cannot be read, or changes all the time.",
            "Check the directory; write files in one step (write a new file and rename it).",
        ),
        "SourceUnreachable": (
            "The server cannot be connected to, does not answer in time, or reports an internal error.",
            "Check the server and the network. The agent tries again by itself.",
        ),
        "SourceServerFailed": (
            "One of several servers of the source fails, and another one answers. Documents arrive as before.",
            "Repair the server, or take it out of `source` in agent.yaml. The agent asks it again by itself.",
        ),
        "ServerRefuses": (
            "The boot server has newer documents and refuses them, so the last valid ones stay in force here.",
            "Correct the document on the server; the log of `ordainctl serve` has all reasons.",
        ),
        "SourceLost": (
            "Services with `on-source-loss` were stopped, because the source has been unreachable for too long.",
            "Restore the connection; the services then start again.",
        ),
        "SourceEmpty": (
            "The answer is valid but contains no documents: a deleted prefix, a wrong path, 404, or files that are all "
            "empty.",
            "Check the path, prefix or database.",
        ),
        "SourceShrunken": (
            "The documents would remove more services than max-removal allows.",
            "Check the documents with `ordainctl plan`; if this is intended, run `ordainctl apply`.",
        ),
        "SourceRewound": (
            "The store has returned to an earlier state, as after a restore from a backup, or a node of CouchDB is "
            "behind.",
            "Nothing; the documents are read again. Those of CouchDB are used if they are still the older ones after a "
            "minute. Releases with a lower number are refused (ReleaseReplayed).",
        ),
        "SourceConflict": (
            "Replicas of the store disagree about a document, or two releases have the same number.",
            "Write the document again with `ordainctl documents edit`; publish the release under a new number.",
        ),
        "Throttled": (
            "The server asks for fewer requests; its Retry-After is obeyed.",
            "Set a longer `interval` in agent.yaml.",
        ),
        "TlsFailed": (
            "The certificate of the server or of this machine is not accepted.",
            "Check the clock of this machine first, then `ca`, `cert` and `key` in agent.yaml.",
        ),
        "Redirected": (
            "The server answers with a redirect, which is never followed.",
            "Set the URL of the server itself.",
        ),
        "Unauthorized": (
            "The server does not accept the user name, password or token.",
            "Check `user` and `credential` in agent.yaml.",
        ),
        "Forbidden": (
            "The user may not read the documents.",
            "Give the user read access to all keys below the prefix, including blobs/ if the store has releases.",
        ),
        "NotDocuments": (
            "The answer is not documents but a web page, a login form, or compressed or binary data.",
            "Check the URL, and any proxy or captive portal between the machine and the server.",
        ),
        "TooLarge": (
            "A document has more than 4 MiB or than the store takes, or all documents have more than 64 MiB.",
            "Deliver bulk data by other means, such as packages; look for large documents of other programs.",
        ),
        "Truncated": (
            "The answer of the server ended too early; no part of it is used.",
            "Nothing; the agent tries again.",
        ),
        "StoreFull": (
            "The store accepts no writes, because its disk or quota is full; reading works.",
            "Compact and defragment the store (`etcdctl alarm disarm`), or give it more space.",
        ),
        "WrongMachine": (
            "The server sent the documents of another machine.",
            "Look for a cache between the machine and the server that mixes up machines.",
        ),
        "BadHandover": (
            "The file that ordain-source.service hands to the agent is damaged or was written by another program.",
            "Restart ordain-source.service.",
        ),
        "Unsigned": (
            "The documents are not signed, and `trust` in agent.yaml requires it.",
            "Publish them as a signed release, or change `trust`.",
        ),
        "VerifyFailed": (
            "A release has no valid signature of a trusted key, or a document differs from the signed one.",
            "Check the keys in /etc/ordain/trust, and run `ordainctl release verify`.",
        ),
        "ReleaseIncomplete": (
            "Some documents of the release are not in the store yet.",
            "Wait, or publish the release again with `ordainctl release publish`.",
        ),
        "ReleaseExpired": (
            "The release in force has expired, and no newer one has arrived. It stays in force.",
            "Publish a newer release. If there is one, find out who keeps it from this machine.",
        ),
        "ReleaseReplayed": (
            "The channel offers an older release than this machine has already accepted.",
            "Publish a new number. After a restore of the store, run `ordainctl release forget CHANNEL`.",
        ),
    },
    pages={
        "Forbidden": "howto/fleet-on-etcd.md#1-roles-and-users",
        "Unauthorized": "howto/secrets.md#passwords-of-a-source",
        "VerifyFailed": "howto/signed-releases.md#checks-of-a-machine",
    },
)
MACHINE = CodeGroup(
    title="Applies",
    about="`ordainctl status` shows them until they are resolved.",
    codes={
        "Refused": (
            "The documents have errors, so none of them is applied.",
            "Run `ordainctl validate` on the documents.",
        ),
        "NotApplied": (
            "The agent could not apply the documents.",
            "Read the message and the journal (`journalctl -u ordain-agent`).",
        ),
        "RolledBack": (
            "A generation failed and was rolled back. It is a fault in every state, also while the machine is paused.",
            "Change the documents, or run `ordainctl apply` to try again.",
        ),
        "RollbackIncomplete": (
            "A generation failed, and the rollback could not restore everything.",
            "See `systemctl --failed` and the journal, then run `ordainctl apply`.",
        ),
        "Trial": (
            "A generation is on trial and will be rolled back unless it is confirmed.",
            "Run `ordainctl confirm` or `ordainctl rollback`.",
        ),
        "Pinned": (
            "`ordainctl rollback` or `ordainctl apply --once FILE` keeps this generation in force until a document "
            "changes.",
            "Run `ordainctl follow` to follow the documents again.",
        ),
        "Paused": (
            "`ordainctl pause` or `ordainctl apply FILE` keeps this generation in force, also when a document changes.",
            "Run `ordainctl follow` to follow the documents again.",
        ),
        "Held": (
            "An administrator holds a unit: no apply changes it. The text says who, since when, why, and until when.",
            "Run `ordainctl follow UNIT` to end the hold, or wait for its end.",
        ),
        "Drift": (
            "Units are not in the state that the documents want: they failed, or somebody stopped or started them, or "
            "a process runs with another definition. The drop-ins of an administrator are compared at each look, and a "
            "process that was started and reloaded between two looks by its command line (types simple, exec, idle and "
            "dbus); its user, environment and limits are not compared then.",
            "See `systemctl status UNIT`. `ordainctl follow UNIT` returns it to the documents, `drift: enforce` "
            "has the agent do so, and `ordainctl hold` accepts it.",
        ),
        "KernelParameter": (
            "A kernel parameter of `sysctl` does not exist, or has another value than the documents set.",
            "Check the spelling, the module that brings it, and files that are read later (/etc/sysctl.d/zz.conf); "
            "else `ordainctl apply` sets the value again. If an apply did not change it, correct the value.",
        ),
        "InterfaceMissing": (
            "A kernel parameter waits for its network interface, and is set when that appears.",
            "Nothing; or check the name of the interface.",
        ),
        "FileChanged": (
            "Somebody has changed, deleted or replaced a file that the documents place, or a home directory or `.ssh` "
            "that Ordain made does not serve its user any more.",
            "Run `ordainctl apply` to place it again, or change the documents; for `.ssh`, run the commands of the "
            "message. `drift: enforce` has the agent place it "
            "again at once; `ordainctl hold` of the service that uses it keeps it.",
        ),
        "PackagePending": (
            "A package of the documents is not installed yet, or its installation was interrupted.",
            "Nothing: the agent installs it once the boot is complete. `ordainctl apply` does it now.",
        ),
        "PackageFailed": (
            "A package of the documents cannot be installed, held or removed. The message says why: no repository has "
            "it, the repositories cannot be read, or its installation would remove other packages.",
            "Correct the repositories or the documents, and run `ordainctl apply`; the agent tries again by itself. "
            "The output of the package manager is in /run/ordain/packages.",
        ),
        "PackageChanged": (
            "Somebody has removed a package of the documents, or installed another version of it.",
            "Run `ordainctl apply` to install it again, or change the documents.",
        ),
        "PackageKept": (
            "A package that the documents do not want stays: Ordain has not installed it, or other packages need it.",
            "Remove it, or those that need it, with the package manager.",
        ),
        "PackagesUnknown": (
            "The package manager cannot list the installed packages, so they are not compared with the documents.",
            "See /run/ordain/packages/installed. Without the agent, only root can ask the package manager.",
        ),
        "Account": (
            "A user or group of the documents is missing, not locked, or has another number, home, shell or group.",
            "Run `ordainctl apply`. Ordain never changes a number that is in use: change the documents or the account.",
        ),
        "KernelModule": (
            "A kernel module of the documents is not loaded, or is loaded although the documents forbid it.",
            "See `journalctl -b -u systemd-modules-load`. The host of a container loads modules.",
        ),
        "TimeZone": (
            "The machine, or tzdata where no machine is asked, has no data about the time zone of the documents, so "
            "programs use UTC.",
            "Check the spelling (`timedatectl list-timezones`), or install the package tzdata.",
        ),
        "Locale": (
            "The machine does not have the locale of the documents, so programs use C; or PID 1 starts services with "
            "another one.",
            "Make the locale (Debian: the package locales), or wait for the next boot.",
        ),
        "Keymap": (
            "The program that loads the keymap of the documents into the consoles is not installed.",
            "Install its package, such as console-setup. In a container, which has no console, it is only said.",
        ),
        "OpenFiles": (
            "A limit of open files is above fs.nr_open of the kernel, so systemd starts the service with fewer.",
            "Set `sysctl: {fs.nr_open: NUMBER}` and restart the service, or write a smaller number.",
        ),
        "HostName": (
            "The host name of the running system is not that of the documents.",
            "Run `ordainctl apply`.",
        ),
        "DeviceMissing": (
            "A network device of the documents does not exist.",
            "Check the name or `match` of hardware; `optional: true` says that it may be missing. For other devices "
            "see the journal of the network service; the kernel may lack the type of device.",
        ),
        "DeviceFailed": (
            "The network service could not bring a device up, or another host has its address.",
            "See the journal of the network service; the message has the commands.",
        ),
        "NetworkDiffers": (
            "A network device lacks an address, a route, a rule, a lease, its bond, bridge or VRF, or has another MTU "
            "or parameter than the documents set, or a file of somebody else configures it.",
            "Run `ordainctl apply`, which configures the device again, unless the message names another remedy.",
        ),
        "NetworkWaits": (
            "A network device waits for a cable, a server, or in the first ten seconds for its program.",
            "Nothing; or connect it. Without an answer of a server within two minutes it is [NetworkDiffers].",
        ),
        "DirectiveIgnored": (
            "systemd ignores a line of a unit file that the documents ask for, and runs the unit without it. The "
            "message has systemd's own words.",
            "Correct the value at the place that the message names (systemd.exec(5) and others list the values).",
        ),
        "NotListening": (
            "systemd ignored an address of a socket.",
            "Correct the address (systemd.socket(5), ListenStream=).",
        ),
        "SocketChanged": (
            "Somebody else has removed the file of a socket, so nobody can connect, or changed its mode or owner.",
            "Run `ordainctl apply`, which binds the socket again; its service restarts.",
        ),
        "MountOptions": (
            "A file system is mounted with other options than the documents want.",
            "Run `ordainctl apply` to mount it again with its options. If an apply did not change them, correct them.",
        ),
        "Undone": (
            "The last apply could not do a part of its work, such as place a file.",
            "Correct the cause that the message names, and run `ordainctl apply`.",
        ),
        "FactFailed": (
            "An entry of /etc/ordain/facts.d gives no facts: it failed, hung, wrote too much, or is not safe to run. "
            "Its facts keep their last values; a fact that never had one matches nothing, and blocks an item whose "
            "template uses it.",
            "Correct the entry as the message says; it is tried again when it changes, and every ten minutes.",
        ),
        "Unstable": (
            "The documents match on, or print, a value that they set, such as the host name, again and again.",
            "Change the `match` or the template; an edit of a document starts again.",
        ),
        "NotInForce": (
            "The documents want another generation than the one in force.",
            "Run `ordainctl apply`, and see `journalctl -u ordain-agent`.",
        ),
        "AgentDown": (
            "ordain-agent does not run, so changes of the documents are not applied. The services run on.",
            "See `systemctl status ordain-agent`; `ordainctl apply` works without it.",
        ),
        "AgentSilent": (
            "ordain-agent runs, but did not answer within 20 seconds, or ended meanwhile. The status is what is known "
            "without it.",
            "See `systemctl status ordain-agent`. Its watchdog restarts it when it hangs.",
        ),
        "RebootNeeded": (
            "A unit that must not be interrupted (the message bus, logind, the journal), or that has "
            "`on-change: reboot`, has a new definition.",
            "Reboot, or restart the unit yourself when that is convenient.",
        ),
        "ReloadNeeded": (
            "A generator of another package made the unit from a file, such as a quadlet, which has changed since.",
            "Run `systemctl daemon-reload`, then restart the unit. An apply that places such a file reloads itself.",
        ),
        "RestartNeeded": (
            "A unit that the documents name and do not define, such as that of a quadlet, of a package or of a copy in "
            "/etc, runs on with its unit file of before: somebody else has changed the file, and PID 1 has read it.",
            "Run `systemctl restart UNIT` when it suits. An apply leaves the unit alone. If the documents place the "
            "file from which a generator makes the unit, an apply that changes the file restarts it.",
        ),
        "AgentBusy": (
            "The agent did not answer this user in time, or refuses calls of users; its last report is shown.",
            "Ask again later, or as root: calls of users never delay root.",
        ),
        "NoRoom": (
            "/var/lib/ordain is not writable or has no room for the previous state of the files that the documents "
            "change, so nothing was changed.",
            "Free some space, or make the file system writable. The agent tries again by itself.",
        ),
        "NotPersistent": (
            "/etc is not writable or has no room, so the changes last only until the next boot.",
            "Make /etc writable, or free some space, and run `ordainctl apply`.",
        ),
        "NotInHistory": (
            "/var/lib/ordain is not writable, so the generation cannot be rolled back to.",
            "Make /var/lib/ordain writable, or free some space.",
        ),
        "NotPlaced": (
            "The generator did not write all unit files.",
            "Run `ordainctl doctor`, and see `journalctl -b -t ordain-generator`.",
        ),
        "MountNotAnswering": (
            "A mount did not answer in time, so the documents on it could not be read, or the placed files on it could "
            "not be compared. Nothing else waits for it, and what was applied stays.",
            "Check the disk or the server of the mount, and the journal of the kernel. The agent sees when it answers.",
        ),
        "FileNotPlaced": (
            "A file of the documents could not be placed, or one that no document has any more could not be removed. "
            "If it lies in a directory of a user, the message names the user, and the rest was applied.",
            "Remove the obstacle that the message names, then run `ordainctl apply`.",
        ),
        "SlowReload": (
            "A reload of systemd took more than 5 seconds, because all generators run in it.",
            "Look for a slow generator of another package in /usr/lib/systemd/system-generators.",
        ),
        "BootChoice": (
            "This boot did not start with the current generation; the message has the reason.",
            "Run `ordainctl doctor`, then `ordainctl apply`.",
        ),
        "BadHolds": (
            "The file of holds cannot be read, so nothing is changed.",
            "Remove /etc/ordain/boot/holds, and hold the units again.",
        ),
        "Internal": ("Ordain has a bug.", "Report it with the lines of the journal. The services are not affected."),
    },
    pages={
        "DeviceMissing": "howto/network-changes.md",
        "DeviceFailed": "howto/network-changes.md",
        "NetworkDiffers": "howto/network-changes.md",
        "NetworkWaits": "howto/network-changes.md",
    },
)
AGENT = CodeGroup(
    title="Operations of the agent",
    about="The agent could not do a step; if time can help, it tries again by itself.",
    codes={
        "Busy": ("Another apply is running.", "Wait until it has finished."),
        "Unavailable": ("systemd or the message bus does not answer.", "See `systemctl status ordain-agent`."),
        "BusError": ("systemd or the message bus answered with an error.", "Read the message and the journal."),
        "Denied": ("The caller is not authorized.", "Run the command as root, or change the polkit rules."),
        "Failure": ("The operation failed.", "Read the message and the journal."),
        "RemovalLimitExceeded": ("As SourceShrunken.", "See there."),
        "UnknownMachine": (
            "No machine of this name has asked the boot server.",
            "Use a name that `ordainctl netboot status` lists.",
        ),
        "AlreadyRejected": (
            "The generation was rolled back before, and the documents have not changed since.",
            "Change the documents, or run `ordainctl apply` to try again.",
        ),
        "ShuttingDown": ("The machine is shutting down.", "Nothing; the next boot applies the rest."),
        "UnreadableHolds": ("As BadHolds.", "See there."),
        "OSError": (
            "The operating system reported an error. The code may also be that of a kind of OSError in Python, such "
            "as PermissionError.",
            "Read the message; the agent tries again.",
        ),
    },
)
CACHES = CodeGroup(
    title="Boot caches",
    about=(
        "The generator passes over a boot cache with one of these faults, and uses the next one. "
        "`ordainctl apply` writes a new cache."
    ),
    codes={
        "DamagedCache": ("The file is damaged.", "Run `ordainctl apply`."),
        "NewerCache": ("A later version of Ordain wrote the file.", "Upgrade Ordain, or run `ordainctl apply`."),
        "ForeignCache": (
            "The file was made for a machine with another machine-id.",
            "Run `ordainctl apply`; delete /etc/ordain/boot from images that are cloned.",
        ),
        "UnsafeCache": (
            "The file is writable by users other than root, is not a regular file, or is too large.",
            "Delete the file and run `ordainctl apply`.",
        ),
        "UnsignedCache": (
            "The cache came with the boot, and `trust` in agent.yaml allows only signed releases or cannot be read.",
            "Let the machine fetch a signed release, or change `trust`.",
        ),
        "BadEntry": ("The file has a path or content that must not be placed.", "Run `ordainctl apply`."),
    },
    pages={
        "DamagedCache": "howto/troubleshooting.md#the-machine-does-not-boot",
    },
)
FLEET = CodeGroup(
    title="Reports of machines",
    about=(
        "`ordainctl fleet status` names reports in the store that are ignored, in tables, previews and rollouts. "
        "A slot of a rollout that is not its holder's own is free."
    ),
    codes={
        "BadReport": (
            "The text is not a report.",
            "Look who may write there; `ordainctl fleet forget KEY` deletes it.",
        ),
        "ReportShortened": (
            "The store takes no report of this size, so the report of the machine leaves out units that work.",
            "Raise the limit of the store: `--max-request-bytes` of etcd, `max_document_size` of CouchDB.",
        ),
        "ForeignReport": (
            "The report of one machine lies at the place of another one.",
            "Look who may write there; `ordainctl fleet forget KEY` deletes it.",
        ),
        "ForgedStatement": (
            "The machine is enrolled, and its key did not sign the text for this place and this fleet.",
            "If the machine lost its key, run `ordainctl fleet enroll` there; else look who may write there.",
        ),
        "ReplayedReport": (
            "Somebody wrote an earlier report of the machine back.",
            "Look who may write there. The next report of the machine counts.",
        ),
        "NotEnrolled": (
            "The fleet requires identities, and the machine has none.",
            "Run `ordainctl fleet enroll` on the machine.",
        ),
        "IdentityRevoked": (
            "An administrator revoked the identity of the machine, or another machine has its name.",
            "Remove the machine, or admit it again with `ordainctl fleet approve`.",
        ),
        "IdentityDamaged": (
            "The record of the machine or of the fleet, below machines/, cannot be read, or two servers of CouchDB "
            "changed it differently.",
            "Restore it from a backup; or delete it, and enroll the machine again. After two changes, `ordainctl fleet "
            "revoke` or `fleet approve` settles it.",
        ),
    },
    pages={
        "ForgedStatement": "howto/machine-identity.md",
        "NotEnrolled": "howto/machine-identity.md",
        "IdentityRevoked": "howto/machine-identity.md",
        "IdentityDamaged": "howto/machine-identity.md",
    },
)
GROUPS = (DOCUMENTS, BLOCKED, RUNS, WARNINGS, SOURCE, FLEET, MACHINE, AGENT, CACHES)
CODES = {code: row for group in GROUPS for code, row in group.codes.items()}
"""By code, its meaning and remedy."""
