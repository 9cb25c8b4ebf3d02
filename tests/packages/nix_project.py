"""A directory with Nix expressions, packages.yaml and a real Nix whose store lies aside: the machine's own is never touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SETTINGS = """\
build-users-group =
sandbox-paths = /bin /lib /lib64 /usr
substituters =
"""
EXPRESSION = """\
{ greeting ? "hello", system ? "x86_64-linux" }:
let
  script = name: attributes: text:
    derivation ({ inherit name system; builder = "/bin/sh"; args = [ "-ec" text ]; } // attributes);
in
rec {
  library = script "library-1" { } ''echo library > $out'';
  tool = script "tool-1.0" { outputs = [ "out" "doc" ]; inherit greeting library; } ''
    echo "$greeting from $library" > $out
    echo documented > $doc
  '';
  broken = script "broken-1" { } ''echo something is wrong; exit 3'';
  elsewhere = tool // { };
  word = "tool";
  all = { inherit tool library; };
  refused = throw "this one is not to be had";
}
"""


class NixProject:
    """The project; Nix takes part in what the test's process runs."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self.store = directory, directory / "nix"
        self.file = directory / "packages.yaml"
        (directory / "expression.nix").write_text(EXPRESSION)
        (directory / "conf").mkdir()
        (directory / "conf/nix.conf").write_text(SETTINGS)
        for name, value in {
            "HOME": str(directory),
            "NIX_CONF_DIR": str(directory / "conf"),
            "NIX_REMOTE": f"local?root={self.store}",
            "NIX_PATH": "",
        }.items():
            monkeypatch.setenv(name, value)

    def write(self, text: str) -> None:
        """packages.yaml."""
        self.file.write_text(text)

    def nix(self, *command: str) -> list[str]:
        """What a command of Nix prints, in words."""
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()
