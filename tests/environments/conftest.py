"""A project with packages made of this machine's own programs: real .debs, a lock that pins them, and a mirror on the disk."""

import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from deployer.cli.main import run
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
PROGRAMS = ("sh", "cat", "env", "ls", "id", "sleep", "kill", "touch", "readlink", "pwd")


def tar(files):
    """A gzip'd archive of files by name: text, bytes, or a path to be linked to."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            if isinstance(content, Path):
                member.type, member.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(member)
            else:
                data = content.encode() if isinstance(content, str) else content
                member.size, member.mode = len(data), 0o755 if "bin/" in name or ".so" in name else 0o644
                archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def deb(files, postinst=""):
    """A .deb of files by name."""
    whole = b"!<arch>\n"
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tar({"postinst": postinst} if postinst else {}),
        "data.tar.gz": tar(files),
    }
    for name, data in parts.items():
        whole += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return whole


def machine_files():
    """This machine's programs, and what they load, where a package would have them."""
    files = {}
    for program in PROGRAMS:
        real = os.path.realpath(shutil.which(program, path="/usr/bin:/bin") or program)
        files[f"usr/bin/{program}"] = Path(real).read_bytes()
        listed = subprocess.run(["ldd", real], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+\.so\S*)", listed):
            files[library.lstrip("/") if library.startswith("/usr") else f"usr{library}"] = Path(library).read_bytes()
    return files


def apart():
    """The same, with all libraries but the C library in a directory that only the loader's configuration names."""
    files = {"etc/ld.so.conf.d/apart.conf": "/usr/lib/apart\n"}
    for place, content in machine_files().items():
        name = place.rpartition("/")[2]
        files[place if ".so" not in name or name.startswith(("libc.so", "ld-")) else f"usr/lib/apart/{name}"] = content
    return files


class Project:
    """A directory with packages.yaml and deployer.lock, and the session's store."""

    def __init__(self, directory, mirror, store_root):
        self.directory, self.mirror, self.store_root = directory, mirror, store_root
        self.locked = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DEPLOYER_")},
            "DEPLOYER_STORE_ROOT": str(store_root),
            "DEPLOYER_DEBIAN_MIRRORS": mirror.as_uri(),
            "XDG_STATE_HOME": str(directory / "state"),
        }

    def debian(self, name, *packages):
        """A package of kind `debian` made of what is in the mirror."""
        debs = []
        for package in packages:
            data = (self.mirror / f"{package}.deb").read_bytes()
            debs.append(LockedDeb(package, "1", ARCHITECTURE, f"{package}.deb", len(data), hashlib.sha256(data).hexdigest()))
        self.locked[name] = LockedDebian(("test",), packages, ARCHITECTURE, tuple(debs))
        (self.directory / "deployer.lock").write_text(str(Lock(self.locked)))
        return f"{name}: {{kind: debian, suite: test, packages: [{', '.join(packages)}], architecture: {ARCHITECTURE}}}\n"

    def deployer(self, *arguments, user=None, **options):
        """Run `deployer` as a user of this machine would."""
        command = [sys.executable, "-m", "deployer", *arguments]
        given = {"cwd": self.directory, "env": self.environment, "capture_output": True, "text": True, "timeout": 60, **options}
        return subprocess.run(command, check=False, **given)


@pytest.fixture
def refused(project, monkeypatch, capfd):
    """What `deployer ARGUMENTS` says when it refuses, called in this process."""

    def call(*arguments):
        monkeypatch.chdir(project.directory)
        for name, value in project.environment.items():
            if name.startswith(("DEPLOYER_", "XDG_")):
                monkeypatch.setenv(name, value)
        code = run(arguments)
        assert code in (1, 2)
        return capfd.readouterr().err

    return call


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """A directory of .debs: a shell with a few programs, once more with its libraries apart, and two versions of a tool."""
    directory = tmp_path_factory.mktemp("mirror")
    (directory / "shell.deb").write_bytes(deb({**machine_files(), "usr/share/mark": "of the tree\n", "etc/tree-only": "tree\n"}))
    (directory / "apart.deb").write_bytes(deb(apart()))
    for name in ("one", "two"):
        script = "#!/bin/sh\ncat /usr/share/version\n"
        postinst = f"#!/bin/sh\nset -e\nupdate-alternatives --quiet --install /usr/bin/which-tool which-tool /usr/bin/{name} 10\n"
        postinst += f"adduser --system --group --home /var/lib/{name} {name} || true\n"
        (directory / f"{name}.deb").write_bytes(deb({f"usr/bin/{name}": script, "usr/share/version": f"{name}\n"}, postinst))
    return directory


@pytest.fixture(scope="session")
def store_root(tmp_path_factory):
    """A store that what one test has built serves the others from."""
    return tmp_path_factory.mktemp("environments") / "root"


@pytest.fixture
def project(tmp_path, mirror, store_root):
    """A project with one package, `base`, that has a shell; and another, `other`, with the same and the program `one`."""
    made = Project(tmp_path, mirror, store_root)
    (tmp_path / "packages.yaml").write_text(made.debian("base", "shell") + made.debian("other", "shell", "one"))
    return made
