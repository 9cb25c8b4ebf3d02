"""Builds on other machines: real hosts over real SSH, which have no bubblewrap, and of which one has the oldest Python."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from deployer.build.engines import Reach, open_engine
from deployer.build.engines.errors import BubblewrapMissing, SystemUnknown
from deployer.build.errors import (
    BuildFailed,
    BuildTimedOut,
    HashMismatch,
    LogTooLong,
    OutputMissing,
    OutputRefused,
    OutputsDiffer,
)
from deployer.build.events import BuildLogged, BuildStarted
from deployer.build.logs import read_log
from deployer.cli import ssh_builders
from deployer.cli.ssh_stores import machine
from deployer.copy import RuntimeImage
from deployer.copy.builder import BuilderSession, open_builder
from deployer.copy.errors import HostRefused, PythonMissing
from deployer.errors import DeployerError
from deployer.generation import runtime, runtime_image
from deployer.lab import cut, heal
from deployer.ssh import ConnectOptions, connect
from deployer.store import verify
from tests.build.conftest import Workshop, toolchain_tree

__all__ = ["toolchain_tree"]

STORE = ".local/share/deployer/builder"
NO_NAMESPACES = "mkdir /etc/systemd/system/ssh.service.d; cd /etc/systemd/system/ssh.service.d; " + (
    "printf '[Service]\\nRestrictNamespaces=yes\\n' > no.conf; systemctl daemon-reload; systemctl restart ssh"
)
ENDLESS = "echo begun; while :; do sleep 0.1; done"


class Shop(Workshop):
    """A store of ours, and derivations."""

    def __init__(self, root, toolchain):
        super().__init__(root, toolchain)
        self._tree = toolchain

    def sibling(self, name):
        """Another store."""
        return Shop(self.store.root.with_name(name), self._tree)


@pytest.fixture
def shop(tmp_path, toolchain_tree):
    return Shop(tmp_path / "root", toolchain_tree)


@pytest.fixture
def ssh(machines):
    """Run something on a host as root."""

    def run(host, command):
        line = ["ssh", "-F", str(machines.lab.ssh_config), host.name, command]
        return subprocess.run(line, check=True, capture_output=True, text=True, timeout=60).stdout

    return run


def engine(url):
    return open_engine(url, reach=ssh_builders.reach)


def impatient(url):
    """The same with a controller and a builder that count each other as lost after seconds."""

    def reach(address, key, become):
        way = ssh_builders.reach(address, key, become)
        host = dataclasses.replace(machine(address, {"ssh-key": key or ""}), name=way.name)
        options = ConnectOptions(keepalive_interval=0.5, keepalive_count=3, close_timeout=0.5)

        async def dial():
            ours = RuntimeImage(str(runtime("/nix/store").path), runtime_image())
            return await open_builder(connect(host, options), lambda: ours, patience=3)

        return Reach(way.name, dial, way.carried)

    return open_engine(url, reach=reach)


def add_user(ssh, host, name):
    ssh(host, f"useradd -m -s /bin/bash {name} && cp -r /root/.ssh /home/{name}/ && chown -R {name}: /home/{name}/.ssh")


def left(ssh, host):
    """What builds have left on a host: processes, and directories that are not valid paths."""
    names = "[d]eployer.sandbox.warden|[b]wrap|[d]eployer-runtime|[s]leep 0.1"
    find = f"for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -aE '{names}'; done"
    return ssh(host, f"{find}; ls {STORE}/nix/store/.making; true").split()


def wait_until_nothing_is_left(ssh, host):
    end = time.monotonic() + 30
    while found := left(ssh, host):
        assert time.monotonic() < end, found
        time.sleep(0.2)


async def first_line(shop, task):
    """Wait until the build of a task has printed something."""
    while not shop.names(BuildLogged):
        done, _ = await asyncio.wait([task], timeout=0.05)
        if done:
            task.result()


async def test_a_graph_is_spread_over_two_builders_and_comes_out_as_here(shop, ssh, url, fresh_hosts):
    (new,), (old,) = fresh_hosts(1), fresh_hosts(1, release="bullseye")
    add_user(ssh, old, "joe")

    def graph(place):
        tree = "mkdir -p $out/d; echo a > $out/d/a; chmod +x $out/d/a; ln -s a $out/d/l; ln $out/d/a $out/b; chmod 0 $out/d"
        low = [
            place.script(f"low{n}", f"echo low; {tree}; echo $out $dev > $dev; sleep 1", outputs=("out", "dev")) for n in "abcd"
        ]
        mid = place.script("mid", "cat .attr-* > $out", *low, passAsFile="text", text="some text\n")
        text = "for i in $inputs; do [ -d $i ] || cat $i; done; id; unset NIX_BUILD_CORES; env | sort; cat /etc/passwd"
        return place.script("top", f"({text}) > $out", mid, *low[:1])

    there, ours = graph(shop), shop.sibling("here")
    builders = [engine(url(new, jobs=1)), engine(url(old, user="joe", jobs=1))]
    await shop.realise(there, engines=builders, jobs=0)
    await ours.realise(graph(ours))

    assert verify(shop.store) == ()
    closure = [str(path) for path in shop.store.closure([shop.output(there)])]
    assert [shop.store.query(path).nar_hash for path in closure] == [ours.store.query(path).nar_hash for path in closure]
    assert "TERM=xterm-256color" in shop.store.physical(shop.output(there)).read_text()
    held = [ssh(new, f"ls -d /root/{STORE}/nix/store/*-low?"), ssh(old, f"ls -d /home/joe/{STORE}/nix/store/*-low?")]
    assert all(len(text.split()) >= 2 for text in held), held
    for host in (new, old):
        wait_until_nothing_is_left(ssh, host)
        assert ssh(host, "ls -d /nix /var/lib/deployer 2>/dev/null; true") == ""


async def test_a_build_is_called_off_with_its_controller_and_with_its_connection(machines, shop, ssh, url, fresh_host):
    endless = shop.script("endless", ENDLESS)
    task = asyncio.create_task(shop.realise(endless, engines=[engine(url(fresh_host))]))
    await first_line(shop, task)
    assert any("warden" in word for word in left(ssh, fresh_host))

    task.cancel()
    await asyncio.wait([task])
    assert not any("warden" in word or "sleep" in word for word in left(ssh, fresh_host))
    wait_until_nothing_is_left(ssh, fresh_host)

    command = [sys.executable, "-m", "deployer", "store", "--store-root", str(shop.store.root), "realise", str(endless)]
    with subprocess.Popen(
        [*command, "--builder", url(fresh_host)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        while "sleep" not in left(ssh, fresh_host):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    wait_until_nothing_is_left(ssh, fresh_host)

    shop.events.clear()
    task = asyncio.create_task(shop.realise(endless, engines=[impatient(url(fresh_host))]))
    await first_line(shop, task)
    await asyncio.to_thread(machines.do, cut(fresh_host))
    with pytest.raises(DeployerError) as caught:
        await task
    await asyncio.to_thread(machines.do, heal(fresh_host))

    assert str(caught.value).startswith(f"builder {fresh_host.address}: the connection broke")
    wait_until_nothing_is_left(ssh, fresh_host)
    assert await shop.realise(shop.script("after", "echo > $out"), engines=[engine(url(fresh_host))])


async def test_a_build_that_fails_there_is_told_as_here(shop, ssh, url, fresh_host):
    builder = engine(url(fresh_host))

    async def fails(kind, script, **settings):
        derivation = shop.script(f"bad{len(shop.events)}", script, **settings.pop("how", {}))
        with pytest.raises(kind) as caught:
            await shop.realise(derivation, engines=[builder], **settings)
        return derivation, caught.value

    derivation, failed = await fails(BuildFailed, "echo one; echo two >&2; touch kept; exit 3", keep_failed=True)
    assert (failed.status, failed.log_tail) == (3, ("one", "two"))
    assert b"".join(read_log(shop.store, derivation)) == b"one\ntwo\n"
    place = re.fullmatch(r"(/tmp/\S+) on builder " + re.escape(str(fresh_host.address)), failed.kept)
    assert place is not None, failed.kept
    assert ssh(fresh_host, f"ls {shlex.quote(place[1])}") == "kept\n"

    assert (await fails(BuildTimedOut, "while :; do echo; sleep 0.1; done", timeout=1.0))[1].silent is False
    assert (await fails(BuildTimedOut, "sleep 100", silence_timeout=1.0))[1].silent is True
    await fails(LogTooLong, "yes", log_limit=100_000)
    await fails(OutputMissing, "true")
    assert "neither a file" in (await fails(OutputRefused, "mkdir $out; mkfifo $out/x"))[1].message
    await fails(HashMismatch, "echo > $out", how={"fixed": ("sha256", "00" * 32)})
    assert left(ssh, fresh_host) == []


async def test_a_second_build_there_is_compared_with_what_is_here(shop, url, fresh_host):
    builder = engine(url(fresh_host))
    same, other = shop.script("same", "echo > $out"), shop.script("other", "date +%N > $out")
    await shop.realise(same, other)

    await shop.realise(same, engines=[builder], check=True)
    with pytest.raises(OutputsDiffer):
        await shop.realise(other, engines=[builder], check=True)


async def test_a_builder_uses_what_we_have_where_another_controller_made_something_else(
    shop, url, fresh_host, tmp_path, toolchain_tree
):
    builder, other = engine(url(fresh_host)), shop.sibling("other")
    await other.realise(other.script("low", "date +%N > $out"), engines=[builder])
    low = shop.script("low", "date +%N > $out")
    here = (await shop.realise(low)).read_text()

    there = (await shop.realise(shop.script("top", "cat $inputs > $out", low), engines=[builder])).read_text()

    assert there == here


async def test_why_a_builder_cannot_be_used_is_told_before_anything_is_built(shop, ssh, url, fresh_hosts):
    (host,), (bare,) = fresh_hosts(1), fresh_hosts(1, base="no-python")
    any_script = shop.script("any", "echo > $out")

    async def refused(address, *kinds):
        with pytest.raises(kinds or DeployerError) as caught:
            await shop.realise(any_script, engines=[engine(address)])
        assert caught.value.remedy
        return str(caught.value)

    assert await refused(url(bare), PythonMissing) == f"builder {bare.address}: there is no python3 on it"
    nobody = url(host).replace(str(host.address), "192.0.2.250")
    assert (await refused(nobody)).startswith("builder 192.0.2.250: it can't be reached")
    assert "refuses the login 'nobody'" in await refused(url(host, user="nobody"))
    assert "is x86_64 and has no emulator" in await refused(url(host, system="aarch64-linux"), SystemUnknown)

    ssh(host, f"mkdir -p {STORE} && mount -t tmpfs -o size=4m tmpfs {STORE}")
    assert "MiB are free" in await refused(url(host), HostRefused)
    ssh(host, f"umount {STORE}; {NO_NAMESPACES}")
    ssh(host, "printf '#!/bin/sh\\necho no permission >&2; exit 1\\n' > /usr/bin/bwrap; chmod +x /usr/bin/bwrap")
    assert "no sandbox can be made on it: no permission" in await refused(url(host), HostRefused)
    assert shop.names(BuildStarted) == []


async def test_a_builder_of_another_kind_needs_no_bubblewrap(shop, url, fresh_host, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    output = await shop.realise(shop.script("any", "echo there > $out"), engines=[engine(url(fresh_host))])

    assert output.read_text() == "there\n"


async def test_a_builder_of_another_kind_that_needs_bubblewrap_is_told_what_to_install(shop, ssh, url, fresh_host, monkeypatch):
    ssh(fresh_host, NO_NAMESPACES)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")

    with pytest.raises(BubblewrapMissing) as caught:
        await shop.realise(shop.script("any", "echo > $out"), engines=[engine(url(fresh_host))])

    assert "this machine does not let us make a sandbox: Operation not permitted" in str(caught.value)
    assert "apt-get install bubblewrap" in caught.value.remedy


async def test_a_builder_that_needs_bubblewrap_is_sent_ours(shop, url, fresh_host, monkeypatch):
    hello = BuilderSession.hello

    async def without_namespaces(session):
        return dataclasses.replace(await hello(session), sandbox_refusal="not here")

    monkeypatch.setattr(BuilderSession, "hello", without_namespaces)
    said = "echo $(cat /proc/1/cmdline | head -c 200) > $out"

    output = await shop.realise(shop.script("any", said), engines=[engine(url(fresh_host))])

    assert "bwrap" in output.read_text()
