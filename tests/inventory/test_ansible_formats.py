"""Ansible's inventories, as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.errors import DeployerError
from deployer.inventory import load_fleet


def written(directory, files):
    """Write files, by their paths; return the directory."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if text.startswith("#!"):
            path.chmod(0o755)
    return directory


YAML = """\
all:
  vars: {domain: example.org}
  hosts:
    lonely: {}
  children:
    web:
      hosts:
        web[01:02]:
          ansible_port: 2222
        web03: {ansible_host: 192.0.2.3, ansible_user: admin}
      vars: {role: web, ansible_user: deploy}
    prod:
      children:
        web: {}
      vars: {role: prod, env: prod}
"""
INI = """\
# comment
lonely
[web]
web[01:02] ansible_port=2222   # comment
web03 ansible_host=192.0.2.3 ansible_user=admin

[web:vars]
role = web
ansible_user=deploy
[prod:children]
web
[prod:vars]
role=prod
env=prod
[all:vars]
domain=example.org
"""
SCRIPT = """\
#!/bin/sh
[ "$1" = --list ] || exit 9
cat <<'END'
{"web": {"hosts": ["web01", "web02", "web03"], "vars": {"role": "web", "ansible_user": "deploy"}},
 "prod": {"children": ["web"], "vars": {"role": "prod", "env": "prod"}},
 "ungrouped": {"hosts": ["lonely"]},
 "all": {"vars": {"domain": "example.org"}, "children": ["prod", "ungrouped"]},
 "_meta": {"hostvars": {"web01": {"ansible_port": 2222}, "web02": {"ansible_port": 2222},
           "web03": {"ansible_host": "192.0.2.3", "ansible_user": "admin"}}}}
END
"""


@pytest.mark.parametrize(
    ("name", "text"), [("inventory.yml", YAML), ("hosts", YAML), ("hosts.ini", INI), ("hosts", INI), ("inventory.sh", SCRIPT)]
)
def test_one_fleet_in_every_format(name, text, tmp_path):
    fleet = load_fleet([written(tmp_path, {name: text}) / name])

    assert sorted(fleet.hosts) == ["lonely", "web01", "web02", "web03"]
    assert fleet.groups["ungrouped"] == ("lonely",)
    assert sorted(fleet.groups["prod"]) == ["web01", "web02", "web03"]
    assert fleet.hosts["web03"].groups == ("prod", "web")
    assert (fleet.hosts["web01"].connection.port, fleet.hosts["web01"].connection.user) == (2222, "deploy")
    assert (fleet.hosts["web03"].connection.address, fleet.hosts["web03"].connection.user) == ("192.0.2.3", "admin")
    assert {key: fleet.hosts["web01"].vars[key] for key in ("role", "env", "domain")} == {
        "role": "web",
        "env": "prod",
        "domain": "example.org",
    }
    assert fleet.hosts["lonely"].vars == {"domain": "example.org"}


def test_group_vars_and_host_vars_are_read_beside_an_inventory(tmp_path):
    written(
        tmp_path,
        {
            "hosts": "[web]\nweb1\n[web:vars]\nfrom=file\nonly_file=1\n",
            "group_vars/all.yml": "from: all\nlow: all\n",
            "group_vars/web.yml": "from: hidden by the directory\n",
            "group_vars/web/b.yml": "from: b\n",
            "group_vars/web/a.yml": "from: a\nmid: a\n",
            "group_vars/web/.hidden.yml": "from: hidden\n",
            "group_vars/web/old.yml~": "from: backup\n",
            "group_vars/other.yml": "from: a group that is not here\n",
            "host_vars/web1": "own: host\nansible_host: 192.0.2.9\n",
        },
    )

    host = load_fleet([tmp_path / "hosts"]).hosts["web1"]

    assert {key: host.vars[key] for key in ("from", "low", "mid", "own", "only_file")} == {
        "from": "b",
        "low": "all",
        "mid": "a",
        "own": "host",
        "only_file": 1,
    }
    assert host.connection.address == "192.0.2.9"


def test_variables_in_the_file_win_over_group_vars_all(tmp_path):
    written(tmp_path, {"hosts": "[web]\nweb1\n[web:vars]\nx=file\n", "group_vars/all": "x: all\n"})

    assert load_fleet([tmp_path / "hosts"]).hosts["web1"].vars == {"x": "file"}


def test_a_directory_is_read_in_lexical_order(tmp_path):
    written(
        tmp_path,
        {
            "10-first": "[web]\nweb1 x=1 y=1\n",
            "20-second.yml": "web: {hosts: {web1: {x: 2}}}\n",
            "30-script": '#!/bin/sh\necho \'{"db": ["db1"]}\'\n',
            ".hidden": "hidden1\n",
            "~draft": "hidden2\n",
            "notes.md": "# no inventory\n",
            "backup.ini~": "hidden3\n",
            "group_vars/web.yml": "z: 3\n",
        },
    )

    fleet = load_fleet([tmp_path])

    assert sorted(fleet.hosts) == ["db1", "web1"]
    assert fleet.hosts["web1"].vars == {"x": 2, "y": 1, "z": 3}


def test_the_priority_of_a_group_decides_at_equal_depth(tmp_path):
    path = written(
        tmp_path, {"i.yml": "a: {hosts: {h: }, vars: {x: a, ansible_group_priority: 10}}\nb: {hosts: {h: }, vars: {x: b}}\n"}
    )

    assert load_fleet([path / "i.yml"]).hosts["h"].vars["x"] == "a"


@pytest.mark.parametrize(
    ("arguments", "jump"),
    [
        ("-J bastion", ("bastion",)),
        ("-Jadmin@bastion:2222,inner", ("admin@bastion:2222", "inner")),
        ("-o ProxyJump=bastion -C", ("bastion",)),
        ("-oProxyJump=bastion -o ControlMaster=auto -o ControlPersist=60s", ("bastion",)),
        ('-o ProxyCommand="ssh -W %h:%p -q admin@bastion"', ("admin@bastion",)),
        ('-o ProxyCommand="ssh -p 2222 -l admin -W %h:%p bastion"', ("admin@bastion:2222",)),
    ],
)
def test_jump_hosts_are_read_from_arguments_of_openssh(arguments, jump, tmp_path):
    path = written(tmp_path, {"hosts": f"web1 ansible_ssh_common_args='{arguments}'\n"})

    assert load_fleet([path / "hosts"]).hosts["web1"].connection.jump == jump


def test_a_host_that_checks_no_keys_accepts_a_new_one_and_no_other(tmp_path):
    path = written(
        tmp_path, {"hosts": "a ansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'\n"}
    )

    connection = load_fleet([path / "hosts"]).hosts["a"].connection
    assert (connection.host_key_policy, connection.known_hosts) == ("accept-new", None)


@pytest.mark.parametrize(("value", "become"), [("true", True), ("yes", True), ("1", True), ("False", False), ("no", False)])
def test_become_is_what_ansible_takes_for_true(value, become, tmp_path):
    path = written(tmp_path, {"hosts": f"a ansible_become={value}\n", "group_vars/all.yml": "{}\n"})

    assert load_fleet([path / "hosts"]).hosts["a"].connection.become is become


def test_passwords_are_not_kept(tmp_path):
    path = written(
        tmp_path,
        {
            "hosts": "a ansible_password=hunter2 x=1\n",
            "group_vars/all.yml": "ansible_become_pass: !vault |\n  $ANSIBLE_VAULT;1.1\n  61\n",
        },
    )

    fleet = load_fleet([path / "hosts"])

    assert "hunter2" not in repr(fleet)
    assert fleet.hosts["a"].vars == {"x": 1}


def test_a_vault_is_left_closed(tmp_path):
    path = written(tmp_path, {"hosts": "a x=1\n", "group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n6162\n"})

    assert load_fleet([path / "hosts"]).hosts["a"].vars == {"x": 1}


def test_a_configuration_is_named_by_a_variable(tmp_path):
    path = written(
        tmp_path, {"hosts": "[web]\nweb1\n", "group_vars/web.yml": "deployer_configuration: web.yaml\n", "web.yaml": "{}\n"}
    )
    (path / "inventory").mkdir()

    assert load_fleet([path / "hosts"]).hosts["web1"].configuration == tmp_path / "web.yaml"


@pytest.mark.parametrize(
    ("line", "host", "port"),
    [("web1:2222", "web1", 2222), ("[2001:db8::1]:2222", "2001:db8::1", 2222), ("2001:db8::1", "2001:db8::1", None)],
)
def test_a_port_may_stand_behind_a_name(line, host, port, tmp_path):
    fleet = load_fleet([written(tmp_path, {"hosts": f"[web]\n{line}\n"}) / "hosts"])

    assert [(name, found.connection.port) for name, found in fleet.hosts.items()] == [(host, port)]


def test_values_in_ini_are_literals_or_text(tmp_path):
    path = written(tmp_path, {"hosts": "a i=7 z=010 f=1.5 t=True n=no l='[1, 2]' s='a b'\n"})

    assert load_fleet([path / "hosts"]).hosts["a"].vars == {
        "i": 7, "z": "010", "f": 1.5, "t": True, "n": "no", "l": [1, 2], "s": "a b",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo '[]'", "its JSON is not an object"),
        ("echo nonsense", "its JSON is malformed"),
        ('echo \'{"a": [], "a": []}\'', "a key stands twice in one object"),
        ('echo \'{"a": {"vars": {"x": NaN}}}\'', "NaN is not JSON"),
        ("echo broken >&2; exit 3", "ended with status 3: broken"),
    ],
)
def test_a_program_that_gives_no_inventory_is_told(body, reason, tmp_path):
    path = written(tmp_path, {"inv": f"#!/bin/sh\n{body}\n"}) / "inv"

    with pytest.raises(DeployerError) as caught:
        load_fleet([path])

    assert reason in str(caught.value)
    assert str(path) in caught.value.remedy


def test_a_program_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("deployer.inventory.ansible_script.TIMEOUT", 0.2)
    path = written(tmp_path, {"inv": "#!/bin/sh\nexec sleep 1000\n"}) / "inv"

    with pytest.raises(DeployerError, match="did not end within"):
        load_fleet([path])


async def test_a_program_runs_also_where_an_event_loop_does(tmp_path):
    path = written(tmp_path, {"inv": SCRIPT}) / "inv"

    assert "web01" in load_fleet([path]).hosts


def test_without_meta_each_host_is_asked_for(tmp_path):
    script = '#!/bin/sh\nif [ "$1" = --list ]; then echo \'{"g": ["a", "b"]}\'; else echo "{\\"me\\": \\"$2\\"}"; fi\n'
    fleet = load_fleet([written(tmp_path, {"inv": script}) / "inv"])

    assert {name: host.vars for name, host in fleet.hosts.items()} == {"a": {"me": "a"}, "b": {"me": "b"}}


def test_a_file_that_is_executable_by_accident_is_read(tmp_path):
    path = written(tmp_path, {"hosts.yml": YAML}) / "hosts.yml"
    path.chmod(0o755)

    assert "web01" in load_fleet([path]).hosts


def test_our_format_and_ansibles_go_together(tmp_path):
    written(tmp_path, {"a.yaml": "hosts: {web1: {labels: {canary: yes}}}\n", "hosts": "web1 ansible_host=192.0.2.1\n"})

    host = load_fleet([tmp_path / "a.yaml", tmp_path / "hosts"]).hosts["web1"]

    assert (host.labels, host.connection.address) == ({"canary": "yes"}, "192.0.2.1")


def test_relative_keys_are_found_beside_the_inventory(tmp_path):
    path = written(tmp_path, {"hosts": "a ansible_ssh_private_key_file=keys/id\n"})

    assert load_fleet([path / "hosts"]).hosts["a"].connection.identity_files == (Path(tmp_path / "keys/id"),)
