"""Builders that run in our own process open nothing but what their inputs hold."""

import json

import pytest

from deployer.build.errors import AttributeRefused
from deployer.build.resolving import Resolver
from deployer.store import Store


@pytest.fixture
def places(tmp_path):
    """A store with a tree full of links, of which two paths are inputs and one is not."""
    store = Store(tmp_path / "root")
    other, unknown = store.add_text("other", b"other"), store.add_text("unknown", b"unknown")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "file").write_text("file")
    for name, target in {
        "inside": "sub/../file",
        "sub/up": "../file",
        "other": str(other),
        "unknown": str(unknown),
        "host": "/etc/passwd",
        "climb": "../../../../../../etc/passwd",
        "loop": "loop",
        "directory": "sub",
        "root": "/",
    }.items():
        (tree / name).symlink_to(target)
    top = store.add_tree("tree", tree)
    return Resolver(store, "x.drv", {str(other), str(top)}), {"TREE": str(top), "OTHER": str(other), "UNKNOWN": str(unknown)}


def given(text, names):
    for name, path in names.items():
        text = text.replace(name, path)
    return text


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("OTHER", "other"),
        ("TREE/file", "file"),
        ("TREE/inside", "file"),
        ("TREE/sub/up", "file"),
        ("TREE/directory/up", "file"),
        ("TREE/directory/../file", "file"),
        ("TREE/other", "other"),
        ("TREE/sub/../other", "other"),
    ],
)
def test_what_inputs_hold_is_found(places, path, content):
    resolver, names = places

    assert resolver(given(path, names)).read_text() == content


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/etc/passwd",
            "etc/passwd",
            "",
            "UNKNOWN",
            "/nix/store",
            "/nix/store/",
            "/nix/store/..",
            "/nix/store/../../etc/passwd",
        ),
        *("TREE/../../../etc/passwd", "TREE/unknown", "TREE/host", "TREE/climb", "TREE/loop", "TREE/root/etc/passwd"),
        *("/nix/store/.links", "/nix/var/deployer/db.sqlite", "OTHERx"),
    ],
)
def test_what_they_do_not_hold_is_refused(places, path):
    resolver, names = places

    with pytest.raises(AttributeRefused, match="names"):
        resolver(given(path, names))


async def test_a_builtin_builder_reads_no_file_of_this_machine(workshop):
    link = workshop.script("link", "ln -s /etc/passwd $out")
    entries = json.dumps([{"path": "", "type": "file", "source": str(workshop.output(link))}])
    made = workshop.script("made", "", link, system="builtin", builder="builtin:tree", entries=entries)

    with pytest.raises(AttributeRefused, match="/etc/passwd"):
        await workshop.realise(made)
