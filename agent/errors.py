"""The tree of exceptions of the agent and of ordainctl.

OrdainError
├── Failure                     an operation was refused or could not be done; has a D-Bus name and an exit status
│   ├── Unavailable             no bus, no systemd, or no answer in time
│   │   ├── BusError            the other side of the bus answered with an error (`system.dbus.bus`)
│   │   ├── Disconnected        the connection to the bus was lost (`system.dbus.bus`)
│   │   ├── AgentLost           the agent ended while it had a call (`daemon.clients.remote`)
│   │   └── NoRoom              the previous state of files cannot be kept (`apply.room`)
│   ├── Busy                    another apply is running
│   ├── Denied                  the caller is not authorized
│   ├── RemovalLimitExceeded    a source removed too many services at once
│   ├── AlreadyRejected         the generation was rolled back before, and the documents have not changed since
│   ├── ShuttingDown            the machine is shutting down
│   ├── UnreadableHolds         the file of holds cannot be read (`state.holds`)
│   ├── UnknownMachine          no machine of this name has asked the boot server (`netboot.machine_records`)
│   ├── NaclMissing             PyNaCl is not installed (`delivery.identity.decryption_key`)
│   └── LockedKey               a private key needs its passphrase (`delivery.release.signing`)
├── SourceError                 the documents cannot be fetched now (`delivery.protocol`)
│   ├── StoreAway               a relay answers, and its store does not: no slots can be taken (`delivery.protocol`)
│   ├── _BadRequest             a request to a relay has another form (`server.relay.relay_requests`)
│   └── _NotSent                the request certainly did not reach the server (`delivery.database.http_transport`)
├── StoreError                  an answer of a document store that its client handles itself
│   ├── MalformedAnswer         the answer does not follow the store's protocol
│   ├── Conflict                somebody else changed the key; nothing was written (`delivery.database.database`)
│   ├── WatchIncomplete         a watch does not cover all keys (`delivery.database.etcd`)
│   ├── Compacted               the revision no longer exists (`delivery.database.etcd_client`)
│   ├── TokenRefused            the token is missing or expired (`delivery.database.etcd_client`)
│   └── NotEnabled              the server has no users (`delivery.database.etcd_client`)
├── _Misfit                     JSON data have another type than they should; also a ValueError (`json_codec`)
├── InvalidKey                  a line is not a public key; also a ValueError (`delivery.release.trusted_keys`)
├── NotSealedFor                a secret has no copy for a key; also a ValueError (`delivery.identity.sealing`)
├── CannotOpen                  a secret cannot be opened on this machine; also a ValueError (`secrets.unsealing`)
├── DamagedGeneration           a generation or boot cache does not hold the bytes that were written
├── NotAnswering                a mount does not answer in time; also a TimeoutError (`system.bounded_reads`)
├── NotInGeneration             the generation holds no such unit, file or pointer (`plan.explain`)
├── NotPrebuilt                 a boot cache cannot be prebuilt for a machine (`server.prebuilt_caches`)
├── RequestRefused              a request of the API is refused, with a status of HTTP (`server.api`)
├── Usage                       the arguments of ordainctl are wrong (`cli.parse`)
└── Help                        the help of ordainctl was asked for (`cli.parse`)

Errors in documents are `ordain.transforms.errors.Refused`: a list of problems, each with its place and a hint.
"""

from __future__ import annotations

from typing import ClassVar


class OrdainError(Exception):
    """The root of all exceptions of the agent."""


class Failure(OrdainError):
    """An operation was refused or could not be done; unless the message says otherwise, nothing was changed.

    ``name`` is the D-Bus error, ``exit_status`` the exit status of ordainctl.
    """

    name: ClassVar[str] = "org.ordain.Error.Failed"
    exit_status: ClassVar[int] = 1


class Unavailable(Failure):
    """There is no bus, no systemd, or no answer in time; it can help to try again later."""

    name = "org.ordain.Error.Unavailable"


class Busy(Failure):
    """Another apply is running."""

    name = "org.ordain.Error.Busy"
    exit_status = 6


class Denied(Failure):
    """The caller is not authorized."""

    name = "org.ordain.Error.Denied"


class RemovalLimitExceeded(Failure):
    """A source removed more services at once than it may without an administrator or a signature (`removal_limit`)."""

    name = "org.ordain.Error.Withheld"
    code: ClassVar[str] = "SourceShrunken"
    hint: ClassVar[str] = "`ordainctl plan` shows the units that would be removed; `ordainctl apply` removes them"


class AlreadyRejected(Failure):
    """The generation was rolled back before, and the documents have not changed since."""

    name = "org.ordain.Error.Rejected"


class ShuttingDown(Failure):
    """The machine is shutting down; its next boot starts with the generation that was proven last."""

    name = "org.ordain.Error.Aside"


class StoreError(OrdainError):
    """An answer of a document store that its client handles itself."""


class MalformedAnswer(StoreError):
    """An answer or a stored document does not have the form that the store's protocol gives it."""


class DamagedGeneration(OrdainError):
    """A generation or boot cache does not hold the bytes that were written; the message names it and the fault."""


BY_NAME = {
    kind.name: kind
    for kind in (Failure, Unavailable, Busy, Denied, RemovalLimitExceeded, AlreadyRejected, ShuttingDown)
}
"""The class that `Remote` raises for each D-Bus error name."""
REFUSED = "org.ordain.Error.Refused"
"""The D-Bus error whose message is the JSON of `Refused.problems`."""
