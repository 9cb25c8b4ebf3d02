"""Options that name a secret: a file on the host. What may be the secret itself is refused, and repeated nowhere."""

from __future__ import annotations

import dataclasses

import pytest

from deployer.config import types
from deployer.config.definitions import define
from deployer.config.merging import NOTHING, Scope
from deployer.config.secrets import NoSecretFile
from deployer.errors import Place
from deployer.ui.problems import render_error

CANARY = "hunter2-canary"


def merged(value: object) -> tuple[object, Scope]:
    scope = Scope(lambda definition, note: definition.plain(), declared=Place("modules/own.py", 3))
    definitions = [dataclasses.replace(define(value, Place("main.yaml", 1, 1)), literal=False)]
    return types.secret_file.merge("own.password_file", definitions, scope), scope


@pytest.mark.parametrize("path", ["/etc/own/password", "/run/credentials/own", "/srv/a b/.key"])
def test_a_path_on_the_host_names_a_secret(path):
    value, scope = merged(path)

    assert (value, scope.errors) == (path, [])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (CANARY, "is no such path"),
        (f"~/{CANARY}", "is no such path"),
        (f"/{CANARY}/", "is no such path"),
        (f"/{CANARY}\n", "is no such path"),
        ("", "is no such path"),
        ("/", "is no such path"),
        (f"/etc/../{CANARY}", "has an empty part, or one that is . or .."),
        (f"/etc//{CANARY}", "has an empty part, or one that is . or .."),
        (f"/nix/store/{'0' * 32}-{CANARY}", "is a path in the store, which every user of a host can read"),
        ([CANARY], "is no text"),
        ({"text": CANARY}, "is no text"),
        (None, "is no text"),
    ],
)
def test_what_is_no_such_path_is_refused_and_not_repeated(value, reason):
    found, scope = merged(value)

    (error,) = scope.errors
    assert found is NOTHING
    assert error.message.endswith(f", and {reason}")
    assert CANARY not in f"{error} {error.remedy} {error!r} {error.to_json()}"


def test_its_line_is_not_shown(directory):
    module = "from deployer.config import Module, types\nmodule = Module('own', '')\n"
    module += "module.option('own.password_file', types.secret_file, 'The password.')\n"

    main = f"imports: [own]\nown: {{password_file: {CANARY}}}\n"
    (error,) = directory.errors(main, **{"modules__own.py": module})

    assert isinstance(error, NoSecretFile)
    assert error.excerpt == ""
    assert CANARY not in render_error(error)
