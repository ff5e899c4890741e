"""Fixtures that give a test machines and stores; see rig/.

In CI (``CI=true``) a machine that cannot be made is a failure; elsewhere the test is skipped and says why.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import zlib
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pluggy
import pytest
from _pytest.doctest import DoctestModule
from hypothesis import settings

from ordain.agent.delivery.database.couchdb import CouchDb
from rig import debian_roots, oracles, package
from rig.machine import Machine, Machines
from rig.stores import source_harness, store_servers
from support.runner.forked_workers import pytest_runtestloop as pytest_runtestloop
from support.runner.shared_by_workers import folder_of_run, shared
from support.stores.store_fixtures import connect_store as connect_store
from support.stores.store_fixtures import open_store as open_store

_failed = pytest.StashKey[bool]()
settings.register_profile("ordain", deadline=None)  # a busy host must not fail a test
settings.load_profile("ordain")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--update`` rewrites golden texts; review the diff."""
    parser.addoption("--update", action="store_true", help="rewrite the expected texts of golden cases")
    parser.addoption("--forks", type=int, default=0, help="collect the tests once, and run them in so many processes")


@pytest.hookimpl(hookwrapper=True)
def pytest_collect_file(file_path: Path) -> Generator[None, pluggy.Result[list[pytest.Collector]], None]:
    """Search for doctests only in files that have some: each worker would import and search 700 others."""
    outcome = yield
    if b">>> " not in file_path.read_bytes():
        outcome.force_result([found for found in outcome.get_result() if not isinstance(found, DoctestModule)])


def pytest_make_parametrize_id(val: object) -> str | None:
    """Return the start of a long text as its name, since each worker sends the names of all cases; None for others."""
    if not isinstance(val, str | bytes) or len(val) <= 200:
        return None
    start = val[:60] if isinstance(val, str) else val[:60].decode("latin-1")
    return f"{start.encode('unicode_escape').decode()}... ({len(val)})"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the cases of the mark ``one_debian`` on the other Debians, and put those of the mark ``slow`` first.

    No worker shall be left alone with a slow one at the end. Cases that start a server of a store get the mark
    ``thorough``: their brothers with a directory are left to `make check`.
    """
    for item in items:
        if _starts_a_store_server(item):
            item.add_marker(pytest.mark.thorough)
    left_out = [item for item in items if _is_left_out(item)]
    config.hook.pytest_deselected(items=left_out)
    kept = set(items) - set(left_out)
    items[:] = sorted(filter(kept.__contains__, items), key=lambda item: item.get_closest_marker("slow") is None)


def _starts_a_store_server(item: pytest.Item) -> bool:
    """Return whether the case starts etcd or pouchdb-server, by its fixtures or by the kind of its store."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    kinds = {parameters.get(name) for name in ("connect_store", "store")}
    return bool(
        {"etcd_here", "pouch_here"} & set(getattr(item, "fixturenames", ())) or {"etcd", "couchdb"} & (kinds - {None})
    )


def _is_left_out(item: pytest.Item) -> bool:
    """Return whether the case has the mark ``one_debian``, and runs on another Debian than this one.

    The name of the case decides, so that each Debian has its share of them, and always the same.
    """
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    suite = next((value for value in parameters if value in debian_roots.SUITES), None)
    if suite is None or os.environ.get("EVERY_DEBIAN") or not item.get_closest_marker("one_debian"):
        return False
    name = item.name.replace(suite, "")
    return bool(suite != debian_roots.SUITES[zlib.crc32(name.encode()) % len(debian_roots.SUITES)])


def pytest_sessionstart() -> None:
    """Collect no garbage while tests are found: every worker makes 10,000 of them, and all last."""
    os.environ["XDG_CACHE_HOME"] = "/proc/no-cache"  # commands of tests leave nothing in the home directory
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage less often: the default, every 700 objects, was 4 % of the CPU time."""
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def _lasting_objects() -> None:
    """Leave modules, and the caches that earlier tests filled, out of the collections of this module.

    `pytest_pyfunc_call` collects after each coroutine, and the agent after each apply.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def rig() -> None:
    """Skip or fail the test if machines cannot be made here."""
    if reason := debian_roots.missing_tools():
        _skip(f"no machine can be made: {reason}")


@pytest.fixture(scope="session")
def deb(rig: None) -> Path:
    """Return the package of this source tree."""
    return package.build()


@pytest.fixture(scope="session")
def quadlet(rig: None) -> tuple[str, ...]:
    """Return the command that runs podman's generator."""
    return oracles.quadlet_command()


@pytest.fixture(params=debian_roots.SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """Return each Debian in turn."""
    return str(request.param)


@pytest.fixture
def machines(deb: Path, request: pytest.FixtureRequest) -> Iterator[Machines]:
    """Return a function that makes machines, with the package installed unless ``bare``."""
    made: list[Machine] = []
    with ExitStack() as stack:

        def make(
            suite: str, *, cmdline: tuple[str, ...] = (), bare: bool = False, more: tuple[str, ...] = ()
        ) -> Machine:
            layers = debian_roots.plain_root(suite) if bare else debian_roots.with_package(suite, deb, more=more)
            made.append(stack.enter_context(Machine(layers, cmdline=cmdline)))
            return made[-1]

        yield make
        if request.node.stash.get(_failed, False):
            for machine in made:
                print(f"--- journal of {machine.name}\n{machine.journal('--lines=200')}")
                print(f"--- console of {machine.name}\n{machine.console()[-4000:]}")


@pytest.fixture
def machine(machines: Machines, suite: str) -> Machine:
    """Return a machine of each Debian in turn, switched off, with the package installed."""
    return machines(suite)


@pytest.fixture(scope="session")
def etcd_here() -> None:
    """Skip or fail the test if etcd cannot run here."""
    if reason := store_servers.missing_for_etcd():
        _skip(reason)


@pytest.fixture(scope="session")
def pouch_here() -> None:
    """Skip or fail the test if pouchdb-server cannot run here."""
    if not store_servers.given_couchdb() and (reason := store_servers.missing_for_pouchdb()):
        _skip(reason)


@pytest.fixture(scope="session")
def etcd_endpoints(etcd_here: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """Return the URLs of a cluster of three members of etcd, for tests that do not harm it."""

    @contextmanager
    def start() -> Iterator[str]:
        with store_servers.EtcdCluster() as cluster:
            yield " ".join(cluster.endpoints)

    with shared(folder_of_run(tmp_path_factory), "etcd", start) as endpoints:
        yield tuple(endpoints.split())


@pytest.fixture
def rightful_pouch(pouch_here: None) -> Iterator[store_servers.CouchServer]:
    """Return a server with users and rights: pouchdb-server with CouchDB's rules, or the one of `ORDAIN_COUCHDB`."""
    with store_servers.given_couchdb() or store_servers.PouchServer(user="admin", password="secret") as server:
        yield server


@pytest.fixture(scope="session")
def pouch(pouch_here: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[store_servers.CouchServer]:
    """Return a pouchdb-server, or the server that `ORDAIN_COUCHDB` names, for tests that do not harm it."""

    @contextmanager
    def start() -> Iterator[str]:
        with store_servers.PouchServer() as server:
            yield str(server.port)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CouchDb, "settle_sec", 0.01)  # the server has one node, which needs no time to agree
        if given := store_servers.given_couchdb():
            with given:
                yield given
        else:
            with shared(folder_of_run(tmp_path_factory), "pouch", start) as port:
                yield store_servers.PouchServer(port=int(port))


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[source_harness.HarmableStore]:
    """Return a store of the kind that the test names, which it may harm."""
    if reason := {"etcd": store_servers.missing_for_etcd, "couchdb": store_servers.missing_for_pouchdb}.get(
        request.param, str
    )():
        _skip(reason)
    if request.param == "etcd":
        with store_servers.EtcdCluster(count=1) as cluster:
            yield source_harness.EtcdStore(cluster)
    elif request.param == "couchdb":
        with store_servers.given_couchdb() or store_servers.PouchServer() as pouch:
            yield source_harness.CouchStore(pouch)
    else:
        (tmp_path / "store").mkdir()
        yield source_harness.DirectoryStore(tmp_path / "store")


def _skip(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutine functions, each in its own event loop."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    gc.collect()  # so that an open socket is reported in the test that left it
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Remember that a test failed, so that the journals of its machines are shown."""
    outcome = yield
    if outcome.get_result().failed:
        item.stash[_failed] = True
