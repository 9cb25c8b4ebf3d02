"""Builds that try to get out, as root and as an ordinary user: nothing of the machine or of the store changes."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deployer.build.errors import BuildFailed
from deployer.store import Store, verify
from tests.build.test_sandbox import Room

NOBODY = 65534
BUILD = """
import asyncio, json, sys
from pathlib import Path
from deployer.build import realise
from deployer.errors import DeployerError
from deployer.formats import StorePath
from deployer.store import Store
ended = {}
for path in sys.argv[2:]:
    try:
        asyncio.run(realise(Store(Path(sys.argv[1])), [StorePath.parse(path)]))
        ended[path] = "built"
    except DeployerError as error:
        ended[path] = "refused"
print(json.dumps(ended))
"""
# @outside@: a directory of this machine that all may write to; @victim@: the output of a derivation that is not built;
# @other@: a path that is in the store and not in the closure; $inputs: one that is.
REFUSED = {
    "write outside": "echo x > @outside@/file",
    "write over an input": "echo x > $inputs",
    "replace an input": "rm -f $inputs; echo x > $inputs",
    "rename an input": "mv $inputs $out",
    "read another path": "cat @other@ > $out",
    "read this machine's secrets": "cat /etc/shadow > $out",
    "read root's home": "ls /root/. > $out",
    "read this machine's programs' memory": "cat /proc/kcore > $out",
    "setuid": "echo x > $out; chmod 4755 $out",
    "setgid directory": "mkdir $out; chmod 2755 $out",
    "device": "mknod $out b 8 0",
    "fifo in a tree": "mkdir $out; mkfifo $out/x",
    "hard link to an input": "ln $inputs $out",
    "hard link to a program": "ln /usr/bin/cat $out",
    "hard link that stays outside": "echo x > $out; ln $out $NIX_STORE/kept",
    "no output but another's": "echo x > @victim@",
}
HARMLESS = {
    "forge another's output": "echo x > @victim@; echo x > $out",
    "output that is a link to outside": "ln -s @outside@/secret $out",
    "link in a tree to outside": "mkdir $out; ln -s @outside@/secret $out/link",
    "stay and write": "mkdir $out; (exec >/dev/null 2>&1; while :; do echo x >> $out/grows; done) & echo x > $out/file",
}


def digests(directory):
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(directory.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("user", ["this", "nobody"])
def test_no_escape_leads_anywhere(workshop, user):
    if user == "nobody" and os.geteuid() != 0:
        pytest.skip("only root can become nobody; it is tried without root already")
    directory = Path(tempfile.mkdtemp(prefix="build-escapes-", dir="/tmp"))
    outside = directory / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    other = workshop.store.add_text("other", b"other")
    low = workshop.script("low", "echo low > $out")
    victim = workshop.script("victim", "echo victim > $out")
    words = {"@outside@": str(outside), "@other@": str(other), "@victim@": str(workshop.output(victim))}
    made = {}
    for name, script in {**REFUSED, **HARMLESS}.items():
        text = re.sub("@[a-z]+@", lambda found: words[found[0]], script)
        made[name] = str(workshop.script(name.replace(" ", "-").replace("'", ""), text, low))
    try:
        root = directory / "root"
        shutil.copytree(workshop.store.root, root, symlinks=True)
        if user == "nobody":
            for path in (directory, *directory.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        outside.chmod(0o777)
        (outside / "secret").chmod(0o666)
        before = digests(outside)
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(root), *made.values()],
            user=NOBODY if user == "nobody" else None,
            group=NOBODY if user == "nobody" else None,
            extra_groups=[] if user == "nobody" else None,
            env={"PATH": os.environ["PATH"], "HOME": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 0, done.stderr
        ended = json.loads(done.stdout)
        store = Store(root)

        assert {name for name in made if ended[made[name]] == "refused"} == set(REFUSED)
        assert digests(outside) == before
        assert not store.is_valid(workshop.output(victim))
        assert not os.path.lexists(store.physical(workshop.output(victim)))
        assert store.physical(workshop.output(low)).read_text() == "low\n"
        assert verify(store, contents=True) == ()
        registered = {os.path.basename(path) for path in store.database.all_paths()}
        assert {name for name in os.listdir(store.layout.store) if not name.startswith(".")} == registered
    finally:
        shutil.rmtree(directory)


async def test_no_server_of_this_machine_is_reached(tmp_path, toolchain_tree):
    room = Room(tmp_path, toolchain_tree)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        port = listening.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 3)"

        with pytest.raises(BuildFailed) as caught:
            await room.run(f'/usr/bin/python3 -c "{connect}"', toolchain=Path("/"))
        with pytest.raises(BlockingIOError):
            listening.accept()

        assert "ConnectionRefusedError" in caught.value.log_tail[-1]
        await room.run(f'/usr/bin/python3 -c "{connect}"', toolchain=Path("/"), network=True)
        listening.accept()[0].close()
