"""Unit files that the systemd module writes."""

from __future__ import annotations

import hashlib
import textwrap

import pytest

SERVICE = "systemd: {services: {a: {%s service: {ExecStart: /x}}}}\n"


def units(directory, main, **files):
    return directory.evaluate(textwrap.dedent(main), **files).get("systemd.units")


def test_a_service_is_rendered_section_by_section(directory):
    found = units(
        directory,
        """
        systemd:
          services:
            hello:
              description: Says hello
              after: [network.target, a.service]
              requires: [a.service]
              wanted_by: [multi-user.target]
              unit: {Documentation: man:hello(1)}
              service:
                ExecStartPre: [/bin/one, /bin/two]
                ExecStart: ${pkgs.hello}/bin/hello --port 80
                PrivateTmp: true
                Nice: 5
        """,
    )

    assert found["hello.service"]["text"] == textwrap.dedent(
        f"""\
        [Unit]
        After=network.target a.service
        Description=Says hello
        Documentation=man:hello(1)
        Requires=a.service

        [Service]
        ExecStart=/nix/store/{"0" * 32}-hello/bin/hello --port 80
        ExecStartPre=/bin/one
        ExecStartPre=/bin/two
        Nice=5
        PrivateTmp=yes
        """
    )
    assert found["hello.service"]["start"] is True
    assert found["hello.service"]["wanted_by"] == ["multi-user.target"]


def test_fields_and_directives_of_unit_are_joined(directory):
    found = units(directory, SERVICE % "after: [x.target], unit: {After: y.target},")

    assert found["a.service"]["text"].startswith("[Unit]\nAfter=x.target\nAfter=y.target\n")


def test_an_empty_text_resets_a_list(directory):
    found = units(directory, "systemd: {extend: {ssh.service: {Service: {ExecStart: ['', /x]}}}}\n")

    assert found["ssh.service"]["drop_ins"] == {"deployer.conf": "[Service]\nExecStart=\nExecStart=/x\n"}


@pytest.mark.parametrize(
    ("kind", "section", "directive"),
    [
        ("timers", "timer", "OnBootSec"),
        ("sockets", "socket", "Backlog"),
        ("mounts", "mount", "X-Key"),
        ("paths", "path", "PathExists"),
        ("slices", "slice", "TasksMax"),
    ],
)
def test_every_kind_has_its_section(directory, kind, section, directive):
    found = units(
        directory,
        f"systemd: {{services: {{a: {{service: {{ExecStart: /x}}}}}}, {kind}: {{a: {{{section}: {{{directive}: 1}}}}}}}}\n",
    )

    assert found[f"a.{section}"]["text"] == f"[{section.capitalize()}]\n{directive}=1\n"


def test_a_target_needs_nothing(directory):
    assert units(directory, "systemd: {targets: {a: {}}}\n")["a.target"]["text"] == "[Unit]\n"


def test_a_unit_may_be_declared_and_extended(directory):
    found = units(directory, "systemd: {services: {a: {service: {ExecStart: /x}}}, extend: {a.service: {Service: {Nice: 1}}}}\n")

    assert found["a.service"]["text"] == "[Service]\nExecStart=/x\n"
    assert found["a.service"]["drop_ins"] == {"deployer.conf": "[Service]\nNice=1\n"}


def test_masked_units(directory):
    assert units(directory, "systemd: {masked: [apt-daily.timer]}\n")["apt-daily.timer"]["masked"] is True


@pytest.mark.parametrize(
    ("said", "start"),
    [
        ("", False),
        ("wanted_by: [multi-user.target],", True),
        ("required_by: [b.service],", True),
        ("wanted_by: [multi-user.target], start: false,", False),
        ("start: true,", True),
    ],
)
def test_what_is_wanted_is_started(directory, said, start):
    assert units(directory, SERVICE % said)["a.service"]["start"] is start


def trigger(path, content):
    return f"{path}:{hashlib.sha256(content).hexdigest()}"


CONFIG = "etc: {a/a.conf: {text: one}}\n"


def test_a_unit_changes_with_a_file_that_it_names(directory):
    found = units(directory, CONFIG + "systemd: {services: {a: {service: {ExecStart: /x /etc/a/a.conf}}}}\n")

    first = f"[Unit]\nX-Restart-Triggers={trigger('a/a.conf', b'one')}\n\n[Service]\n"
    assert found["a.service"]["text"].startswith(first)


def test_a_reload_may_be_enough(directory):
    service = "{reload_on_change: true, service: {ExecStart: /x /etc/a/a.conf, ExecReload: /y}}"

    found = units(directory, CONFIG + f"systemd: {{services: {{a: {service}}}}}\n")

    assert f"X-Reload-Triggers={trigger('a/a.conf', b'one')}\n" in found["a.service"]["text"]
    assert "X-Restart" not in found["a.service"]["text"]


def test_raw_units_and_extensions_change_too(directory):
    found = units(
        directory,
        CONFIG + "systemd:\n"
        '  units: {a.service: {text: "[Unit]\\nAfter=x\\n\\n[Service]\\nExecStart=/x /etc/a/a.conf\\n"}}\n'
        "  extend: {b.service: {Service: {EnvironmentFile: -/etc/a/a.conf}}}\n",
    )

    line = f"X-Restart-Triggers={trigger('a/a.conf', b'one')}\n"
    assert found["a.service"]["text"].startswith(f"[Unit]\n{line}After=x\n")
    assert found["b.service"]["drop_ins"]["deployer-triggers.conf"] == f"[Unit]\n{line}"


@pytest.mark.parametrize("named", ["/etc/a/a.conf2", "/etc/a/a.conf/x.d", "/srv/etc/b", "/etc/a", "/etc/a/a.conf.bak"])
def test_a_longer_or_shorter_name_is_another_file(directory, named):
    found = units(directory, CONFIG + f"systemd: {{services: {{a: {{service: {{ExecStart: '/x {named}'}}}}}}}}\n")

    assert ("X-Restart" in found["a.service"]["text"]) is named.startswith("/etc/a/a.conf/")


def test_a_directory_counts_with_all_that_is_in_it_and_not_where_it_lies(directory):
    main = "etc: {a: {source: d}}\nsystemd: {services: {a: {service: {ExecStart: /x /etc/a/f}}}}\n"

    one = units(directory, main, **{"d__f.txt": "1"})["a.service"]["text"]
    moved = type(directory)(directory.path / "elsewhere")
    same = units(moved, main, **{"d__f.txt": "1"})["a.service"]["text"]
    other = units(directory, main, **{"d__f.txt": "2"})["a.service"]["text"]

    assert "X-Restart-Triggers=a:" in one
    assert one == same
    assert one != other


def test_a_package_counts_by_its_path(directory):
    found = units(
        directory,
        "etc: {a.conf: {source: '${pkgs.hello}/a.conf'}}\nsystemd: {services: {a: {service: {ExecStart: /x /etc/a.conf}}}}\n",
    )

    assert trigger("a.conf", f"/nix/store/{'0' * 32}-hello/a.conf".encode()) in found["a.service"]["text"]


def test_a_service_may_ask_for_its_check(directory):
    config = directory.evaluate(SERVICE % "check: true, wanted_by: [multi-user.target],")

    assert config.get("checks")["a-service"]["kind"] == "unit"
    assert config.get("checks")["a-service"]["unit"] == "a.service"


def test_a_user_whom_nobody_declares_is_refused(directory):
    (error,) = directory.errors("systemd: {services: {a: {service: {ExecStart: /x, User: alice}}}}\n")

    assert str(error).endswith("main.yaml:1:57: service 'a' runs as 'alice', whom this configuration does not declare")
    assert "`requires.accounts.alice`" in error.remedy


@pytest.mark.parametrize("user", ["User: bob", "User: root", "User: '1000'", "User: x, DynamicUser: true", "User: '%i'"])
def test_known_users_are_not(directory, user):
    config = directory.evaluate(f"users: {{bob: {{}}}}\nsystemd: {{services: {{a: {{service: {{ExecStart: /x, {user}}}}}}}}}\n")

    assert config.warnings == ()


def test_units_of_users_are_rendered_as_the_hosts_are(directory):
    config = directory.evaluate(
        textwrap.dedent(
            """
            systemd:
              services: {a: {service: {ExecStart: /x}}}
              user:
                services: {a: {wanted_by: [default.target], service: {ExecStart: /y}}}
                units: {pipewire.socket: {masked: true}}
            """
        )
    )

    found = config.get("systemd.user.units")
    assert (found["a.service"]["text"], found["a.service"]["start"]) == ("[Service]\nExecStart=/y\n", True)
    assert found["pipewire.socket"]["masked"]
    assert config.get("systemd.units")["a.service"]["text"] == "[Service]\nExecStart=/x\n"
