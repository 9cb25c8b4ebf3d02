"""What a host loads before it begins: a service that is down waits for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("work", ["deployer.host.activate", "deployer.host.recovery", "deployer.host.prepare"])
def test_what_asks_web_servers_is_loaded_by_those_who_ask(work: str) -> None:
    heavy = ("http.client", "email.message", "ssl")
    code = f"import sys, {work}; print(*(name for name in {heavy!r} if name in sys.modules))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, text=True, check=True).stdout

    assert said.split() == []
