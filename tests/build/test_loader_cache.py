"""The loader's cache of a root tree: ldconfig's, to the byte, where loaders need one."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from deployer.build.elf import read_elf
from deployer.build.loader_cache import loader_cache
from deployer.build.root_tree import RootTree

LDCONFIG = shutil.which("ldconfig", path="/usr/sbin:/sbin:/usr/bin")
HEADER = struct.Struct("<20sIIIIIII")
REAL = sorted(
    {
        Path(library)
        for program in ("ls", "env", "python3", "ssh", "find")
        for library in re.findall(
            r"(/\S+/lib\S+\.so\S*)",
            subprocess.run(["ldd", shutil.which(program) or "/bin/true"], capture_output=True, text=True, check=False).stdout,
        )
    }
)


def small(name: str, *needed: str) -> bytes:
    """A library for i386 with nothing in it but what the loader reads."""
    strings = b"\0" + b"".join(text.encode() + b"\0" for text in (*needed, name))
    entries = [(1, strings.index(b"\0" + text.encode() + b"\0") + 1) for text in needed]
    if name:
        entries.append((14, strings.index(b"\0" + name.encode() + b"\0") + 1))
    dynamic_at = 52 + 2 * 32
    strings_at = dynamic_at + (len(entries) + 3) * 8
    dynamic = b"".join(struct.pack("<iI", *item) for item in [*entries, (5, strings_at), (10, len(strings)), (0, 0)])
    whole = strings_at + len(strings)
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack("<HHIIIIIHHHHHH", 3, 3, 1, 0, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    load = struct.pack("<8I", 1, 0, 0, 0, whole, whole, 5, 4096)
    return header + load + struct.pack("<8I", 2, dynamic_at, dynamic_at, 0, len(dynamic), len(dynamic), 4, 4) + dynamic + strings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with libraries of this machine in a loader's own directory and in one that only the configuration names."""
    root = tmp_path / "root"
    own, apart, narrow = root / f"usr/lib/{os.uname().machine}-linux-gnu", root / "usr/lib/apart", root / "usr/lib32"
    for directory in (own, apart, narrow, root / "etc/ld.so.conf.d"):
        directory.mkdir(parents=True)
    for name in ("lib", "lib32"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "etc/ld.so.conf").write_text("include /etc/ld.so.conf.d/*.conf\n")
    (root / "etc/ld.so.conf.d/b.conf").write_text(f"# its own\n/lib/{own.name}\n/usr/lib/{own.name}\n  /nowhere \n")
    (root / "etc/ld.so.conf.d/zz.conf").write_text("/lib32\n")
    (root / "etc/ld.so.conf.d/README").write_text("/usr/lib32/not-read\n")
    for library in REAL:
        file = f"{library.name}.9.9"  # as releases are named, beside a link that outlives them
        shutil.copy(library.resolve(), own / file)
        (own / library.name).symlink_to(file)
    assert len(REAL) > 5
    return root


def apart(root: Path) -> None:
    """Put libraries where no loader looks by itself."""
    (root / "etc/ld.so.conf.d/a.conf").write_text("/usr/lib/apart=libc6   # a kind, as old files name them\n")
    first, second, third, *_ = REAL
    for library in (first, second):
        shutil.copy(library.resolve(), root / "usr/lib/apart" / library.name)
    (root / "usr/lib/apart/libdev.so").symlink_to(first.name)
    (root / f"usr/lib/apart/{second.name.partition('.so')[0]}.so").symlink_to(second.name)
    shutil.copy(third.resolve(), root / "usr/lib/apart/libno-link-to-me.so.3")
    (root / "usr/lib/apart/libtext.so").write_text("INPUT(-lc)\n")
    (root / "usr/lib/apart/libdamaged.so").write_bytes(first.read_bytes()[:70])
    (root / "usr/lib/apart/lib-directory.so").mkdir()
    (root / "usr/lib/apart/libnothing.so.1").symlink_to("nowhere")
    (root / "usr/lib/apart/other.so").write_bytes(first.read_bytes())


def narrow(root: Path) -> None:
    """Put libraries of 32 bits where their loader looks."""
    for name, data in {
        "libten.so.10": small("libten.so.10", "libc.so.6"),
        "libten.so.9": small("libten.so.9", "libc.so.6"),
        "libten.so.x": small("libten.so.x"),
        "libnameless.so": small("", "libm.so.6"),
    }.items():
        (root / "usr/lib32" / name).write_bytes(data)


def ldconfigs(root: Path) -> bytes:
    """What ldconfig writes, without who wrote it."""
    subprocess.run([str(LDCONFIG), "-X", "-r", root, "-C", "/theirs"], check=True, capture_output=True, timeout=60)
    data = (root / "theirs").read_bytes()
    magic, count, strings, endian, _, *rest = HEADER.unpack_from(data)
    return (HEADER.pack(magic, count, strings, endian, 0, *rest) + data[HEADER.size :])[: HEADER.size + 24 * count + strings]


@pytest.mark.skipif(LDCONFIG is None or os.geteuid() != 0, reason="ldconfig changes its root")
@pytest.mark.parametrize("also", [False, True])
def test_a_cache_is_ldconfigs_to_the_byte(root: Path, also: bool):
    apart(root)
    if also:
        narrow(root)
    (root / "usr/lib/apart/libno-link-to-me.so.3").unlink()  # ldconfig would name a link that it was told not to make

    assert loader_cache(RootTree(root)) == ldconfigs(root)


def test_libraries_that_loaders_find_by_themselves_need_no_cache(root: Path):
    narrow(root)

    assert loader_cache(RootTree(root)) is None


def test_a_library_without_the_link_that_a_package_should_have_is_named_itself(root: Path):
    apart(root)
    asked = read_elf(REAL[2].read_bytes()).name
    cache = loader_cache(RootTree(root))

    assert cache is not None
    assert b"\0/usr/lib/apart/libno-link-to-me.so.3\0" in cache
    assert asked.encode() + b"\0" in cache


def test_without_the_file_of_libc_bin_all_parts_of_the_configuration_count(root: Path):
    apart(root)
    whole = loader_cache(RootTree(root))
    (root / "etc/ld.so.conf").unlink()

    assert loader_cache(RootTree(root)) == whole
    assert root / "usr/lib/apart" in RootTree(root).library_directories()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("etc/ld.so.conf.d/a.conf", b"include /etc/ld.so.conf\ninclude a.conf *.conf\n"),
        ("etc/ld.so.conf.d/a.conf", b"/../../..\n//\nrelative\n/usr/lib/apart /and/more\n\xff\xfe\n"),
        ("usr/lib/apart/libx.so", small("../../../escaped.so.1")),
        ("usr/lib/apart/libx.so", small("libx.so")[:-3]),
    ],
)
def test_what_strangers_wrote_leads_nowhere_else(root: Path, tmp_path: Path, file: str, content: bytes):
    (tmp_path / "escaped.so.1").write_bytes(small("escaped.so.1"))
    (root / "etc/ld.so.conf.d/c.conf").write_text("/usr/lib/apart\n/usr/lib/circle\n")
    (root / "usr/lib/circle").symlink_to("circle")
    (root / "usr/lib/apart/liboutside.so").symlink_to("../../../../escaped.so.1")
    (root / file).write_bytes(content)

    assert b"escaped" not in (loader_cache(RootTree(root)) or b"")
