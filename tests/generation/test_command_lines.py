"""What commands start in the end."""

from __future__ import annotations

import pytest

from deployer.generation.command_lines import programs_at, unit_commands


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        ("ExecStart=/bin/a b  c", [("ExecStart", ("/bin/a", "b", "c"))]),
        (" ExecStopPost = -/bin/a", [("ExecStopPost", ("/bin/a",))]),
        ("ExecStart=@+/bin/a name b", [("ExecStart", ("/bin/a", "b"))]),
        ("ExecStart=!!:/bin/a @b", [("ExecStart", ("/bin/a", "@b"))]),
        ("""ExecStart="-/bin/a b" 'c d' e" f"g \\"h""", [("ExecStart", ("/bin/a b", "c d", "e fg", '"h'))]),
        ("""ExecStart=/bin/sh -c "echo 'a' \\"b\\"" """, [("ExecStart", ("/bin/sh", "-c", "echo 'a' \"b\""))]),
        ("ExecStart=/bin/a ; /bin/b c\\; \\; d", [("ExecStart", ("/bin/a",)), ("ExecStart", ("/bin/b", "c;", ";", "d"))]),
        ("ExecStart=/bin/a \\\n  b\nExecReload=/bin/c", [("ExecStart", ("/bin/a", "b")), ("ExecReload", ("/bin/c",))]),
        ("ExecStart=/bin/a 'open", [("ExecStart", ("/bin/a", "'open"))]),
        ("ExecStart=\nExecStart= ;", []),
        ("#ExecStart=/bin/a\nExecPaths=/bin/a\nExecSearchPath=/bin\nDescription=ExecStart=/bin/a", []),
    ],
)
def test_commands_of_a_unit_are_taken_into_words_as_systemd_does(line, commands):
    assert list(unit_commands(line)) == commands


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("/bin/a b", "/bin/a"),
        ("/usr/bin/env /bin/a", "/bin/a"),
        ("/usr/bin/env -i -u X --chdir / -- A=1 B= /bin/a c=d", "/bin/a"),
        ("/usr/bin/env - a", "a"),
        ("/usr/bin/nice -n 5 /usr/bin/ionice -c3 -n 7 /bin/a env", "/bin/a"),
        ("timeout -k 5 --signal=INT 10s nohup setsid -w /bin/a", "/bin/a"),
        ("/usr/bin/stdbuf -o L -e0 /bin/a", "/bin/a"),
        ("/usr/bin/env", "/usr/bin/env"),
        ("/usr/bin/env A=1", "/usr/bin/env"),
        ("/usr/bin/timeout 5", "/usr/bin/timeout"),
        ("/bin/sh -c /bin/a", "/bin/sh"),
    ],
)
def test_a_program_that_only_starts_another_is_looked_past(command, program):
    words = command.split()

    assert words[programs_at(words)[-1]] == program


def test_all_programs_that_start_one_another_are_told():
    assert programs_at(("/usr/bin/env", "A=1", "nice", "-n", "5", "/bin/a", "env")) == (0, 2, 5)
    assert programs_at(()) == ()
