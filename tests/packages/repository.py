"""A signed repository of tiny Debian packages in a directory, so that no mirror is asked."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from deployer.packages.mirrors import Mirror


@dataclass
class Repository:
    """One suite. Packages are added, then it is published."""

    directory: Path
    key: Path
    """What its Release files are signed with, as a keyring."""
    home: Path
    """Where the secret key is."""
    suite: str = "testing"
    stanzas: dict[tuple[str, str], str] = field(default_factory=dict)
    components: dict[tuple[str, str], str] = field(default_factory=dict)
    """Of those stanzas that are not of `main`."""

    @property
    def mirror(self) -> Mirror:
        """As the machine's apt sources would name it."""
        return Mirror(f"file://{self.directory}", (self.suite,), str(self.key))

    def add(self, name: str, version: str, *, files: Mapping[str, str] | None = None, **fields: str) -> Path:
        """A package with these files (name → text) and more control fields, such as `Depends`."""
        tree = Path(tempfile.mkdtemp(dir=self.directory))
        for place, text in {f"usr/share/{name}/version": version, **(files or {})}.items():
            (tree / place).parent.mkdir(parents=True, exist_ok=True)
            (tree / place).write_text(text)
        control = {
            "Package": name,
            "Version": version,
            "Architecture": "amd64",
            "Maintainer": "nobody",
            "Description": name,
            **fields,
        }
        lines = "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in control.items())
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN/control").write_text(lines)
        tree.chmod(0o755)
        file = self.directory / f"pool/{name}_{version}_amd64.deb"
        file.parent.mkdir(exist_ok=True)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, file], check=True, capture_output=True)
        shutil.rmtree(tree)
        data = file.read_bytes()
        found = f"Filename: pool/{file.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        self.stanzas[name, version] = lines + found
        return file

    def publish(self, *, age: timedelta = timedelta(), valid_for: timedelta | None = None, signed: bool = True) -> datetime:
        """Write the indexes, `age` ago. Returns the date of the Release file."""
        indexes = self.directory / "dists" / self.suite
        components, sums = {"main", *self.components.values()}, "SHA256:\n"
        for component in sorted(components):
            (indexes / component / "binary-amd64").mkdir(parents=True, exist_ok=True)
            stanzas = (text for key, text in self.stanzas.items() if self.components.get(key, "main") == component)
            packages = "\n".join(stanzas).encode()
            (indexes / component / "binary-amd64/Packages").write_bytes(packages)
            sums += f" {hashlib.sha256(packages).hexdigest()} {len(packages)} {component}/binary-amd64/Packages\n"
        date = datetime.now(UTC).replace(microsecond=0) - age
        fields = {"Origin": "Test", "Suite": self.suite, "Codename": self.suite, "Architectures": "amd64"}
        fields["Components"] = " ".join(sorted(components))
        fields["Date"] = format_datetime(date, usegmt=True)
        if valid_for is not None:
            fields["Valid-Until"] = format_datetime(date + valid_for, usegmt=True)
        (indexes / "Release").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()) + sums)
        (indexes / "InRelease").unlink(missing_ok=True)
        if signed:
            gpg(self.home, "--clearsign", "--output", indexes / "InRelease", indexes / "Release")
        return date


def gpg(home: Path, *arguments: str | Path) -> None:
    """Run gpg with keys of its own."""
    command = [
        "gpg",
        "--homedir",
        home,
        "--batch",
        "--quiet",
        "--yes",
        "--pinentry-mode",
        "loopback",
        "--passphrase",
        "",
        *arguments,
    ]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def signing_key() -> Iterator[tuple[Path, Path]]:
    """A new key: the directory with its secret half, and the keyring with its public one."""
    with tempfile.TemporaryDirectory(prefix="gpg-") as directory:  # its socket's name must be short
        home = Path(directory)
        try:
            gpg(home, "--quick-generate-key", "test@example.org", "ed25519", "sign", "never")
            gpg(home, "--output", home / "key.gpg", "--export")
            yield home, home / "key.gpg"
        finally:
            subprocess.run(
                ["gpgconf", "--homedir", home, "--kill", "all"], check=False, env={**os.environ, "GNUPGHOME": directory}
            )
