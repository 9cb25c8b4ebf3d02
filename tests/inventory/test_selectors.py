"""Selectors: what they pick, what they refuse, and what holds for all of them."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.inventory import Connection, Fleet, Host, SelectorError
from deployer.inventory.selectors import Operator, parse

NAMES = ("web1", "web2", "web3", "db1", "db2", "2001:db8::1", "lonely")
GROUPS = {
    "all": NAMES,
    "ungrouped": ("lonely",),
    "web": ("web1", "web2", "web3"),
    "db": ("db1", "db2"),
    "prod": ("web1", "db1", "2001:db8::1"),
    "empty": (),
}
LABELS = {"web1": {"zone": "a"}, "web2": {"zone": "b"}, "db1": {"zone": "a", "app.kubernetes.io/name": "x=y"}}
FLEET = Fleet({name: Host(name, Connection(name), labels=LABELS.get(name, {})) for name in NAMES}, GROUPS)


def picked(selector):
    """The names that a selector picks."""
    return [host.name for host in FLEET.select(selector)]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, list(NAMES)),
        ("all", list(NAMES)),
        ("*", list(NAMES)),
        ("web1", ["web1"]),
        ("web*", ["web1", "web2", "web3"]),
        ("web[1-2]", ["web1", "web2"]),
        ("web[!1]", ["web2", "web3"]),
        ("@web", ["web1", "web2", "web3"]),
        ("web", ["web1", "web2", "web3"]),
        ("@ungrouped", ["lonely"]),
        ("zone=a", ["web1", "db1"]),
        ("zone=*", ["web1", "web2", "db1"]),
        ("app.kubernetes.io/name=x=y", ["db1"]),
        ("web1,db1", ["web1", "db1"]),
        ("web1:db1", ["web1", "db1"]),
        ("db1,web1", ["web1", "db1"]),
        ("web*:&@prod", ["web1"]),
        ("web*,&@prod", ["web1"]),
        ("web*:!web2", ["web1", "web3"]),
        ("web:&@prod:!web3", ["web1"]),
        ("!web3,web*", ["web1", "web2"]),
        ("~web[12]", ["web1", "web2"]),
        ("~(web|db)1", ["web1", "db1"]),
        ("~w(?:e|x)b1,db1", ["web1", "db1"]),
        ("~web{1}1", ["web1"]),
        ("@web[0]", ["web1"]),
        ("web[0]", ["web1"]),
        ("web[-1]", ["web3"]),
        ("web[1:2]", ["web2", "web3"]),
        ("web[:1]", ["web1", "web2"]),
        ("web[1:]", ["web2", "web3"]),
        ("web*[1:2]", ["web2", "web3"]),
        ("2001:db8::1", ["2001:db8::1"]),
        ("all,!2001:db8::1,!lonely,!web*", ["db1", "db2"]),
        (" web1 , db1 ", ["web1", "db1"]),
    ],
)
def test_a_selector_picks_hosts_in_the_inventorys_order(selector, expected):
    assert picked(selector) == expected


@pytest.mark.parametrize(
    ("selector", "message", "remedy"),
    [
        ("", "the selector is empty", "Write `all` where you mean all hosts."),
        ("  ", "the selector is empty", "Write `all` where you mean all hosts."),
        ("!web1", "the selector '!web1' takes away from nothing", "Say from what, for example `all:!web1`."),
        ("&web", "the selector '&web' takes away from nothing", "Say from what, for example `all:&web`."),
        ("web1,", "the selector 'web1,' can't be understood: there is nothing on one side of a `,` or `:`", None),
        ("web1,!", "the selector 'web1,!' can't be understood: there is nothing behind `!`", None),
        ("@", "the selector '@' can't be understood: `@` names no group", None),
        ("web9", "'web9' matches no host", "Did you mean `@web` or `web3` or `web2`?"),
        ("@wbe", "'@wbe' matches no host", "Did you mean `@web`?"),
        ("wbe", "'wbe' matches no host", "Did you mean `@web`?"),
        ("zone=c", "'zone=c' matches no host", "Did you mean `zone=b` or `zone=a`?"),
        ("zoen=a", "'zoen=a' matches no host", "Did you mean `zone=a` or `zone=b`?"),
        ("@empty", "'@empty' matches no host", "The group 'empty' has no hosts."),
        ("web1,nope", "'nope' matches no host", None),
        ("all:!nope", "'nope' matches no host", None),
        ("web[7]", "'web[7]' matches no host", "`web` matches 3 hosts, which are counted from 0."),
        ("web1:&db1", "the selector 'web1:&db1' leaves no host", None),
        ("all:!all", "the selector 'all:!all' leaves no host", None),
        ("web[1", "the selector 'web[1' can't be understood: the brackets of `web[1` do not match", None),
    ],
)
def test_a_selector_that_picks_nothing_is_refused(selector, message, remedy):
    with pytest.raises(SelectorError) as caught:
        FLEET.select(selector)

    assert str(caught.value) == message
    assert caught.value.remedy == remedy if remedy is not None else caught.value.remedy


def test_a_regular_expression_that_is_none_is_refused():
    with pytest.raises(SelectorError, match="is not a regular expression"):
        FLEET.select("~web(")


def test_a_file_holds_selectors_one_a_line(tmp_path):
    path = tmp_path / "retry"
    path.write_text("# those that failed\nweb1\ndb*   # and these\n")

    assert picked(f"@{path}") == ["web1", "db1", "db2"]
    assert picked(f"@{path}:!db2") == ["web1", "db1"]
    assert picked(f"@{path},!db2") == ["web1", "db1"]
    assert picked(f"web*:&@{path}") == ["web1"]


def test_a_file_that_names_itself_is_refused(tmp_path):
    path = tmp_path / "loop"
    path.write_text(f"@{path}\n")

    with pytest.raises(SelectorError, match="names itself"):
        FLEET.select(f"@{path}")


def test_a_file_that_is_missing_is_refused():
    with pytest.raises(SelectorError, match=r"the file can't be read: No such file"):
        FLEET.select("@./nowhere")


PARTS = st.sampled_from(["web1", "web*", "db?", "@web", "@prod", "zone=a", "zone=*", "~.*1", "all", "@web[0]", "web[1:]"])
TERMS = st.tuples(st.sampled_from(["", "&", "!"]), PARTS)


def members(part):
    """What a part matches, computed in another way."""
    return set(picked(part))


@given(st.lists(TERMS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_parts_are_sets_and_their_order_does_not_matter(terms, random):
    expected = set().union(*(members(part) for operator, part in terms if operator == ""))
    for operator, part in terms:
        if operator == "&":
            expected &= members(part)
    for operator, part in terms:
        if operator == "!":
            expected -= members(part)
    shuffled = random.sample(terms, len(terms))
    selector = "".join(random.choice(",:") + operator + part for operator, part in shuffled)[1:]

    try:
        found = set(picked(selector))
    except SelectorError:
        found = set()

    assert found == (expected if any(operator == "" for operator, _ in terms) else set())


@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused(text):
    try:
        hosts = FLEET.select(text)
    except SelectorError:
        return

    assert hosts


@given(st.text(alphabet="web123db*?[]!-", min_size=1, max_size=8))
def test_a_glob_picks_what_fnmatch_picks(pattern):
    try:
        parts = parse(pattern)
    except SelectorError:
        return
    if len(parts) != 1 or parts[0].sliced or parts[0].operator is not Operator.UNION or not set(pattern) & set("*?["):
        return
    expected = [name for name in NAMES if fnmatch.fnmatchcase(name, pattern)]
    if expected:
        assert picked(pattern) == expected
