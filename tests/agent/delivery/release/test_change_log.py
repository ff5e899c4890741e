"""The log of a store of each kind: written with the change, or not at all."""

from __future__ import annotations

import pytest

from ordain.agent.delivery.database.database import Conflict
from ordain.agent.delivery.database.named_documents import NamedDocuments, split_file
from ordain.agent.delivery.release.change_log import Author, ChangeAction, change_entry, new_change, read_changes
from support.stores.store_fixtures import OpenStore

ALICE = Author(by="alice", why="a test")
WEB = b"ordain: v1\nkind: Layer\nname: web\nmatch: {role: [web, db]}\nservices: {web: {command: /bin/web}}\n"


async def test_a_document_and_its_entry_are_written_together(open_store: OpenStore) -> None:
    ((document, text),) = split_file("web.yaml", WEB)[0]
    change = new_change(ChangeAction.PUT, ["layer/web"], ALICE, texts={"layer/web": WEB})
    async with open_store() as database:
        documents = NamedDocuments(database)

        await documents.put(document, text, None, [change_entry(change)])
        with pytest.raises(Conflict):
            await documents.put(document, text, None, [change_entry(change)])

        (stored,) = await documents.all()
        assert (await read_changes(database)).changes == (change,)
        assert stored.scopes == ("role=db", "role=web")
        await documents.delete(stored, [change_entry(new_change(ChangeAction.DELETE, ["layer/web"], ALICE))])
        assert [entry.action for entry in (await read_changes(database)).changes] == ["put", "delete"]
