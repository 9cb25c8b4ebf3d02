"""What maintainer scripts would have made of a root tree, made without running them."""

import os

import pytest

from deployer.build.debian_scripts import Alternative, alternatives, chosen, complete
from deployer.build.tree_writer import TreeWriter, clean_name


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5", [("/usr/bin/awk", "/usr/bin/mawk", 5)]),
        (
            "  update-alternatives --quiet --install /usr/bin/c++ c++ /usr/bin/g++ 20 \\\n"
            "    --slave /usr/share/man/c++.1 c++.1 /usr/share/g++.1",
            [("/usr/bin/c++", "/usr/bin/g++", 20), ("/usr/share/man/c++.1", "/usr/share/g++.1", 20)],
        ),
        ('if x; then update-alternatives --install "/usr/bin/vi" vi "/usr/bin/vim.tiny" 15; fi', []),
        ("update-alternatives --install /usr/bin/$name $name /usr/bin/x 5", []),
        ("update-alternatives --install /usr/bin/x x relative 5", []),
        ("update-alternatives --install /usr/bin/x x", []),
        ("update-alternatives --install 'unclosed", []),
        ("update-alternatives --remove awk /usr/bin/mawk", []),
    ],
)
def test_an_alternative_is_read_where_it_is_said_in_plain_words(script, found):
    assert [(one.link, one.path, one.priority) for one in alternatives(script)] == found


def test_the_highest_priority_wins_and_the_first_path_among_equals():
    offers = [Alternative("/usr/bin/vi", path, priority) for path, priority in (("/b", 5), ("/c", 9), ("/a", 9), ("/d", -1))]

    assert chosen(offers) == {"/usr/bin/vi": "/a"}


def made(root, files, scripts=()):
    with TreeWriter(root, inside_links=True) as writer:
        for name, content in files.items():
            if content.startswith("-> "):
                writer.symlink(clean_name(name), content[3:])
            else:
                writer.file(clean_name(name), [content.encode()], executable=True)
        complete(writer, scripts)
    return root


def test_what_packages_brought_is_kept_and_the_rest_is_made(tmp_path):
    files = {
        "usr/share/base-passwd/passwd.master": "root:*:0:0::/root:/bin/bash\nwww-data:*:33:33::/var/www:/bin/false\n",
        "usr/bin/mawk": "mawk",
        "usr/bin/original-awk": "awk",
        "etc/hosts": "mine\n",
        "usr/share/ca-certificates/a/one.crt": "ONE",
        "usr/share/ca-certificates/two.crt": "TWO\n",
        "usr/share/ca-certificates/README": "no certificate",
    }
    script = "update-alternatives --install /bin/awk awk {} {}\n"

    tree = made(
        tmp_path / "root",
        files,
        [script.format("/usr/bin/mawk", 5), script.format("/bin/original-awk", 9), script.format("/no", 99)],
    )

    assert "www-data" in (tree / "etc/passwd").read_text()
    assert (tree / "etc/group").read_text().startswith("root:x:0:")
    assert "hosts: files dns" in (tree / "etc/nsswitch.conf").read_text()
    assert (tree / "etc/hosts").read_text() == "mine\n"
    assert (tree / "etc/ssl/certs/ca-certificates.crt").read_text() == "ONE\nTWO\n"
    assert (tree / "usr/lib/ssl/cert.pem").read_text() == "ONE\nTWO\n"
    assert os.readlink(tree / "usr/bin/awk") == "original-awk"  # what has a still higher priority is not in the tree


def test_an_alternative_leads_to_its_program_wherever_the_tree_lies(tmp_path):
    script = "update-alternatives --install /usr/bin/awk awk /bin/mawk 5"

    tree = made(tmp_path / "root", {"usr/bin/mawk": "mawk"}, [script])

    assert (tree / "usr/bin/awk").readlink().as_posix() == "mawk"


@pytest.mark.parametrize("hostile", ["usr/share/ca-certificates", "usr/share/base-passwd", "usr/lib/ssl", "etc"])
def test_no_link_of_a_package_leads_out_of_the_tree(tmp_path, hostile):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.crt").write_text("secret")
    (outside / "passwd.master").write_text("secret")
    files = {hostile: f"-> {outside}", "usr/bin/x": "x"}

    try:
        tree = made(tmp_path / "root", files)
    except OSError:
        tree = tmp_path / "root"

    assert sorted(path.name for path in outside.iterdir()) == ["passwd.master", "secret.crt"]
    assert not [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink() and "secret" in path.read_text()]
