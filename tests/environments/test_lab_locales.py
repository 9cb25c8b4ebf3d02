"""Locales of a real set of Debian packages, compiled by itself and used by its programs."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from deployer.packages.locking import lock_packages

pytestmark = [pytest.mark.lab, pytest.mark.skipif(not shutil.which("apt-get"), reason="apt is not installed")]
PACKAGES = """
tool:
  kind: debian
  suite: bookworm
  packages: [python3-minimal, locales]
  locales: [de_DE.UTF-8, sr_RS.UTF-8@latin]
misspelled:
  kind: debian
  suite: bookworm
  packages: [python3-minimal, locales]
  locales: [de_DF.UTF-8]
"""
PROGRAM = "import locale as l; l.setlocale(l.LC_ALL, ''); print(l.format_string('%.1f', 1234567.5, grouping=True))"


async def test_programs_of_a_set_speak_the_languages_that_it_was_given(tmp_path):
    (tmp_path / "packages.yaml").write_text(PACKAGES)
    await lock_packages(tmp_path / "packages.yaml")

    def deployer(*arguments, **variables):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEPLOYER_", "LC_", "LANG"))}
        environment = {**kept, "DEPLOYER_STORE_ROOT": str(tmp_path / "store"), **variables}
        command = [sys.executable, "-m", "deployer", *arguments]
        given = {"cwd": tmp_path, "env": environment, "timeout": 120}
        return subprocess.run(command, capture_output=True, text=True, check=False, **given)

    listed = deployer("run", "tool", "-p", "locale", "--", "-a")
    german = deployer("run", "tool", "-p", "python3", "--", "-c", PROGRAM, LC_ALL="de_DE.UTF-8")
    latin = deployer("run", "tool", "-p", "locale", "--", "mon", LANG="sr_RS.UTF-8@latin")
    wrong = deployer("package", "build", "misspelled")
    shown = json.loads(deployer("package", "show", "tool", "--json").stdout)
    bill = json.loads(deployer("package", "sbom", "tool").stdout)

    assert {"C.utf8", "de_DE.utf8", "sr_RS.utf8@latin"} <= set(listed.stdout.split()), listed.stderr
    assert german.stdout == "1.234.567,5\n", german.stderr
    assert latin.stdout.startswith("januar;februar;mart"), latin.stderr
    assert wrong.returncode == 1
    assert "has no locale 'de_DF.UTF-8'\n  → Did you mean 'de_DE.UTF-8'" in wrong.stderr
    assert shown["built"]
    distributions = {
        part["purl"].partition("distro=")[2] for part in bill["components"] if part.get("purl", "").startswith("pkg:deb")
    }
    assert distributions == {"bookworm"}
    runs = {
        part["name"]: next(item["value"] for item in part["properties"] if item["name"] == "deployer:runs")
        for part in bill["components"]
    }
    assert runs["tool-locale-de_DE.UTF-8"] == "false"
