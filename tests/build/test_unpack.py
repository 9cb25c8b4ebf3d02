"""Unpacking what strangers made."""

import gzip
import io
import lzma
import os
import tarfile
import zipfile

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from deployer.build.debian_root import Deb, debian_root
from deployer.build.limits import Limits
from deployer.build.source_errors import ArchiveRefused, FilesCollide
from deployer.build.unpack import unpack


def entry(name, content=b"", *, kind=tarfile.REGTYPE, target="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, target, mode, len(content)
    return info, content


def tar(*entries):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def deb(*entries):
    data = lzma.compress(tar(*entries))
    header = b"data.tar.xz     0           0     0     100644  %-10d`\n" % len(data)
    version = b"debian-binary   0           0     0     100644  4         `\n2.0\n"
    return b"!<arch>\n" + version + header + data


def write(directory, data, name="a.tar"):
    path = directory / name
    path.write_bytes(data)
    return path


GOOD = tar(
    entry("top/", kind=tarfile.DIRTYPE),
    entry("top/bin/tool", b"#!", mode=0o4755),
    entry("top/data", b"text"),
    entry("top/link", kind=tarfile.SYMTYPE, target="bin/../data"),
    entry("top/hard", kind=tarfile.LNKTYPE, target="top/data"),
)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, zstandard.compress], ids=["plain", "gz", "xz", "zst"])
def test_a_tar_of_every_compression_unpacks(tmp_path, compress):
    unpack(write(tmp_path, compress(GOOD)), tmp_path / "out", strip_components=1)

    assert sorted(os.listdir(tmp_path / "out")) == ["bin", "data", "hard", "link"]
    assert (tmp_path / "out/hard").read_bytes() == b"text"
    assert os.readlink(tmp_path / "out/link") == "bin/../data"
    assert (tmp_path / "out/bin/tool").stat().st_mode & 0o7777 == 0o755


def test_a_zip_unpacks_with_its_links(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("d/file", "text")
        link = zipfile.ZipInfo("d/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "file")

    unpack(tmp_path / "a.zip", tmp_path / "out")

    assert (tmp_path / "out/d/link").read_text() == "text"


def test_the_data_of_a_deb_unpacks(tmp_path):
    unpack(write(tmp_path, deb(entry("./usr/bin/x", b"x"))), tmp_path / "out")

    assert (tmp_path / "out/usr/bin/x").read_bytes() == b"x"


@pytest.mark.parametrize(
    "entries",
    [
        [entry("/etc/passwd", b"x")],
        [entry("a/../../x", b"x")],
        [entry("a", b"1"), entry("a", b"2")],
        [entry("out", kind=tarfile.SYMTYPE, target="/etc")],
        [entry("a/out", kind=tarfile.SYMTYPE, target="../../etc")],
        [entry("d", kind=tarfile.SYMTYPE, target="."), entry("d/x", b"x")],
        [entry("null", kind=tarfile.CHRTYPE)],
        [entry("pipe", kind=tarfile.FIFOTYPE)],
        [entry("hard", kind=tarfile.LNKTYPE, target="../../etc/passwd")],
        [entry("hard", kind=tarfile.LNKTYPE, target="nowhere")],
        [entry("f", b"x"), entry("f/below", b"x")],
        [entry("/".join(["d"] * 70), b"x")],
        [entry("n" * 300, b"x")],
    ],
)
def test_a_hostile_tar_is_refused(tmp_path, entries):
    with pytest.raises(ArchiveRefused):
        unpack(write(tmp_path, tar(*entries)), tmp_path / "out")

    assert sorted(os.listdir(tmp_path)) == ["a.tar", "out"]


@pytest.mark.parametrize("limits", [Limits(total_bytes=1 << 20), Limits(members=2)])
def test_a_bomb_is_refused(tmp_path, limits):
    bomb = gzip.compress(tar(*(entry(f"f{number}", bytes(1 << 19)) for number in range(4))))

    with pytest.raises(ArchiveRefused, match="more than"):
        unpack(write(tmp_path, bomb), tmp_path / "out", limits=limits)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", tar(entry("f", bytes(2000)))[:1500], lzma.compress(GOOD)[:-20], b"!<arch>\nrubbish", b"PK\x03\x04rubbish"],
)
def test_what_is_broken_is_refused(tmp_path, data):
    with pytest.raises(ArchiveRefused):
        unpack(write(tmp_path, data), tmp_path / "out")


@given(
    st.binary(max_size=200), st.sampled_from([b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"!<arch>\n", b""])
)
def test_no_bytes_lead_to_another_error(tmp_path_factory, data, magic):
    directory = tmp_path_factory.mktemp("any")

    with pytest.raises(ArchiveRefused):
        unpack(write(directory, magic + data), directory / "out")


def make_root(tmp_path, *packages, links=None, omitted=()):
    debs = [Deb(f"p{number}", write(tmp_path, deb(*entries), f"{number}.deb")) for number, entries in enumerate(packages)]
    debian_root(debs, tmp_path / "root", links=links or {}, omitted=omitted, scratch=tmp_path, threads=2)
    return tmp_path / "root"


def test_a_root_has_merged_usr_links_mount_points_and_a_shell(tmp_path):
    root = make_root(
        tmp_path,
        [entry("./bin/dash", b"sh"), entry("./lib/x86_64/libc.so", b"c")],
        [entry("./usr/lib/y", b"y")],
        links={"usr/bin/cc": "gcc"},
    )

    assert os.readlink(root / "bin") == "usr/bin"
    assert (root / "bin/sh").read_bytes() == b"sh"
    assert os.readlink(root / "usr/bin/cc") == "gcc"
    assert sorted(os.listdir(root / "usr/lib")) == ["x86_64", "y"]
    assert {"proc", "dev", "run", "tmp"} <= set(os.listdir(root))


TEXTS = {
    "documentation": ["man/man1/x.1.gz", "info/x.info", "doc-base/x", "lintian/overrides/x", "doc/x/README", "doc/x/more/y"],
    "translations": ["locale/de/LC_MESSAGES/x.mo"],
}
KEPT = ["doc/x/copyright", "x/man/page", "i18n/locales/de_DE"]


@pytest.mark.parametrize("omitted", [[], ["documentation"], ["translations"], ["documentation", "translations"]], ids="-".join)
def test_texts_for_people_are_left_out_of_a_root_where_that_is_asked_for(tmp_path, omitted):
    texts = [name for names in TEXTS.values() for name in names]
    link = entry("./usr/share/doc/y", kind=tarfile.SYMTYPE, target="x")
    page = entry("./usr/share/man/man1/y.1.gz", kind=tarfile.LNKTYPE, target="./usr/share/man/man1/x.1.gz")
    below = [entry(f"./usr/share/doc/x{name}", kind=tarfile.DIRTYPE) for name in ("", "/more")]

    root = make_root(
        tmp_path, [*below, *(entry(f"./usr/share/{name}", b"x") for name in KEPT + texts), link, page], omitted=omitted
    )

    share = root / "usr/share"
    gone = {name for word in omitted for name in TEXTS[word]}
    assert {name for name in KEPT + texts if (share / name).is_file()} == {*KEPT, *texts} - gone
    assert (share / "doc/y/copyright").is_file()
    assert (share / "man").exists() is (share / "doc/x/more").exists() is ("documentation" not in omitted)


COMMON = ["UTF-16.so", "UTF-32.so", "ISO8859-1.so", "CP1252.so", "gconv-modules", "gconv-modules.cache"]
RARE = ["KOI8-R.so", "ISO8859-2.so", "SJIS.so", "libJIS.so"]


@pytest.mark.parametrize("omitted", [[], ["documentation"], ["character_sets", "translations"]], ids="-".join)
def test_rare_character_sets_are_left_out_of_a_root_where_that_is_asked_for(tmp_path, omitted):
    files = [f"lib/x86_64-linux-gnu/gconv/{name}" for name in COMMON + RARE] + ["usr/lib/gconv/of-a-program.so"]

    root = make_root(tmp_path, [entry(f"./{name}", b"x") for name in files], omitted=omitted)

    found = set(os.listdir(root / "usr/lib/x86_64-linux-gnu/gconv"))
    assert found == {*COMMON, *([] if "character_sets" in omitted else RARE)}
    assert (root / "usr/lib/gconv/of-a-program.so").is_file()


def test_a_link_to_a_directory_is_gone_through_inside_the_root(tmp_path):
    link = entry("./usr/share/doc", kind=tarfile.SYMTYPE, target="/../../data")

    root = make_root(tmp_path, [entry("./data/", kind=tarfile.DIRTYPE), link], [entry("./usr/share/doc/x", b"x")])

    assert (root / "data/x").read_bytes() == b"x"


def test_two_packages_with_one_file_must_agree(tmp_path):
    with pytest.raises(FilesCollide) as caught:
        make_root(tmp_path, [entry("./a", b"1")], [entry("./a", b"2")])

    assert (caught.value.path, caught.value.first, caught.value.second) == ("/a", "p0", "p1")
