"""What packages say of others: read, and held against versions."""

from __future__ import annotations

import pytest

from deployer.packages.debian.relations import Relation, exactly, parse_relations
from deployer.packages.debian.version import DebianVersion


def relation(name, operator="", version=""):
    return Relation(name, operator, DebianVersion.parse(version) if version else None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("libc6", ((relation("libc6"),),)),
        (" libc6 (>= 2.36) , zlib1g(=1:1.2-3)", ((relation("libc6", ">=", "2.36"),), (relation("zlib1g", "=", "1:1.2-3"),))),
        ("a | b (<< 2) |c", ((relation("a"), relation("b", "<<", "2"), relation("c")),)),
        ("python3:any (>= 3.5), g++:amd64", ((relation("python3", ">=", "3.5"),), (relation("g++"),))),
        ("perl:native", ((relation("perl"),),)),
        ("gcc:arm64", ((),)),
        ("gcc:arm64 | clang", ((relation("clang"),),)),
        ("a,\n b", ((relation("a"),), (relation("b"),))),
        ("a ((", ((),)),
        ("${misc:Depends}", ((),)),
    ],
)
def test_a_field_is_read(text, found):
    assert parse_relations(text, "amd64") == found


@pytest.mark.parametrize(
    ("operator", "admitted"),
    [
        ("<<", "1.0~rc1"),
        ("<=", "1.0~rc1 1.0"),
        ("=", "1.0"),
        (">=", "1.0 1.0-1"),
        (">>", "1.0-1"),
        ("<", "1.0~rc1 1.0"),
        (">", "1.0 1.0-1"),
    ],
)
def test_a_version_is_admitted(operator, admitted):
    asked = relation("a", operator, "1.0")

    assert [text for text in ("1.0~rc1", "1.0", "1.0-1") if asked.admits(DebianVersion.parse(text))] == admitted.split()
    assert not asked.admits(None)
    assert relation("a").admits(None)
    assert str(asked) == f"a ({operator} 1.0)"
    assert str(exactly("a", DebianVersion.parse("2"))) == "a (= 2)"
