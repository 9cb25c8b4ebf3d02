"""Real hosts for tests: booted once a session, pristine where a test asks for it.

    def test_something(hosts): web, db = hosts(2)            # shared by the session; leave them as you found them
    def test_something(fresh_host): ...                      # a new disk, never touched by another test
    def test_something(fresh_hosts): a, b = fresh_hosts(2, release="bullseye")
    def test_something(on, fresh_host): on(fresh_host).service("ssh").is_running       # testinfra

Every test here runs inside the lab's network. What boots, crashes and cuts hosts is reached by `machines.do(crash(host))`.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import testinfra

from deployer.build import BuildSettings, realise
from deployer.lab import Lab, LabHost, down, down_orphans, inside, load, missing_needs, reset, up
from deployer.packages import PackageSet
from deployer.packages.interpreter import interpreter
from deployer.store import Store

T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this directory."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.lab)


class Machines:
    """The session's lab, which grows as tests ask for hosts."""

    def __init__(self, outside: ThreadPoolExecutor) -> None:
        """`outside` runs what must not run inside the lab's network (a base may have to be downloaded)."""
        self._outside = outside
        self._name = f"test-{os.getpid()}"
        self._used: set[str] = set()
        """Hosts whose disks a test has had."""
        self._taken: set[str] = set()
        """Those that the running test has."""

    @property
    def lab(self) -> Lab:
        """The lab as it is now, with the files that a controller reads."""
        return load(self._name)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of `deployer.lab` from a test that is not itself a coroutine."""
        return self._outside.submit(asyncio.run, work).result()

    def shared(self, count: int) -> tuple[LabHost, ...]:
        """Hosts that all tests share."""
        return self._up([f"shared{number}" for number in range(1, count + 1)], "bookworm", "full")

    def fresh(self, count: int, release: str = "bookworm", base: str = "full") -> tuple[LabHost, ...]:
        """Hosts that this test alone has, as they are after their first boot."""
        free = [f"{release}-{base}{number}" for number in range(1, 100)]
        names = [name for name in free if name not in self._taken][:count]
        found = self._up(names, release, base)
        dirty = [host for host in found if host.name in self._used]
        if dirty:
            self.do(reset(*dirty))
        self._taken.update(names)
        self._used.update(names)
        return found

    def release(self) -> None:
        """Take back what the last test had."""
        self._taken.clear()

    def down(self) -> None:
        """Remove the lab."""
        self.do(down(self._name))

    def open(self) -> None:
        """Bring it up with one host, after removing what killed sessions left."""
        self.do(down_orphans())
        self.shared(1)

    def _up(self, names: list[str], release: str, base: str) -> tuple[LabHost, ...]:
        lab = self.do(up(self._name, hosts=names, release=release, base=base, owner=os.getpid()))
        return tuple(lab.host(name) for name in names)


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """The session's lab."""
    if missing := missing_needs():
        reason = f"this needs real hosts, and {missing[0].message}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with ThreadPoolExecutor(1) as outside:
        machines = Machines(outside)
        try:
            machines.open()
            yield machines
        finally:
            machines.down()


@pytest.fixture(autouse=True)
def _inside_the_lab(machines: Machines) -> Iterator[None]:
    with inside(machines.lab):
        yield
    machines.release()


@pytest.fixture
def hosts(machines: Machines) -> Callable[[int], tuple[LabHost, ...]]:
    """Hosts that all tests share: `hosts(3)`."""
    return machines.shared


@pytest.fixture
def fresh_hosts(machines: Machines) -> Callable[..., tuple[LabHost, ...]]:
    """Pristine hosts: `fresh_hosts(2, release="bullseye", base="no-python")`."""
    return machines.fresh


@pytest.fixture
def fresh_host(machines: Machines) -> LabHost:
    """One pristine host."""
    return machines.fresh(1)[0]


@pytest.fixture
def on(machines: Machines) -> Callable[[LabHost], Any]:
    """A testinfra connection: `on(host).file("/etc/hostname").content_string`."""

    def connect(host: LabHost) -> Any:
        lab = machines.lab
        return testinfra.get_host(f"ssh://{host.name}", ssh_config=str(lab.ssh_config), ssh_identity_file=str(lab.identity_file))

    return connect


@pytest.fixture(scope="session")
def store_with_pythons(machines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a store that has the Python to send already: a lab has no way to a mirror."""
    root = tmp_path_factory.mktemp("pythons")
    store, packages = Store(root), PackageSet({})
    made = interpreter(packages, platform.machine(), store.store_dir)
    packages.write(store, [made])
    machines.do(realise(store, [made.path], settings=BuildSettings()))
    return root


@pytest.fixture
def url(machines, tmp_path, monkeypatch):
    """The URL of a host as a builder; the user's SSH settings are the lab's."""
    (tmp_path / "home/.ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def make(host, user="root", **parameters):
        (tmp_path / "home/.ssh/config").write_text(machines.lab.ssh_config.read_text())
        (tmp_path / "home/.ssh/known_hosts").write_text(machines.lab.known_hosts.read_text())
        given = "".join(f"&{name.replace('_', '-')}={value}" for name, value in parameters.items())
        return f"ssh://{user}@{host.address}?ssh-key={machines.lab.identity_file}{given}"

    return make
