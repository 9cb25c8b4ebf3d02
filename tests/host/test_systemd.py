"""What systemd is asked for. `tests/lab/test_host_systemd.py` asks the real one."""

from __future__ import annotations

from deployer.host.systemd import literal


def test_nothing_in_a_command_is_a_variable_to_systemd() -> None:
    assert literal(["/bin/sh", "-c", "echo $HOME $$"]) == ["/bin/sh", "-c", "echo $$HOME $$$$"]
