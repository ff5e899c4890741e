"""fleet enroll: this machine makes its keys, asks for its record, and waits until an administrator has written it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from argparse import Namespace
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.documents.document_files import STANDARD_INPUT
from ordain.agent.cli.fleet.fleet_enrollment import fleet_record, statement_bytes
from ordain.agent.cli.moments import seconds_of
from ordain.agent.cli.store.open_store import opened
from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.identity import enrollment, machine_key
from ordain.agent.delivery.identity.decryption_key import CREDENTIAL as SECRET_CREDENTIAL
from ordain.agent.delivery.identity.decryption_key import DecryptionKey, NaclMissing, generate_decryption_key
from ordain.agent.delivery.identity.enrollment import request_key
from ordain.agent.delivery.identity.identities import read_identity
from ordain.agent.delivery.identity.key_file import (
    NEXT,
    SECRET_EARLIER,
    SECRET_NEXT,
    place_of_key,
    read_decryption_key,
    read_machine_key,
    remove_machine_key,
    write_decryption_key,
    write_machine_key,
)
from ordain.agent.delivery.identity.machine_key import PrivateKey
from ordain.agent.delivery.identity.machine_record import (
    EnrollmentRequest,
    MachineRecord,
    encode_key,
)
from ordain.agent.errors import Failure
from ordain.transforms.machine.facts import read_facts


def enroll(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet enroll`."""
    return asyncio.run(_enroll(request, console))


async def _enroll(request: Namespace, console: Console) -> Exit:
    facts = read_facts(request.root)
    if not facts.machine_id:
        raise Failure("this machine has no machine-id; see machine-id(5)")
    wait_sec = seconds_of("--wait", request.wait) if request.wait else 0.0
    join_token = _read_token(request.token_file) if request.token_file else None
    async with opened(request) as database:
        known = await read_identity(database, facts.machine_id)
        fleet = fleet_record(known).fleet
        record = known.machines.get(facts.machine_id)
        current, following = read_machine_key(request.root), read_machine_key(request.root, NEXT)
        if current and current.fleet != fleet:
            path = place_of_key(request.root)
            raise Failure(f"{path} is a key for the fleet {current.fleet}, and the store is that of {fleet}; remove it")
        secret = _SecretKeys.read(request.root, console)
        if current and following and record and _answers(record, following):
            current, following = _adopt(following, current, record, request.root, console), None
        if record:
            secret.adopt(record)
        if request.new_key:
            if not (current and _answers(record, current)):
                raise Failure("this machine has no registered key that could vouch for a new one; leave out --new-key")
            following = following or replace(machine_key.generate(fleet), user=current.user, password=current.password)
            secret.renew()
        if current is None:
            current = machine_key.generate(fleet)
            path = write_machine_key(request.root, current)
            console.line(f"{path}: a new key, {current.id}")
            _reload_agent(request.root, console)
        secret.make()
        if join_token and record and record.store_user and _answers(record, current):
            console.note("the token was not used: this machine is enrolled already", Style.WARN)
        elif join_token:
            following = machine_key.with_login_of(current, join_token)
        if following:
            write_machine_key(request.root, following, NEXT)
        key = following or current
        encryption = secret.public or (record.encryption if record else "")
        if not _answers(record, key, encryption):
            asked = EnrollmentRequest(machine=facts.machine_id, hostname=facts.hostname, key="", encryption=encryption)
            earlier = current if current.seed != key.seed else None
            statement = enrollment.make_request(asked, key, join_token, earlier)
            await database.put(request_key(facts.machine_id), statement_bytes(statement), expect=ANY)
            record = await _wait_for_record(database, facts.machine_id, key, encryption, wait_sec)
    if record is None or not _answers(record, key, encryption):
        console.line(f"asked for an identity with key {key.id}; it waits for approval:", Style.WARN)
        console.line(f"  ordainctl fleet approve {facts.hostname} --key {key.id}")
        return Exit.DEGRADED
    if following:
        _adopt(following, current, record, request.root, console)
    secret.adopt(record)
    console.line(f"this machine is enrolled as {record.name} with key {key.id}", Style.GOOD)
    return Exit.OK


@dataclass(slots=True)
class _SecretKeys:
    """The key that opens the secrets of the machine below ``root``, and one that waits until it is registered.

    The key before is kept, so that secrets can still be opened that were not sealed again yet.
    """

    root: Path
    console: Console
    current: DecryptionKey | None
    following: DecryptionKey | None

    @classmethod
    def read(cls, root: Path, console: Console) -> _SecretKeys:
        """Return the keys of the machine."""
        return cls(root, console, read_decryption_key(root), read_decryption_key(root, SECRET_NEXT))

    @property
    def public(self) -> str:
        """Return the public half to register, "" if there is no key."""
        key = self.following or self.current
        return key.public_text if key else ""

    def make(self) -> None:
        """Make a key if there is none. Without PyNaCl, the machine is enrolled without one.

        A machine whose own key came with the boot would lose it at the next boot.
        """
        if self.current is None and place_of_key(self.root).startswith("/etc/"):
            self.current = self._new(SECRET_CREDENTIAL)

    def renew(self) -> None:
        """Make another key, which is used once it is registered."""
        if self.current and not self.following:
            self.following = self._new(SECRET_NEXT)

    def adopt(self, record: MachineRecord) -> None:
        """Use the key that waited if ``record`` has it."""
        if self.following and record.encryption == self.following.public_text:
            if self.current:
                write_decryption_key(self.root, self.current, SECRET_EARLIER)
            write_decryption_key(self.root, self.following)
            remove_machine_key(self.root, SECRET_NEXT)
            self.current, self.following = self.following, None
            self.console.note(
                "secrets that were sealed for this machine wait for `ordainctl secret reseal`", Style.WARN
            )

    def _new(self, name: str) -> DecryptionKey | None:
        key = generate_decryption_key()
        try:
            id = key.id
        except NaclMissing as error:
            self.console.note(f"no key for secrets was made: {error}; then run this again", Style.WARN)
            return None
        path = write_decryption_key(self.root, key, name)
        self.console.line(f"{path}: a new key for secrets, {id}")
        return key


def _adopt(
    following: PrivateKey, current: PrivateKey, record: MachineRecord, root: Path, console: Console
) -> PrivateKey:
    """Use the key that waited until it was registered, with its login if the administrator gave that any rights."""
    if following.user != record.store_user:
        following = replace(following, user="", password="")
    if following != current:
        write_machine_key(root, following)
        _reload_agent(root, console)
    remove_machine_key(root, NEXT)
    return following


async def _wait_for_record(
    database: Database, machine: str, key: PrivateKey, encryption: str, wait_sec: float
) -> MachineRecord | None:
    """Return the machine's record as soon as it has both keys, or the one that there is after ``wait_sec``."""
    record: MachineRecord | None = None
    prefix = f"{MACHINES}{machine}"
    try:
        async with asyncio.timeout(wait_sec):
            while True:
                listing = await database.list(prefix)
                record = (await read_identity(database, machine)).machines.get(machine)
                if _answers(record, key, encryption):
                    return record
                async with aclosing(database.watch((prefix,), listing.revision)) as changes:
                    async for _ in changes:
                        break
    except TimeoutError:
        return record


def _answers(record: MachineRecord | None, key: PrivateKey, encryption: str = "") -> bool:
    """Return whether ``record`` is the answer to a request with ``key``: it has the key, and knows about its login.

    It also has the key for secrets ``encryption``, if that is given.
    """
    if record is None or record.revoked or record.key != encode_key(key.public):
        return False
    if encryption not in ("", record.encryption):
        return False
    return not key.user or key.user in (record.store_user, machine_key.user_of_token(record.token))


def _reload_agent(root: Path, console: Console) -> None:
    """Have the agent give the key to ordain-source.service, if this is the running machine."""
    if root != Path("/") or not Path("/run/systemd/system").is_dir():
        return
    command = ["systemctl", "reload", "ordain-agent.service"]
    done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        console.note(f"the key is used after `{' '.join(command)}`, which fails now: {reason}", Style.WARN)


def _read_token(name: str) -> PrivateKey:
    try:
        text = sys.stdin.read() if name == STANDARD_INPUT else Path(name).read_text()
        return machine_key.parse_token(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Failure(f"cannot read the token from {name}: {reason}; `ordainctl fleet token` prints one") from None
