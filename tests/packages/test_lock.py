"""The lock file, and the mirrors that locked files come from."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.packages.errors import LockInvalid, MirrorsUnknown
from deployer.packages.lockfile import Lock, LockedAttribute, LockedDeb, LockedDebian, LockedWheels, WheelPin
from deployer.packages.mirrors import Mirror, find_mirrors

words = st.text("abcxyz0123456789.+-", min_size=1, max_size=12)
debs = st.builds(
    LockedDeb,
    words,
    words,
    words,
    words.map(lambda word: f"pool/a{word}"),
    st.integers(0, 1 << 40),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
)
debian = st.dictionaries(
    words,
    st.builds(
        LockedDebian,
        st.tuples(words),
        st.lists(words, max_size=3).map(tuple),
        words,
        st.lists(debs, max_size=4, unique_by=lambda deb: deb.name).map(
            lambda found: tuple(sorted(found, key=lambda deb: deb.name))
        ),
    ),
    max_size=3,
)
wheels = st.builds(
    WheelPin, words, words, words, words, st.integers(0, 1 << 40), st.binary(min_size=32, max_size=32).map(bytes.hex)
)
wheels_by_package = st.dictionaries(
    words,
    st.lists(wheels, min_size=1, max_size=4, unique_by=lambda wheel: wheel.name).map(
        lambda found: LockedWheels(tuple(sorted(found, key=lambda wheel: wheel.name)))
    ),
    max_size=3,
)
store_paths = st.builds(
    "/nix/store/{}-{}".format, st.sampled_from(["0" * 32, "a" * 32]), words.filter(lambda word: word[0] != ".")
)
attributes = st.dictionaries(
    words,
    st.builds(
        LockedAttribute, words, words, st.dictionaries(words, words, max_size=2), store_paths, store_paths, st.just("out"), words
    ),
    max_size=3,
)
locks = st.builds(Lock, debian, wheels_by_package, attributes)


@given(locks)
def test_a_lock_is_read_as_it_was_written(tmp_path_factory, lock):
    file = tmp_path_factory.mktemp("lock") / "deployer.lock"
    file.write_text(str(lock))

    assert Lock.read(file) == lock


def test_no_lock_pins_nothing(tmp_path):
    assert Lock.read(tmp_path / "deployer.lock") == Lock({})


@pytest.mark.parametrize(
    "text",
    [
        "rubbish",
        "[]",
        '{"version": 2, "debian": {}}',
        '{"version": 1, "debian": {"a": {}}}',
        str(Lock({"a": LockedDebian((), (), "amd64", (LockedDeb("a", "1", "amd64", "../../etc/x", 1, "00" * 32),))})),
        '{"version": 1, "debian": {}, "python": []}',
        '{"version": 1, "debian": {}, "python": {"a": {"wheels": [{"name": "a"}]}}}',
        str(Lock({}, {"a": LockedWheels((WheelPin("a", "1", "../a-1-py3-none-any.whl", "https://x/", 1, "00" * 32),))})),
        str(Lock({}, {"a": LockedWheels((WheelPin("a", "1", "a-1-py3-none-any.whl", "https://x/", 1, "00"),))})),
        str(Lock({}, {"a": LockedWheels((WheelPin("a", "1", "a-1-py3-none-any.whl", "", 1, "00" * 32),))})),
    ],
)
def test_a_lock_that_is_not_ours_is_refused(tmp_path, text):
    (tmp_path / "deployer.lock").write_text(text)

    with pytest.raises(LockInvalid):
        Lock.read(tmp_path / "deployer.lock")


DEB822 = """\
# A comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://stranger.example/repo
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Enabled: no
"""


def sources(root, **files):
    directory = root / "etc/apt/sources.list.d"
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name.replace("_", ".")).write_text(text)
    return root


def test_mirrors_come_from_both_kinds_of_apt_sources(tmp_path):
    one_line = """
deb [arch=amd64 signed-by=/k/other.gpg] http://other.example/x y main
#deb http://no.example/ y main
deb http://plain.example/debian trixie main # with words
deb-src http://src.example/ y main
"""

    found = find_mirrors({"HOME": "/nowhere"}, root=sources(tmp_path, a_list=one_line, b_sources=DEB822))

    assert found[0] == Mirror(
        "http://mirror.example/debian", ("bookworm", "bookworm-updates"), "/usr/share/keyrings/debian-archive-keyring.gpg"
    )
    assert [mirror.url for mirror in found[1:]] == ["http://plain.example/debian"]


def test_sources_that_only_root_may_read_are_none_of_an_ordinary_users():
    with tempfile.TemporaryDirectory() as directory:
        root = sources(Path(directory), a_list="deb http://name:password@secret.example/ trixie main", b_sources=DEB822)
        root.chmod(0o755)
        (root / "etc/apt/sources.list.d/a.list").chmod(0)
        before = os.geteuid()
        os.seteuid(before or 65534)
        try:
            found = find_mirrors({"HOME": directory}, root=root)
        finally:
            os.seteuid(before)

    assert [mirror.url for mirror in found] == ["http://mirror.example/debian"]


def test_the_environment_goes_before_settings_and_settings_before_apt(tmp_path):
    sources(tmp_path, b_sources=DEB822)
    (tmp_path / "deployer").mkdir()
    (tmp_path / "deployer/debian-mirrors").write_text("# ours\nhttp://settings.example/\n")
    settings = {"XDG_CONFIG_HOME": str(tmp_path)}

    assert [mirror.url for mirror in find_mirrors(settings, root=tmp_path)] == ["http://settings.example/"]
    environment = {**settings, "DEPLOYER_DEBIAN_MIRRORS": "http://a.example http://b.example"}
    assert [mirror.url for mirror in find_mirrors(environment, root=tmp_path)] == ["http://a.example", "http://b.example"]


def test_mirrors_named_by_their_urls_sign_with_the_keyring_beside_these(tmp_path):
    settings = {"XDG_CONFIG_HOME": str(tmp_path / "home"), "DEPLOYER_DEBIAN_MIRRORS": "http://a.example"}
    for directory in (tmp_path / "etc/deployer", tmp_path / "home/deployer"):
        directory.mkdir(parents=True)
        (directory / "debian-keyring.gpg").touch()
        (mirror,) = find_mirrors(settings, root=tmp_path)
        assert mirror.signed_by == str(directory / "debian-keyring.gpg")


def test_without_any_mirror_the_error_tells_how_to_name_one(tmp_path):
    with pytest.raises(MirrorsUnknown) as caught:
        find_mirrors({"HOME": str(tmp_path)}, root=tmp_path)

    assert "DEPLOYER_DEBIAN_MIRRORS" in caught.value.remedy
