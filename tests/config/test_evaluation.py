"""Evaluation: interpolation, sharing between hosts, laziness, modules of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.config import Evaluator, HostView, all_modules
from deployer.config.tree import OptionTree
from deployer.errors import DeployerError
from deployer.formats.manifest import Manifest
from deployer.generation.declaration import declare

HOST = HostView("web1", "192.0.2.1", ("web",), {"zone": "a"}, {"port": 8080, "on": True, "map": {"text": "t"}, "list": ["p"]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${pkgs.hello}/bin/hello", f"/nix/store/{'0' * 32}-hello/bin/hello"),
        ("${host.name}", "web1"),
        ("${host.address} ${host.labels.zone}", "192.0.2.1 a"),
        ("port ${host.vars.port}", "port 8080"),
        ("${host.vars.on}!", "true!"),
        ("$${host.name}", "${host.name}"),
        ("$${ and $x and $$", "${ and $x and $$"),
        ("${config.users.hello.home}", "/srv/hello"),
        ("${ host.name }", "web1"),
        ("${config.activation.check_deadline}s", "60.0s"),
    ],
)
def test_interpolations(directory, text, expected):
    config = directory.evaluate(f"users: {{hello: {{home: /srv/hello}}}}\netc: {{a: {{text: '{text}'}}}}\n", HOST)

    assert config.get("etc")["a"]["text"] == expected


def test_a_text_that_is_one_reference_keeps_the_type(directory):
    config = directory.evaluate("users: {a: {uid: '${host.vars.port}'}}\netc: {b: '${host.vars.map}'}\n", HOST)

    assert config.get("users")["a"]["uid"] == 8080
    assert config.get("etc")["b"]["text"] == "t"


def test_what_an_interpolation_yields_is_not_interpolated_again(directory):
    host = HostView("h", vars={"sly": "${host.name}"})

    assert directory.evaluate("etc: {a: {text: '${host.vars.sly}'}}\n", host).get("etc")["a"]["text"] == "${host.name}"


def test_sisters_may_refer_to_each_other(directory):
    config = directory.evaluate("users: {a: {home: '${config.users.b.home}/a'}, b: {home: '${config.users.c.shell}'}, c: {}}\n")

    assert config.get("users")["a"]["home"] == "/usr/sbin/nologin/a"


def evaluators(directory, packages, main):
    return Evaluator(packages=packages), directory.write(main=main)


def test_hosts_that_agree_in_what_is_read_share_one_configuration(directory, packages):
    evaluator, main = evaluators(directory, packages, "etc: {a: {text: '${host.labels.zone}'}}\n")

    one = evaluator.evaluate(HostView("h1", labels={"zone": "a"}), main)
    two = evaluator.evaluate(HostView("h2", labels={"zone": "a", "rack": "9"}), main)
    other = evaluator.evaluate(HostView("h3", labels={"zone": "b"}), main)

    assert one is two
    assert other is not one
    assert other.get("etc")["a"]["text"] == "b"


def test_equal_values_of_different_types_are_not_shared(directory, packages):
    evaluator, main = evaluators(directory, packages, "etc: {a: {text: 'x ${host.vars.v}'}}\n")

    texts = [evaluator.evaluate(HostView("h", vars={"v": value}), main).get("etc")["a"]["text"] for value in (1, True, 1.0, "1")]

    assert texts == ["x 1", "x true", "x 1.0", "x 1"]


def test_the_same_file_by_another_name_is_the_same(directory, packages, monkeypatch):
    evaluator, main = evaluators(directory, packages, "etc: {a: {text: x}}\n")
    monkeypatch.chdir(directory.path)

    assert evaluator.evaluate(HostView("h"), Path("main.yaml")) is evaluator.evaluate(HostView("h"), main)


def test_files_are_parsed_once(directory, packages):
    evaluator, main = evaluators(directory, packages, "etc: {a: {text: '${host.name}'}}\n")
    evaluator.evaluate(HostView("h1"), main)
    main.unlink()

    assert evaluator.evaluate(HostView("h2"), main).get("etc")["a"]["text"] == "h2"


class Counting(Evaluator):
    """Counts what it has to work out."""

    evaluations = 0

    def _evaluate(self, host, configuration):
        self.evaluations += 1
        return super()._evaluate(host, configuration)


def test_a_hundred_hosts_that_share_are_evaluated_once(directory, packages):
    evaluator, main = Counting(packages=packages), directory.write(main="etc: {a: {text: '${host.labels.zone}'}}\n")

    configs = [evaluator.evaluate(HostView(f"h{number}", labels={"zone": "a"}), main) for number in range(100)]

    assert evaluator.evaluations == 1
    assert all(config is configs[0] for config in configs)


def test_a_hundred_hosts_in_two_zones_are_evaluated_twice(directory, packages):
    evaluator, main = Counting(packages=packages), directory.write(main="etc: {a: {text: '${host.labels.zone}'}}\n")

    for number in range(100):
        evaluator.evaluate(HostView(f"h{number}", labels={"zone": "ab"[number % 2]}), main)

    assert evaluator.evaluations == 2


def test_an_empty_configuration_declares_nothing(directory):
    declared = declare(directory.evaluate(""), "/nix/store")

    assert declared.manifest == Manifest()
    assert declared.controller_checks == ()


def test_imports_are_files_directories_and_modules(directory):
    config = directory.evaluate(
        "imports: [b.yaml, d, systemd]\n",
        b="etc: {b: {text: b}}\n",
        d__c="imports: [../b.yaml]\netc: {c: {text: c}}\n",
        d__d="etc: {d: {text: d}}\n",
    )

    assert sorted(config.get("etc")) == ["b", "c", "d"]


BACKUP = '''
"""Back up directories once a day."""

from deployer.config import Module, types

module = Module("backup", "Back up directories once a day.")

module.option("backup.directories", types.list_of(types.absolute_path), "What is backed up.", default=[])


@module.defines("systemd.services")
def service(config):
    directories = config["backup.directories"]
    command = f"/usr/bin/tar -cf /var/backups/a.tar {' '.join(directories)}"
    return {"backup": {"service": {"Type": "oneshot", "ExecStart": command}}}
'''


@pytest.mark.parametrize("name", ["backup", "modules/backup.py"])
def test_a_module_of_ones_own_is_imported_by_name_or_path(directory, name):
    config = directory.evaluate(f"imports: [{name}]\nbackup: {{directories: [/srv]}}\n", **{"modules__backup.py": BACKUP})

    assert "tar -cf /var/backups/a.tar /srv\n" in config.get("systemd.units")["backup.service"]["text"]


def test_an_imported_module_is_active_only_where_it_is_imported(directory, packages):
    directory.write(main="imports: [backup]\nbackup: {}\n", other="backup: {}\n", **{"modules__backup.py": BACKUP})
    evaluator = Evaluator(packages=packages)

    evaluator.evaluate(HOST, directory.path / "main.yaml")

    with pytest.raises(DeployerError, match="there is no option 'backup'"):
        evaluator.evaluate(HOST, directory.path / "other.yaml")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 / 0", "the module 'own' failed: ZeroDivisionError: division by zero"),
        ("module = 3", "the module 'own' failed: it has no `module = Module(…)`"),
        (
            "module = Module('own', '')\nmodule.option('etc', types.string, '')",
            "the module 'own' failed: it declares the option 'etc', as ",
        ),
        ("module = Module('own', '')\nmodule.option('etc.x', types.string, '')", "the module 'etc' failed: the option 'etc' has"),
        (
            "module = Module('own', '')\nmodule.defines('nosuch')(lambda config: 1)",
            "the module 'own' failed: it defines 'nosuch', which no module declares",
        ),
        (
            "module = Module('own', '')\nmodule.defines('etc')(lambda config: config['pakages'])",
            "the module 'own' failed: there is no option 'pakages'. Did you mean 'packages'?",
        ),
        (
            "module = Module('own', '')\nmodule.asserts(lambda config: 1 / 0)",
            "the module 'own' failed: ZeroDivisionError: division by zero",
        ),
        (
            "module = Module('own', '')\n"
            "module.defines('etc')(lambda config: {'x': {'text': config['sysctl']['a.b']}})\n"
            "module.defines('sysctl')(lambda config: {'a.b': config['etc']['x']['text']})",
            "the value of 'etc' depends on itself: etc → sysctl → etc",
        ),
    ],
)
def test_a_broken_module_is_named(directory, body, message):
    module = f"from deployer.config import Module, types\n{body}\n"

    errors = directory.errors("imports: [own]\n", **{"modules__own.py": module})

    assert any(message in error.message for error in errors), errors


def test_a_place_is_known_for_what_is_nested(directory):
    config = directory.evaluate("systemd:\n  services:\n    a:\n      service:\n        ExecStart: /x\n")

    assert str(config.place_of("systemd.services.a.service.ExecStart")).endswith("main.yaml:5:20")
    assert str(config.place_of("systemd.services.a.service.User")).endswith("main.yaml:5:9")
    assert config.place_of("packages") is None


def test_defaults_of_all_options_are_of_their_types():
    tree = OptionTree(all_modules())

    for option in tree.options.values():
        assert option.description.endswith(".")
        assert not option.description.startswith("The option")
