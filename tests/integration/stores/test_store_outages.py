"""Machines that follow a store: they apply its documents, and no fault of the store stops a service."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rig.machine import Machine
from rig.machine_agent import (
    agent_status,
    environment,
    invocations,
    layer,
    service_with_secret,
    sleep_service,
    wait_active,
    wait_agent_state,
    wait_secret,
)
from rig.netns_link import HostLink
from rig.stores import store_servers

pytestmark = pytest.mark.integration

SOURCE = "ordain-source.service"
SERVICES = ("web.service", "other.service")


# These two Debians have different versions of aiohttp.
on_bookworm = pytest.mark.parametrize("suite", ["bookworm"], indirect=True)
on_trixie = pytest.mark.parametrize("suite", ["trixie"], indirect=True)


@pytest.fixture
def link(machine: Machine) -> Iterator[HostLink]:
    machine.boot()
    with HostLink(machine) as link:
        yield link


def follow(machine: Machine, source: str) -> None:
    machine.write("/etc/ordain/agent.yaml", f"source: {source}\ntrust: open\n")
    machine.until("the agent uses this source", lambda: agent_status(machine)["source"]["type"] in source)


def put(machine: Machine, document: str) -> None:
    """Write a document to the store, as an administrator on the machine."""
    machine.run("ordainctl", "documents", "put", "-", stdin=document)


def code(machine: Machine) -> str:
    return str(agent_status(machine)["source"]["code"])


def wait_code(machine: Machine, wanted: str) -> None:
    machine.until(f"the source is {wanted or 'connected'}", lambda: code(machine) == wanted, timeout=90)


def wait_word(machine: Machine, wanted: str) -> None:
    machine.until(f"web has the word {wanted}", lambda: f"WORD={wanted}" in environment(machine))
    wait_active(machine, "web.service")
    wait_agent_state(machine, "converged")


def resolve(machine: Machine, name: str, address: str) -> None:
    """Let the machine resolve ``name`` to ``address``."""
    machine.write("/etc/hosts", f"127.0.0.1 localhost\n{address} {name}\n")


def retry_now(machine: Machine) -> None:
    """Restart the fetcher, which ends its wait between attempts."""
    machine.run("systemctl", "restart", SOURCE)


@on_trixie
@pytest.mark.usefixtures("etcd_here")
def test_etcd_loses_its_leader_then_its_documents_then_all_members(machine: Machine, link: HostLink) -> None:
    with store_servers.EtcdCluster(host=link.host) as cluster:
        follow(machine, f"{{type: etcd, endpoints: {json.dumps(cluster.endpoints)}}}")
        put(machine, layer(web=sleep_service(), other=sleep_service()))
        wait_active(machine, *SERVICES)
        wait_agent_state(machine, "converged")
        before = invocations(machine, *SERVICES)

        cluster.leader().end()
        cluster.ready()
        put(machine, layer(web=sleep_service("2"), other=sleep_service()))
        wait_word(machine, "2")
        now = invocations(machine, *SERVICES)
        assert now["other.service"] == before["other.service"]

        cluster.ctl("del", "--prefix", "/ordain/documents/")
        wait_code(machine, "SourceEmpty")
        for member in cluster.members:
            member.end()
        retry_now(machine)
        wait_code(machine, "SourceUnreachable")
        assert invocations(machine, *SERVICES) == now


@on_bookworm
@pytest.mark.usefixtures("pouch_here")
def test_couchdb_is_cut_off_moves_to_another_address_and_loses_its_database(machine: Machine, link: HostLink) -> None:
    resolve(machine, "db.example", link.host)
    with store_servers.PouchServer(host=link.host) as pouch:
        follow(machine, f'{{type: couchdb, url: "http://db.example:{pouch.port}"}}')
        put(machine, layer(web=sleep_service(), other=sleep_service()))
        wait_active(machine, *SERVICES)
        wait_agent_state(machine, "converged")
        before = invocations(machine, *SERVICES)

        link.drop_replies()
        retry_now(machine)
        wait_code(machine, "SourceUnreachable")
        assert invocations(machine, *SERVICES) == before
        link.restore()
        retry_now(machine)
        wait_code(machine, "")
        put(machine, layer(web=sleep_service("2"), other=sleep_service()))
        wait_word(machine, "2")
        now = invocations(machine, *SERVICES)
        assert now["other.service"] == before["other.service"]

        pouch.end()
        pouch.host = link.other
        pouch.start()
        wait_code(machine, "SourceUnreachable")
        resolve(machine, "db.example", link.other)
        wait_code(machine, "")  # without a restart
        put(machine, layer(web=sleep_service("3"), other=sleep_service()))
        wait_word(machine, "3")
        key = machine.run("ordainctl", "secret", "key").stdout.strip()
        machine.run("ordainctl", "secret", "seal", "--for", key, "--put", "db", stdin="sesame")
        put(machine, layer(web=service_with_secret("db"), other=sleep_service()))
        wait_secret(machine, "sesame")
        wait_agent_state(machine, "converged")
        assert invocations(machine, *SERVICES)["other.service"] == before["other.service"]
        now = invocations(machine, *SERVICES)

        pouch.call("DELETE", "ordain")
        retry_now(machine)
        wait_code(machine, "SourceEmpty")
        assert invocations(machine, *SERVICES) == now
