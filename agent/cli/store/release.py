"""release keygen, create, sign, verify, publish, promote, list, show, prune, forget: signed releases."""

from __future__ import annotations

import getpass
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.documents.document_files import contents, valid
from ordain.agent.cli.documents.document_tests import run_required
from ordain.agent.cli.json_shapes import JsonPrunedReleases, JsonReleaseMore, JsonReleaseVerification
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.open_store import require_reason, store_author, with_store
from ordain.agent.cli.store.required_tests import require_tests
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.fleet.prune import KEEP, Pruned, prune
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release import verify as accept
from ordain.agent.delivery.release.assemble import Assembled, assemble
from ordain.agent.delivery.release.bundle import is_manifest
from ordain.agent.delivery.release.change_log import ChangeAction, new_change, prune_changes, record_change
from ordain.agent.delivery.release.channel import STABLE
from ordain.agent.delivery.release.highest_accepted import forget_accepted
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft, read_release
from ordain.agent.delivery.release.publish import (
    PUBLISH_AGAIN,
    head_key,
    list_releases,
    number_key,
    publish,
    read_blobs,
    read_head,
)
from ordain.agent.delivery.release.trusted_keys import SUFFIX, TRUST, InvalidKey, PublicKey, parse_key, trusted_keys
from ordain.agent.errors import Failure
from ordain.agent.local_time import local_time
from ordain.agent.model import RawDocuments
from ordain.agent.system import atomic_files
from ordain.transforms.errors import Refused, only_errors
from ordain.transforms.systemd.values import EncodeError, timespan

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PRIVATE = ".key"


def keygen(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release keygen`."""
    name = Path(request.name)
    passphrase = _new_passphrase() if request.passphrase else b""
    pem, raw = signing.generate_key(passphrase)
    key = PublicKey(name=name.name, raw=raw, channels=frozenset(request.channel), scopes=frozenset(request.scope))
    try:
        parse_key(key.line)
    except InvalidKey as bad:
        raise Usage(str(bad)) from None
    for suffix, data, mode in ((PRIVATE, pem, 0o600), (SUFFIX, f"{key.line}\n".encode(), 0o644)):
        path = f"{name}{suffix}"
        try:
            atomic_files.write(Path(path), data, mode)
        except FileExistsError:
            raise Failure(f"{path} exists already; a key is never overwritten, because it cannot be restored") from None
    console.line(f"{name}{PRIVATE}: the private key; keep it secret", Style.STRONG)
    console.line(f"{name}{SUFFIX}: the public key; copy it to /{TRUST}/ on every machine:")
    console.text(f"{key.line}\n")
    return Exit.OK


def create(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release create`."""
    made = _assembled(request.file, console)
    if not made.names and not request.shrinks:
        what = f"{', '.join(request.file)}: there is no document, so that the release would remove everything"
        raise Failure(f"{what}; name files that hold some, or add --shrinks")
    run_required([Path(folder) for folder in request.tests], made.documents, request.root, console)
    channel = request.channel or STABLE
    number = _number(request, channel)
    release = _made(request, channel, number, made.names)
    if request.key:
        release = _signed(release, request.key)
    if request.output:
        _write(Path(request.output), release)
        console.line(f"{request.output}: release {release.title}, {plural(len(made.blobs), 'document')}", Style.GOOD)
    else:
        console.text(release.text().decode())
    return Exit.OK


def sign(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release sign`."""
    if not request.key:
        raise Usage("--key FILE is missing")
    path = Path(request.release)
    release = _signed(read_release(str(path), path.read_bytes()), request.key)
    _write(path, release)
    console.line(f"{path}: release {release.title}, {plural(len(release.signatures), 'signature')}", Style.GOOD)
    return Exit.OK


def verify(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release verify`."""
    if Path(request.release).exists():
        release = read_release(request.release, Path(request.release).read_bytes())
        have = accept.by_hash(data for _, data in _contents(request.file)) if request.file else None
    else:
        release, have = with_store(request, lambda database: _fetched(database, request.release, request))
    names = _verified(release, request)
    if have is not None and (missing := frozenset(release.documents.values()) - have.keys()):
        raise _failure(accept.incomplete_release(release, missing))
    number = None if have is None else len(set(release.documents.values()))
    if request.json:
        console.json(JsonReleaseVerification(release=release.title, signed_by=names, documents=number))
        return Exit.OK
    documents = "" if number is None else f"; {plural(number, 'document')} with the signed content"
    console.line(f"release {release.title}: signed by {', '.join(names)}{documents}", Style.GOOD)
    return Exit.OK


def publish_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release publish`."""
    release = read_release(request.release, Path(request.release).read_bytes())
    if not release.signatures:
        console.note(f"release {release.title} is not signed: only machines with `trust: open` accept it", Style.WARN)
    have = accept.by_hash(data for _, data in _contents(request.file))

    async def work(database: Database) -> bool:
        author = await require_reason(database, store_author(request), console)
        paths = {sha256: name for name, sha256 in release.documents.items() if sha256 in have}
        documents, _ = valid(tuple((path, have[sha256]) for sha256, path in paths.items()))
        await require_tests(request, database, request.file, documents, console)
        new = await publish(database, release, have)
        if new:
            await record_change(
                database, new_change(ChangeAction.PUBLISH, [release.title], author, what=_about(release))
            )
        return new

    new = with_store(request, work)
    console.line(f"release {release.title}: {'published' if new else 'already published'}", Style.GOOD)
    return Exit.OK


def promote(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release promote`."""
    if not request.key:
        raise Usage("--key FILE is missing")

    async def work(database: Database) -> tuple[Release, Release]:
        author = await require_reason(database, store_author(request), console)
        old, have = await _fetched(database, request.origin, request)
        if missing := frozenset(old.documents.values()) - have.keys():
            raise accept.incomplete_release(old, missing)
        now, _ = await read_head(database, request.to)
        number = int(request.number) if request.number else max(now.number if now else 0, old.number) + 1
        new = _signed(_made(request, request.to, number, old.documents, about=f"as {old.title}"), request.key)
        await publish(database, new, have)
        await record_change(
            database, new_change(ChangeAction.PROMOTE, [new.title], author, what=f"{old.title} as {new.title}")
        )
        return old, new

    old, new = with_store(request, work)
    console.line(f"release {old.title}: published as {new.title}", Style.GOOD)
    return Exit.OK


def list_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release list`."""
    listed = with_store(request, list_releases)
    stored = listed.releases
    for problem in listed.problems:
        console.note(problem, Style.WARN)
    if request.json:
        console.json([{**release.data, **JsonReleaseMore(hash=release.hash, head=head)} for release, head in stored])
        return Exit.OK
    rows: list[tuple[Cell, ...]] = [
        (
            release.channel,
            str(release.number),
            local_time(str(release.data.get("created", ""))),
            str(len(set(release.documents.values()))),
            ", ".join(release.signatures) or ("none", Style.WARN),
            ("latest", Style.GOOD) if is_head else "",
            str(release.data.get("about", "")),
        )
        for release, is_head in stored
    ]
    console.table(("CHANNEL", "NUMBER", "CREATED", "DOCUMENTS", "KEYS", "", "ABOUT"), rows)
    if not rows:
        console.line("there are no releases in the store", Style.DIM)
    return Exit.OK


def show(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release show`."""
    release = with_store(request, lambda database: _stored(database, request.release))
    console.text(release.text().decode())
    return Exit.OK


def prune_(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release prune`."""
    keep = _whole(request.keep) if request.keep else KEEP
    channel = request.channel or ""

    async def work(database: Database) -> Pruned:
        pruned = await prune(database, channel=channel, keep=keep, dry_run=request.dry_run)
        if not request.dry_run:
            await prune_changes(database)
        return pruned

    pruned = with_store(request, work)
    for problem in pruned.problems:
        console.note(problem, Style.WARN)
    if request.json:
        gone, stay = [r.title for r in pruned.removed], [r.title for r in pruned.kept]
        console.json(JsonPrunedReleases(gone=gone, stay=stay, blobs=list(pruned.blobs)))
        return Exit.OK
    console.table(
        (),
        [(r.title, local_time(str(r.data.get("created", ""))), str(r.data.get("about", ""))) for r in pruned.removed],
    )
    kept = f"{plural(len(pruned.kept), 'release')} kept"
    if pruned.removed or pruned.blobs:
        deleted = f"{plural(len(pruned.removed), 'release')} and {plural(len(pruned.blobs), 'document')}"
        console.line(f"{'would delete' if request.dry_run else 'deleted'} {deleted}; {kept}", Style.GOOD)
    else:
        console.line(f"nothing to delete; {kept}", Style.DIM)
    return Exit.OK


def forget(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release forget`."""
    try:
        forgotten = forget_accepted(request.root, request.channel)
    except ValueError as error:
        raise Failure(str(error)) from None
    if forgotten:
        console.line(f"forgot that {request.channel} {forgotten.number} was accepted", Style.GOOD)
    else:
        console.line(f"no release of {request.channel} has been accepted on this machine", Style.DIM)
    return Exit.OK


def _assembled(names: Sequence[str], console: Console) -> Assembled:
    files = []
    for name in names:
        for path, data in _contents([name]):
            if Path(name).is_dir() and is_manifest(data):  # a directory for `ordainctl serve` contains both
                console.note(f"{path}: left out, because it is a release")
            else:
                files.append((path, data))
    made = assemble(files)
    console.problems(made.problems)
    return made


def _contents(names: Sequence[str]) -> RawDocuments:
    files, problems = contents(names)
    if only_errors(problems):
        raise Refused(problems)
    return files


def _number(request: Namespace, channel: str) -> int:
    if request.number:
        return _whole(request.number)
    last = _replaced(request, channel)
    if last and not request.store:
        return last + 1
    try:
        now, _ = with_store(request, lambda database: read_head(database, channel))
    except Usage:
        raise Usage("use --number N, or --store URL to number the release after the latest one there") from None
    return max(last, now.number if now else 0) + 1


def _replaced(request: Namespace, channel: str) -> int:
    """Return the number of the release of ``channel`` in the output file, 0 if there is none."""
    path = Path(request.output) if request.output else None
    if path is None or not path.is_file():
        return 0
    replaced = read_release(str(path), path.read_bytes())
    return replaced.number if replaced.channel == channel else 0


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise Usage(f"{text!r} is not the number of a release: 1, 2, …")
    return int(text)


def _made(request: Namespace, channel: str, number: int, documents: Any, about: str = "") -> Release:
    words = {
        "splay": request.splay,
        "max-parallel": _whole(request.max_parallel) if request.max_parallel else None,
        "windows": request.window,
        "stages": request.stages.split(",") if request.stages else None,
        "stop-at": request.stop_at,
        "soak": request.soak,
    }
    rollout = {key: value for key, value in words.items() if value}
    now = datetime.now(UTC)
    draft = ReleaseDraft(
        channel=channel,
        number=number,
        documents=documents,
        created=now.isoformat(timespec="seconds"),
        expires=(now + _span(request.expires)).isoformat(timespec="seconds") if request.expires else "",
        about=request.about or about,
        rollout=rollout or None,
        shrinks=request.shrinks,
    )
    return draft.release()


def _span(text: str) -> timedelta:
    try:
        return timedelta(microseconds=timespan(text))
    except (EncodeError, OverflowError):
        raise Usage(f"--expires {text}: not a time span, such as 30d or 12h") from None


def _private(name: str) -> Ed25519PrivateKey:
    pem = Path(name).read_bytes()
    try:
        return signing.load_private_key(name, pem)
    except signing.LockedKey:
        return signing.load_private_key(name, pem, getpass.getpass(f"Passphrase for {name}: ").encode())


def _signed(release: Release, name: str) -> Release:
    key = _private(name)
    return release.signed(PublicKey(name="key", raw=signing.public_bytes(key)).id, signing.sign(key, release.canonical))


def _verified(release: Release, request: Namespace) -> list[str]:
    """Return the names of the keys that signed the release. Raises `Failure`."""
    keys, problems = trusted_keys(request.root)
    if request.trust:
        try:
            keys = tuple(parse_key(Path(name).read_text().strip()) for name in request.trust)
        except InvalidKey as bad:
            raise Failure(f"{', '.join(request.trust)}: {bad}") from None
    elif problems:
        raise Refused(problems)
    try:
        return [key.name for key in accept.trusted_signers(release, keys, signing.valid_signers)]
    except SourceError as error:
        raise _failure(error) from None


def _failure(error: SourceError) -> Failure:
    return Failure(f"{error} [{error.code}]" + (f" ({error.hint})" if error.hint else ""))


async def _stored(database: Database, text: str) -> Release:
    """Return the release that ``CHANNEL`` or ``CHANNEL/NUMBER`` names."""
    channel, _, number = text.partition("/")
    key = number_key(channel, _whole(number)) if number else head_key(channel)
    entry = await database.get(key)
    if entry is None:
        raise Failure(f"there is no release {text} in {database.location}; `ordainctl release list` lists them")
    if entry.conflict:
        raise Failure(f"{key} {entry.conflict}; {PUBLISH_AGAIN}")
    return read_release(key, entry.data)


async def _fetched(database: Database, text: str, request: Namespace) -> tuple[Release, dict[str, bytes]]:
    """Return a release with valid signatures, and its documents, whose hashes match. Raises `Failure`."""
    release = await _stored(database, text)
    _verified(release, request)
    return release, await read_blobs(database, release, set(release.documents.values()))


def _about(release: Release) -> str:
    """Return the sentence on a release that its author wrote, and the keys that signed it."""
    about = str(release.data.get("about", ""))
    signed = f"signed by {', '.join(release.signatures)}" if release.signatures else "not signed"
    return f"{about}; {signed}" if about else signed


def _write(path: Path, release: Release) -> None:
    if path.is_dir():  # `replace` would move it away, as one in the place of a file of ours
        raise Failure(f"{path} is a directory; name a file in it, such as {path / 'release.json'}")
    atomic_files.replace(path, release.text())


def _new_passphrase() -> bytes:
    first = getpass.getpass("Passphrase: ")
    if not first or first != getpass.getpass("Repeat the passphrase: "):
        raise Failure("the passphrase is empty, or the two entries differ; run the command again")
    return first.encode()
