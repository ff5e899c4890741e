"""A second site of a fleet on CouchDB: its database is replicated from the first one, its reports are its own."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ordain.agent.delivery.database.couchdb import CouchDb
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.fleet.reports import read_reports
from ordain.agent.delivery.identity.identities import read_identities
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    FleetRecord,
    MachineRecord,
    encode_key,
    encode_record,
)
from ordain.agent.delivery.release.change_log import Author, ChangeAction, new_change, read_changes, record_change
from ordain.agent.delivery.release.manifest import ReleaseDraft
from ordain.agent.delivery.release.publish import publish, read_blobs, read_head
from ordain.agent.delivery.release.signing import valid_signers
from rig.stores import store_servers

TEXT = b"ordain: v1\nkind: Layer\nname: base\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()


@asynccontextmanager
async def site(server: store_servers.CouchServer, name: str) -> AsyncIterator[CouchDb]:
    for part in (name, f"{name}-status"):
        server.call("PUT", part)
    login = Login(user=server.user, password=lambda: server.password) if server.user else None
    database = CouchDb(HttpTransport(ServerAccess(endpoints=(server.url,))), name, login)
    try:
        yield database
    finally:
        await database.close()


async def test_a_replicated_database_has_whole_releases_and_the_log(pouch: store_servers.CouchServer) -> None:
    suffix = secrets.token_hex(4)
    async with site(pouch, f"a{suffix}") as first, site(pouch, f"b{suffix}") as second:
        draft = ReleaseDraft(
            channel="stable",
            number=1,
            documents={"common/base.yaml": SHA256},
            created="2026-11-28T12:00:00+00:00",
        )
        release = draft.release()
        await publish(first, release, {SHA256: TEXT})
        await record_change(first, new_change(ChangeAction.PUBLISH, [release.title], Author(by="alice")))
        await first.put("status/x", b"{}", expect=None)

        places = {role: _place(pouch, f"{name}{suffix}") for role, name in (("source", "a"), ("target", "b"))}
        pouch.call("POST", "_replicate", places)

        head, _ = await read_head(second, "stable")
        assert head is not None
        assert await read_blobs(second, head, set(head.documents.values())) == {SHA256: TEXT}
        assert [change.subjects for change in (await read_changes(second)).changes] == [("stable 1",)]
        assert (await read_reports(second)).refused == {}


async def test_an_identity_that_two_sites_changed_counts_for_nothing_until_it_is_revoked_or_approved(
    pouch: store_servers.CouchServer,
) -> None:
    name, machine = f"c{secrets.token_hex(4)}", "a" * 32
    key = f"machines/{machine}"
    async with site(pouch, name) as database:
        texts = [
            encode_record(MachineRecord(machine=machine, key=encode_key(b"k" * 32), revoked=revoked))
            for revoked in ("stolen", "")
        ]
        revisions = [
            {"_id": key, "_rev": f"1-{digit * 32}", "text": text.decode()}
            for digit, text in zip("0f", texts, strict=True)
        ]
        pouch.call("POST", f"{name}/_bulk_docs", {"docs": revisions, "new_edits": False})
        await database.put(FLEET_KEY, encode_record(FleetRecord(fleet="f" * 16)), expect=None)

        known = await read_identities(database)

        assert known.machines[machine].revoked == "", "CouchDB shows the record that is not revoked"
        refusal = known.refusal(machine, f"status/{machine}", None, valid_signers)
        assert refusal is not None
        assert refusal.code == "IdentityDamaged"
        await database.put(key, texts[0], expect=known.versions[key])  # as `fleet revoke` does
        assert (await read_identities(database)).conflicts == {}


def _place(server: store_servers.CouchServer, name: str) -> object:
    """Return a database as the replicator wants it: CouchDB 3 as a whole URL with a login, the stand-in as a name."""
    if not server.user:
        return name
    return {"url": f"{server.url}/{name}", "auth": {"basic": {"username": server.user, "password": server.password}}}
