"""Which directives of unit files are known."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deployer.config import unknown_directive, wrong_section

SYSTEMD = next((path for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if Path(path).exists()), "")


@pytest.mark.skipif(not SYSTEMD or not shutil.which("systemctl"), reason="systemd is not installed")
def test_all_that_systemd_itself_tells_of_are_known():
    told = subprocess.run([SYSTEMD, "--dump-configuration-items"], capture_output=True, text=True, check=True, timeout=30).stdout

    section, unknown, count = "", [], 0
    for line in told.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line:
            name, count = line.partition("=")[0], count + 1
            unit = f"a.{'service' if section in ('Unit', 'Install') else section.lower()}"
            if wrong_section(unit, section) or unknown_directive(unit, section, name):
                unknown.append(f"[{section}] {name}")
    assert unknown == []
    assert count > 500


@pytest.mark.parametrize("name", ["RestartSteps", "ImportCredential", "X-Restart-Triggers"])
def test_those_of_later_releases_and_of_others_are_known(name):
    assert unknown_directive("a.service", "Service", name) == ""


def test_a_section_of_somebody_else_may_say_anything():
    assert wrong_section("a.service", "X-Mine") == ""
    assert unknown_directive("a.service", "X-Mine", "Anything") == ""
