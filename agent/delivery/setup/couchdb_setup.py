"""CouchDB as a store for a fleet: its two databases, who may read and write them, and the nodes of the cluster.

CouchDB grants rights by database: members of a database may write its documents, unless a ``validate_doc_update``
refuses that (CouchDB, api/database/security and ddocs/ddocs, "Validate Document Update Functions").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from ordain.agent.delivery.database.couchdb_client import CouchClient
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess, require_success
from ordain.agent.delivery.database.json_answers import malformed_as_source_error, parse_json
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.setup.deviation import Deviation, Examination, Figure, FleetUsers, Repair, StoreUser

WRITER_ROLE = "ordain-writer"
"""Users with this role write documents and releases; they need not be administrators of the server."""
DESIGN = "_design/ordain"
VALIDATE = (
    f'function (doc, old, user) {{ if (user.roles.indexOf("_admin") < 0 && user.roles.indexOf("{WRITER_ROLE}") < 0) '
    'throw({forbidden: "machines only read here"}); }'
)
REPORT_REVISIONS = 10
"""The revisions of a report that are kept: each write of it reads all of them, by default up to 1,000."""
_ANSWER_SEC = 10.0
_MOST_REPLICATIONS = 10_000
_SERVER_ADMIN = "_admin"


class CouchDbSetup:
    """The setup of ``database`` and of the one for reports and locks; see `StoreSetup`."""

    def __init__(self, access: ServerAccess, database: str, login: Login | None, accounts: FleetUsers) -> None:
        self.location = f"{', '.join(access.endpoints)}/{database}"
        self._read, self._written = database, f"{database}-status"
        self._accounts = accounts
        self._client = CouchClient(HttpTransport(access), login, answer_sec=_ANSWER_SEC)

    async def examine(self) -> Examination:
        """See `StoreSetup.examine`."""
        with malformed_as_source_error(self.location):
            away = await self._node_deviations()
        try:
            examination = await self._examine_databases()
        except SourceError as error:  # all copies of a part of a database may be on nodes that are away
            if not away:
                raise
            what, hint = f"cannot be read: {error}", error.hint
            return Examination(deviations=(*away, Deviation(place=self.location, what=what, hint=hint)))
        return replace(examination, deviations=(*examination.deviations, *away))

    async def _examine_databases(self) -> Examination:
        """Return how databases, users and replications differ from those that a fleet needs, and their figures."""
        deviations: list[Deviation] = []
        figures: list[Figure] = []
        with malformed_as_source_error(self.location):
            deviations += await self._account_deviations(self._accounts.machine, roles=())
            if self._accounts.relay is not None:
                deviations += await self._account_deviations(self._accounts.relay, roles=())
            if self._accounts.writer is not None:
                deviations += await self._account_deviations(self._accounts.writer, roles=(WRITER_ROLE,))
            for database in (self._read, self._written):
                information = await self._get(_path(database))
                if information is None:
                    change = "create it"
                    repair = self._put(_path(database), None)
                    deviations.append(
                        Deviation(place=f"database {database}", what="does not exist", change=change, repair=repair)
                    )
                else:
                    figures += _figures(database, information)
                deviations += await self._member_deviations(database)
            deviations += await self._validation_deviations()
            deviations += await self._revision_deviations()
            behind, late = await self._replications()
            deviations += late
            figures += behind
        return Examination(deviations=tuple(deviations), figures=tuple(figures))

    async def close(self) -> None:
        """See `StoreSetup.close`."""
        await self._client.transport.close()

    async def _account_deviations(self, account: StoreUser, roles: Sequence[str]) -> list[Deviation]:
        path = f"/_users/{quote(f'org.couchdb.user:{account.name}', safe='')}"
        place = f"user {account.name}"
        user = await self._get(path)
        if user is None:
            if not await self._has_users_database():
                hint = "finish the setup of the server (CouchDB, setup/single-node)"
                return [Deviation(place="database _users", what="does not exist", hint=hint)]
            create = partial(self._create_user, path, account, roles)
            return [Deviation(place=place, what="does not exist", change="create it", repair=create)]
        deviations = []
        given: list[str] = list(user.get("roles", ()))
        if missing := [role for role in roles if role not in given]:
            body = {**user, "roles": [*given, *missing]}
            what, change = f"does not have the role {missing[0]}", f"give it the role {missing[0]}"
            deviations.append(Deviation(place=place, what=what, change=change, repair=self._put(path, body)))
        if not roles and (excess := {_SERVER_ADMIN, WRITER_ROLE} & set(given)):
            role = min(excess)
            what = f"has the role {role}: machines can change what other machines run"
            deviations.append(Deviation(place=place, what=what, hint=f"take {role} out of its roles in _users"))
        return deviations

    async def _has_users_database(self) -> bool:
        return await self._get("/_users") is not None

    async def _create_user(self, path: str, account: StoreUser, roles: Sequence[str]) -> None:
        body = {"name": account.name, "password": account.password(), "roles": list(roles), "type": "user"}
        await self._put(path, body)()

    async def _member_deviations(self, database: str) -> list[Deviation]:
        """Return the members that the database lacks, and an administrator that it should not have."""
        users = [self._accounts.machine.name, *([self._accounts.relay.name] if self._accounts.relay else [])]
        security: Mapping[str, Any] = await self._get(f"{_path(database)}/_security") or {}
        members, admins = security.get("members", {}), security.get("admins", {})
        names, roles = list(members.get("names", ())), list(members.get("roles", ()))
        place = f"database {database}"
        deviations = []
        absent = [user for user in users if user not in names]
        if absent or WRITER_ROLE not in roles:
            wanted = {
                "admins": {"names": list(admins.get("names", ())), "roles": list(admins.get("roles", ()))},
                "members": {
                    "names": [*names, *absent],
                    "roles": roles if WRITER_ROLE in roles else [*roles, WRITER_ROLE],
                },
            }
            if _SERVER_ADMIN not in wanted["admins"]["roles"]:
                wanted["admins"]["roles"].append(_SERVER_ADMIN)  # an empty list would let every member be one
            lacking = [*absent, *([] if WRITER_ROLE in roles else [WRITER_ROLE])]
            what = f"does not have {' and '.join(lacking)} among its members"
            repair = self._put(f"{_path(database)}/_security", wanted)
            change = f"add {' and '.join(lacking)} to its members"
            deviations.append(Deviation(place=place, what=what, change=change, repair=repair))
        for user in users:
            if user in admins.get("names", ()):
                what = f"has {user} among its administrators: it can change what machines run"
                deviations.append(Deviation(place=place, what=what, hint=f"remove {user} from its `_security`"))
        return deviations

    async def _validation_deviations(self) -> list[Deviation]:
        """Return a deviation if machines may write documents, or if a function other than ours checks writes."""
        path = f"{_path(self._read)}/{DESIGN}"
        design = await self._get(path)
        if design is not None and design.get("validate_doc_update") == VALIDATE:
            return []
        place = f"database {self._read}"
        what = (
            "lets machines write documents" if design is None else f"has another function in {DESIGN} than this version"
        )
        body = {**(design or {}), "validate_doc_update": VALIDATE}
        change = f"let only administrators and {WRITER_ROLE} write, by {DESIGN}"
        return [Deviation(place=place, what=what, change=change, repair=self._put(path, body))]

    async def _revision_deviations(self) -> list[Deviation]:
        path = f"{_path(self._written)}/_revs_limit"
        limit = await self._get(path)
        if isinstance(limit, int) and limit <= REPORT_REVISIONS:
            return []
        what = (
            "keeps up to 1,000 revisions of each report" if limit is None else f"keeps {limit:,} revisions of a report"
        )
        change = f"keep {REPORT_REVISIONS} revisions of each report"
        place = f"database {self._written}"
        return [Deviation(place=place, what=what, change=change, repair=self._put(path, REPORT_REVISIONS))]

    async def _node_deviations(self) -> list[Deviation]:
        """Return the nodes of the cluster that are away; none if the server does not say."""
        deviations = []
        membership = await self._get("/_membership")
        if isinstance(membership, Mapping):
            away = sorted(set(membership.get("cluster_nodes", ())) - set(membership.get("all_nodes", ())))
            hint = "start them: what fewer than a majority of the copies of a shard have taken may be lost"
            deviations += [Deviation(place=f"node {node}", what="is away", hint=hint) for node in away]
        return deviations

    async def _replications(self) -> tuple[list[Figure], list[Deviation]]:
        """Return how far the replications of these databases are, and the faults of each.

        Source: CouchDB, api/server/common, `_scheduler/docs`. A replication whose documents the target refuses runs,
        and is not behind.
        """
        figures, deviations = [], []
        answer = await self._get(f"/_scheduler/docs?limit={_MOST_REPLICATIONS}")
        for row in answer.get("docs", ()) if isinstance(answer, Mapping) else ():
            if not {self._read, self._written} & {_last_part(row.get("source")), _last_part(row.get("target"))}:
                continue
            place = f"replication {row.get('doc_id') or row.get('id')}"
            state, information = row.get("state"), row.get("info") or {}
            pending, refused = information.get("changes_pending"), information.get("doc_write_failures")
            if state in ("error", "crashing", "failed"):
                what = f"is {state}: {' '.join(str(information.get('error', 'no reason given')).split())}"
                deviations.append(Deviation(place=place, what=what, hint="see its document in _replicator"))
                continue
            behind = "not known" if pending is None else f"{pending:,} changes"
            figures.append(Figure(place=place, name="behind", value=f"{behind} ({state})"))
            if pending:
                hint = "machines of that site read older documents"
                deviations.append(Deviation(place=place, what=f"is {pending:,} changes behind", hint=hint))
            if refused:
                what = f"lacks {refused:,} documents that its target refused"
                hint = "let it write with an administrator of the target, and start it again"
                deviations.append(Deviation(place=place, what=what, hint=hint))
        return figures, deviations

    async def _get(self, path: str) -> Any:
        """Return the JSON at ``path``; None if there is none, also where the server does not know the path."""
        try:
            response = await self._client.ask("GET", path)
        except SourceError as error:
            if error.code is SourceFault.EMPTY:
                return None
            raise
        if response.status in (400, 404, 405):
            return None
        return parse_json(require_success(response).body, response.endpoint)

    def _put(self, path: str, body: object) -> Repair:
        async def repair() -> None:
            require_success(await self._client.ask("PUT", path, body, repeatable=False))

        return repair


def _figures(database: str, information: Mapping[str, Any]) -> list[Figure]:
    sizes = information.get("sizes") or {}
    place = f"database {database}"
    return [
        Figure(place=place, name="documents", value=f"{int(information.get('doc_count', 0)):,}"),
        Figure(place=place, name="size", value=f"{int(sizes.get('file', 0)) / (1 << 20):.1f} MiB"),
    ]


def _path(database: str) -> str:
    return f"/{quote(database, safe='')}"


def _last_part(url: object) -> str:
    """Return the name of the database that a replication names, by URL or by name."""
    text = url if isinstance(url, str) else json.dumps(url)
    return text.rstrip("/").rpartition("/")[2]
