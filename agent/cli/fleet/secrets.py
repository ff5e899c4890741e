"""secret seal, list, reseal, open, key, recovery: secrets in documents that only some machines can open.

The value of a secret comes from standard input or a file, never from the command line, and only `secret open` prints
one.
"""

from __future__ import annotations

import asyncio
import getpass
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.documents.document_files import STANDARD_INPUT, contents
from ordain.agent.cli.json_shapes import JsonSealedSecret
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.open_store import note_releases, opened, require_reason, run_coroutine, store_author
from ordain.agent.delivery.database.database import Database, Write
from ordain.agent.delivery.database.named_documents import NamedDocument, NamedDocuments
from ordain.agent.delivery.identity.decryption_key import (
    CREDENTIAL,
    DecryptionKey,
    generate_decryption_key,
    parse_decryption_key,
)
from ordain.agent.delivery.identity.identities import Identities, read_identities
from ordain.agent.delivery.identity.key_file import (
    SECRET_EARLIER,
    place_of_key,
    read_decryption_key,
    write_decryption_key,
)
from ordain.agent.delivery.identity.machine_record import RECOVERY, RecoveryRecord, encode_record
from ordain.agent.delivery.identity.recipients import compare_keys, recipient_keys
from ordain.agent.delivery.identity.sealing import open_secret, reseal, seal
from ordain.agent.delivery.identity.secret_text import (
    SecretInDocument,
    as_document,
    as_section,
    secrets_of,
    with_secrets,
)
from ordain.agent.delivery.release.change_log import Author, ChangeAction, change_entry, new_change
from ordain.agent.errors import Failure
from ordain.agent.settings import read_settings
from ordain.agent.system import atomic_files
from ordain.transforms.document.formats.formats import FORMATS
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Refused, did_you_mean, only_errors
from ordain.transforms.sealed_secret import KEY, MAX_VALUE, SealedSecret, check_recipient
from ordain.transforms.sealed_secret import RECOVERY as FOR_RECOVERY


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretText:
    """A document with secrets: a file, or ``stored`` in a store."""

    title: str
    data: bytes
    secrets: tuple[SecretInDocument, ...]
    stored: NamedDocument | None = None


def seal_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl secret seal`."""
    try:
        FORMATS["credential-name"](request.name)
    except ValueError as error:
        raise Usage(f"{request.name} is not the name of a secret: {error}") from None
    if request.put and request.fragment:
        raise Usage("give either --put or --fragment")
    if request.why and not request.put:
        raise Usage("--why is the reason of a change in the store; use it with --put")
    recipients = _recipients(request.recipient)
    if request.put:
        return asyncio.run(_seal_in_store(request, recipients, console))
    known = run_coroutine(_identities(request, _require_recipients(recipients)))
    secret = _sealed(request, recipients, known, console)
    console.text(as_section(secret, recipients) if request.fragment else as_document(secret, recipients))
    return Exit.OK


async def _seal_in_store(request: Namespace, recipients: Sequence[str], console: Console) -> Exit:
    """Seal a secret in the document of the store that has it, or in a new one; without recipients for those it has."""
    async with opened(request) as database:
        author = await require_reason(database, store_author(request), console)
        stored = await NamedDocuments(database).all()
        current = _secret_in_store(stored, request.name)
        recipients = _require_recipients(recipients or (current[1].recipients if current else ()))
        known = await _readable_identities(database)
        secret = _sealed(request, recipients, known, console)
        if current:
            document, old = current
            try:
                changed = with_secrets(document.data.decode(), {old.secret.value: secret}, recipients)
            except ValueError as error:
                remedy = f"`ordainctl documents edit {document.title}`"
                raise Failure(
                    f"{old.where}: cannot replace {request.name}: {error}; correct it with {remedy}"
                ) from None
            what = f"secret {request.name} sealed, with another value"
            await _put(database, document.path, changed.encode(), document, author, what)
            console.line(f"{document.title}: {request.name} replaced", Style.GOOD)
        else:
            title = f"layer/secret-{request.name}"
            if any(document.title == title for document in stored):
                raise Failure(f"{title} exists and has no secret {request.name}; delete it, or give it the secret")
            text = as_document(secret, recipients).encode()
            await _put(database, title, text, None, author, f"secret {request.name} sealed")
            console.line(f"{title}: made, with {request.name}", Style.GOOD)
        await note_releases(database, console)
    return Exit.OK


def _secret_in_store(stored: Sequence[NamedDocument], name: str) -> tuple[NamedDocument, SecretInDocument] | None:
    """Return the secret ``name`` and its document, None if there is none. Raises `Failure` if there are several."""
    matching = [
        (text.stored, one)
        for text in _with_secrets(stored)
        for one in text.secrets
        if one.secret.name == name and text.stored
    ]
    if len(matching) > 1:
        places = ", ".join(one.where for _, one in matching)
        raise Failure(f"{len(matching)} documents have a secret {name}: {places}; edit the one that you mean")
    return matching[0] if matching else None


def _sealed(request: Namespace, recipients: Sequence[str], known: Identities, console: Console) -> SealedSecret:
    """Read the secret of the request and seal it. Raises `Failure`."""
    keys = recipient_keys(recipients, known)
    if not keys.keys:
        raise Failure(f"nobody could open the secret: {'; '.join(keys.without)}")
    value = _value(request, console)
    try:
        secret = seal(request.name, value, keys.keys.values())
    except ValueError as error:
        raise Failure(f"cannot seal {request.name}: {error}") from None
    for reason in keys.without:
        console.note(f"{reason}; afterwards `ordainctl secret reseal` adds it", Style.WARN)
    if value.endswith(b"\n") and value.count(b"\n") == 1:
        console.note("the secret ends with a newline; `printf %s` and `echo -n` print none", Style.WARN)
    if FOR_RECOVERY not in recipients:
        console.note("no recovery key can open it (--for recovery), so keep the value to seal it again", Style.DIM)
    console.note(f"{request.name}: for {', '.join(sorted(set(keys.names.values())))}", Style.DIM)
    return secret


def list_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl secret list`."""

    async def work() -> tuple[tuple[SecretText, ...], Identities]:
        texts = await _texts(request)
        recipients = [word for text in texts for one in text.secrets for word in one.recipients]
        return texts, await _identities(request, recipients)

    texts, known = run_coroutine(work())
    listed = [
        JsonSealedSecret(
            name=one.secret.name,
            document=text.title,
            place=one.where,
            recipients=list(one.recipients),
            keys=sorted(one.secret.copies),
            open=list(comparison.open),
            stale=list(comparison.stale),
        )
        for text in texts
        for one in text.secrets
        for comparison in (compare_keys(one.secret, one.recipients, known),)
    ]
    if request.json:
        console.json(listed)
    elif not listed:
        console.line("there are no secrets in these documents", Style.DIM)
    else:
        rows: list[tuple[Cell, ...]] = [
            (
                one["name"],
                one["document"],
                ", ".join(one["recipients"]),
                ", ".join(one["open"]) or "nobody",
                (f"stale: {'; '.join(one['stale'])}", Style.WARN) if one["stale"] else "",
            )
            for one in listed
        ]
        console.table(("NAME", "DOCUMENT", "FOR", "CAN OPEN IT", "STATE"), rows)
    return Exit.DEGRADED if any(one["stale"] for one in listed) else Exit.OK


def reseal_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl secret reseal`."""
    key = _read_key(request.key)

    async def work() -> int:
        texts = await _texts(request)
        recipients = [word for text in texts for one in text.secrets for word in one.recipients]
        known = await _identities(request, recipients)
        _require_names(request.name, texts)
        changed = 0
        for text in texts:
            if new := _resealed_secrets(text, request.name, key, known, console):
                changed += len(new)
                await _write(request, text, with_secrets(text.data.decode(), new).encode(), console)
        return changed

    changed = asyncio.run(work())
    console.note(
        f"{plural(changed, 'secret')} sealed again" if changed else "every secret has the right keys", Style.DIM
    )
    return Exit.OK


def _resealed_secrets(
    text: SecretText, names: Sequence[str], key: DecryptionKey, known: Identities, console: Console
) -> dict[str, SealedSecret]:
    """Return the secrets of ``text`` whose keys change, by their sealed value. Raises `Failure`.

    ``names`` are the secrets to seal again, all if it is empty.
    """
    new: dict[str, SealedSecret] = {}
    for one in text.secrets:
        if names and one.secret.name not in names:
            continue
        keys = recipient_keys(one.recipients, known)
        try:
            secret = reseal(one.secret, key, keys.keys.values())
        except ValueError as error:
            remedy = "seal it again with `ordainctl secret seal`"
            raise Failure(f"{one.where}: cannot seal {one.secret.name} again: {error}; {remedy}") from None
        if not secret.copies:
            raise Failure(f"{one.where}: nobody could open {one.secret.name}: {'; '.join(keys.without)}")
        for reason in keys.without:
            console.note(f"{one.secret.name}: {reason}", Style.WARN)
        if secret.copies.keys() != one.secret.copies.keys():
            new[one.secret.value] = secret
            console.line(_resealed(one.secret, secret, text.title), Style.GOOD)
    return new


def open_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl secret open`."""
    key = _read_key(request.key)
    texts = run_coroutine(_texts(request))
    _require_names([request.name], texts)
    matching = [one for text in texts for one in text.secrets if one.secret.name == request.name]
    if len(matching) > 1:
        places = ", ".join(one.where for one in matching)
        raise Failure(f"{len(matching)} documents have a secret {request.name}: {places}; name the file of one")
    try:
        value = open_secret(matching[0].secret, key)
    except ValueError as error:
        raise Failure(f"{matching[0].where}: cannot open {request.name}: {error}") from None
    console.out.flush()
    sys.stdout.buffer.write(value)
    sys.stdout.buffer.flush()
    return Exit.OK


def key_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl secret key`."""
    current = read_decryption_key(request.root)
    if current is None or request.new:
        key = generate_decryption_key()
        id = key.id  # before anything is written: PyNaCl may be missing
        if current:
            write_decryption_key(request.root, current, SECRET_EARLIER)
        path = write_decryption_key(request.root, key)
        console.note(f"{path}: a new key for secrets, {id}; `ordainctl fleet enroll` registers it", Style.DIM)
        current = key
    else:
        console.note(f"{place_of_key(request.root, CREDENTIAL)}: {current.id}", Style.DIM)
    console.line(f"{KEY}={current.public_text}")
    return Exit.OK


def recovery(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl secret recovery`."""
    if bool(request.file) == bool(request.revoke):
        raise Usage("give either FILE or --revoke ID")
    if request.revoke:
        return asyncio.run(_revoke_recovery(request, console))
    key = generate_decryption_key()
    public = key.public_text

    async def work() -> None:
        async with opened(request) as database:
            author = await require_reason(database, store_author(request), console)
            write_key_file(Path(request.file), key)  # first: a key that is registered and was lost would open nothing
            record = RecoveryRecord(key=public, by=author.by, made=int(time.time()))
            change = new_change(ChangeAction.ENROLL, ["recovery"], author, what=f"recovery key {key.id}")
            write = Write(key=f"{RECOVERY}{key.id}", data=encode_record(record), expect=None)
            await database.write([write, change_entry(change)])

    asyncio.run(work())
    console.line(f"{request.file}: a recovery key, {key.id}; keep it where no machine and no store is", Style.STRONG)
    console.note("`ordainctl secret seal --for recovery` seals for it", Style.DIM)
    return Exit.OK


async def _revoke_recovery(request: Namespace, console: Console) -> Exit:
    """Withdraw a recovery key: nothing is sealed for it any more."""
    async with opened(request) as database:
        known = await read_identities(database)
        record = known.recovery.get(request.revoke)
        if record is None:
            ids = ", ".join(sorted(known.recovery)) or "none"
            raise Failure(f"there is no recovery key {request.revoke}; those of this store: {ids}")
        author = await require_reason(database, store_author(request), console)
        reason = author.why or f"by {author.by}"
        change = new_change(ChangeAction.REVOKE, ["recovery"], author, what=f"recovery key {request.revoke}")
        key = f"{RECOVERY}{request.revoke}"
        write = Write(key=key, data=encode_record(replace(record, revoked=reason)), expect=known.versions[key])
        await database.write([write, change_entry(change)])
    console.line(f"recovery key {request.revoke}: revoked; `ordainctl secret reseal` with another key leaves it out")
    return Exit.OK


def write_key_file(path: Path, key: DecryptionKey) -> None:
    """Write the private half of a key into a new file that only its owner reads. Raises `Failure`."""
    try:
        atomic_files.write(path, f"{key.line}\n".encode(), atomic_files.PRIVATE)
    except FileExistsError:
        raise Failure(f"{path} exists already; a key is never overwritten, because it cannot be restored") from None
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, path)) from None


def _recipients(words: Sequence[str]) -> tuple[str, ...]:
    """Return the recipients on the command line. Raises `Usage`."""
    for word in words:
        try:
            check_recipient(word)
        except ValueError as error:
            raise Usage(f"--for {word}: {error}") from None
    return tuple(dict.fromkeys(words))


def _require_recipients(recipients: Sequence[str]) -> Sequence[str]:
    """Return the recipients. Raises `Usage` if there are none."""
    if not recipients:
        raise Usage("name at least one recipient, such as --for role=web or --for machine=db1")
    return recipients


def _value(request: Namespace, console: Console) -> bytes:
    """Return the secret from the file, from standard input, or from the terminal. Raises `Failure`."""
    if request.file and request.file != STANDARD_INPUT:
        try:
            return atomic_files.read(Path(request.file), MAX_VALUE + 1)
        except OSError as error:
            raise Failure(f"cannot read the secret from {request.file}: {error.strerror or error}") from None
    if sys.stdin.isatty():
        return getpass.getpass("Secret (nothing is shown): ").encode()
    return sys.stdin.buffer.read(MAX_VALUE + 1)


def _read_key(name: str) -> DecryptionKey:
    try:
        return parse_decryption_key(atomic_files.read(Path(name), 1 << 12).decode().strip())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Failure(
            f"cannot read the key from {name}: {reason}; `ordainctl secret recovery FILE` makes one"
        ) from None


def _has_store(request: Namespace) -> bool:
    return bool(request.store) or read_settings(request.root)[0].source.remote


async def _identities(request: Namespace, recipients: Sequence[str]) -> Identities:
    """Return the identities of the store; without a store, keys that are written out need none."""
    if not _has_store(request) and all(word.startswith(f"{KEY}=") for word in recipients):
        return Identities()
    async with opened(request) as database:
        return await _readable_identities(database)


async def _readable_identities(database: Database) -> Identities:
    """Return the identities of the store. Raises `Failure` if this user may not read them."""
    known = await read_identities(database)
    if known.unreadable:
        raise Failure(f"{known.unreadable}; machines and their keys are read from machines/")
    return known


async def _texts(request: Namespace) -> tuple[SecretText, ...]:
    """Return the files of the request with secrets, or the documents of the store. Raises `Failure`, `Refused`."""
    if not request.documents:
        async with opened(request) as database:
            return tuple(_with_secrets(await NamedDocuments(database).all()))
    files, problems = contents(request.documents)
    texts = []
    for path, data in files:
        documents, wrong = read(path, data)
        problems = (*problems, *wrong)
        secrets = tuple(secret for document in documents for secret in secrets_of(document.sections))
        texts.append(SecretText(title=path, data=data, secrets=secrets))
    if only_errors(problems):
        raise Refused(problems)
    return tuple(text for text in texts if text.secrets)


def _with_secrets(stored: Sequence[NamedDocument]) -> Iterator[SecretText]:
    for one in stored:
        secrets = tuple(secret for document in one.documents() for secret in secrets_of(document.sections))
        if secrets:
            yield SecretText(title=one.title, data=one.data, secrets=secrets, stored=one)


def _require_names(names: Sequence[str], texts: Sequence[SecretText]) -> None:
    known = {one.secret.name for text in texts for one in text.secrets}
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise Failure(f"there is no secret {name} in these documents" + (f"; {hint}" if hint else ""))


def _resealed(old: SealedSecret, new: SealedSecret, title: str) -> str:
    added, gone = len(new.copies.keys() - old.copies), len(old.copies.keys() - new.copies)
    return f"{title}: {new.name} sealed again: {plural(added, 'key')} added, {gone} removed"


async def _write(request: Namespace, text: SecretText, data: bytes, console: Console) -> None:
    """Write a text to where it came from, if it is still the same there."""
    if text.stored is None:
        _replace_file(Path(text.title), data)
        return
    async with opened(request) as database:
        author = await require_reason(database, store_author(request), console)
        await _put(database, text.stored.path, data, text.stored, author, "secrets sealed again")


def _replace_file(path: Path, data: bytes) -> None:
    try:
        atomic_files.replace(path, data, path.stat().st_mode & 0o777)
    except OSError as error:
        raise Failure(atomic_files.describe_error(error, path)) from None


async def _put(
    database: Database, path: str, data: bytes, stored: NamedDocument | None, author: Author, what: str
) -> None:
    """Write one document if it is still ``stored``, and log the change. Raises `Conflict`, `Failure` and `Refused`."""
    if stored and stored.conflicts:  # the write would settle it, with whatever the other version has
        reason = next(iter(stored.conflicts.values()))
        settle = f"settle it first: `ordainctl documents put {stored.name}.yaml`"
        raise Failure(f"{stored.title} {reason}; {settle}; no secret was sealed")
    documents, problems = read(path, data)
    if only_errors(problems):
        raise Refused(problems)
    (document,) = documents
    title = f"{document.kind.lower()}/{document.name}"
    change = new_change(ChangeAction.PUT, [title], author, what=what, texts={title: data})
    await NamedDocuments(database).put(document, data, stored, [change_entry(change)])
