"""A relay is a boot server as well, of the releases or documents in its copy."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aiohttp import ClientSession

from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.release.publish import publish
from ordain.agent.netboot.api_tokens import Right, add_token
from rig.stores.relay_server import running_relay
from support.stores.relayed_site import release

MAC = "52:54:00:12:34:56"
BOOT = b"ordain: v1\nkind: Layer\nname: base\nnetboot: {kernel: 'http://boot/k', initrds: ['http://boot/i']}\n"


async def answer_of(web: ClientSession, url: str, wanted: str) -> str:
    """Return the answer as soon as it contains ``wanted``."""
    async with asyncio.timeout(60):
        while True:
            async with web.get(url) as answer:
                text = await answer.text()
            if wanted in text:
                return text
            await asyncio.sleep(0.02)


async def test_documents_scripts_and_releases_come_from_the_copy(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = DirectoryDatabase(tmp_path / "store")
    token = add_token(tmp_path / "tokens", "anna", frozenset(Right))
    async with running_relay(store, tmp_path / "state", tokens=tmp_path / "tokens") as running, ClientSession() as web:
        await store.put("documents/common/layer/base", BOOT, expect=ANY)
        await answer_of(web, f"{running.url}/web1.yaml", "name: base")
        script = await answer_of(web, f"{running.url}/boot.ipxe?mac={MAC}", "http://boot/k")
        assert script.startswith("#!ipxe")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        url = f"{running.url}/api/v1/machines/{MAC}/adopt"
        async with web.post(url, data=json.dumps({"name": "web7"}), headers=headers) as answer:
            refusal = await answer.json()
        assert (answer.status, "ordainctl documents put" in refusal["error"]) == (409, True)
        assert 'name: "web7"' in refusal["document"]

        await publish(store, release(3), {})
        text = await answer_of(web, f"{running.url}/web1.yaml", '"number": 3')
        assert "name: base" not in text, "once there is a release, documents belong to it"
