"""Binary caches: ours are read by Nix, Nix's by us, and what nobody trusted signed stays out."""

from __future__ import annotations

import asyncio
import functools
import http.server
import lzma
import os
import shutil
import threading

import pytest

from deployer.build.substitution import Substituter
from deployer.cache import CacheCorrupt, CacheUnusable, KeyRefused, PathNotTrusted, PublicKey, SecretKey, push
from deployer.cache.compression import SUFFIXES
from deployer.formats import StorePath
from deployer.formats.narinfo import NarInfo, NarInfoRefused
from deployer.store import Store, verify
from tests.cache.world import BIG, KEY, described, reader, redescribe


@pytest.mark.parametrize("compression", SUFFIXES)
async def test_a_closure_goes_to_a_cache_and_comes_back_whole(store, top, url, tmp_path, compression):
    pushed = await asyncio.to_thread(push, store, [top], url, compression=compression, key=KEY)
    other = Store(tmp_path / "other")

    cache = reader(url)
    held = await cache.held([top, StorePath("0" * 32, "absent")])
    await cache.substitute(other, top)

    assert isinstance(cache, Substituter)
    assert list(held) == [top]
    assert pushed == other.closure([top]) == store.closure([top])
    assert other.query(top).nar_hash == store.query(top).nar_hash
    assert verify(other) == ()
    assert push(store, [top], url) == ()


async def test_a_cache_behind_http_serves_and_takes_paths(store, top, tmp_path):
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_PUT(self):
            target = tmp_path / "served" / self.path.lstrip("/")
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            await asyncio.to_thread(push, store, [top], url, key=KEY)
            other = Store(tmp_path / "other")
            await reader(url).substitute(other, top)
        finally:
            await asyncio.to_thread(server.shutdown)

    assert other.closure([top]) == store.closure([top])


@pytest.mark.parametrize("signer", [None, SecretKey.generate("test-1"), SecretKey.generate("stranger-1")])
async def test_what_no_trusted_key_signed_is_refused(store, top, url, tmp_path, signer):
    push(store, [top], url, key=signer)
    other = Store(tmp_path / "other")

    assert list(await reader(url).held([top])) == []
    with pytest.raises(PathNotTrusted):
        await reader(url).substitute(other, top)

    assert other.database.all_paths() == ()
    await reader(url, check=False).substitute(other, top)
    assert other.is_valid(top)


async def test_a_source_needs_no_signature_because_its_content_makes_its_name(store, url, tmp_path):
    (tmp_path / "file").write_bytes(BIG)
    path = store.add_tree("file", tmp_path / "file")
    push(store, [path], url)
    other = Store(tmp_path / "other")

    await reader(url, trusted_keys=()).substitute(other, path)

    assert other.is_valid(path)


async def test_a_signature_does_not_hold_for_other_references(store, top, url, tmp_path):
    push(store, [top], url, key=KEY)
    redescribe(tmp_path, top, references=())

    with pytest.raises(PathNotTrusted):
        await reader(url).substitute(Store(tmp_path / "other"), top)


@pytest.mark.parametrize("compression", SUFFIXES)
async def test_an_archive_that_was_changed_is_refused(store, top, url, tmp_path, compression):
    push(store, [top], url, key=KEY, compression=compression)
    for archive in (tmp_path / "cache" / "nar").iterdir():
        data = bytearray(archive.read_bytes())
        data[len(data) // 2] ^= 255
        archive.write_bytes(data)
    other = Store(tmp_path / "other")

    with pytest.raises(CacheCorrupt):
        await reader(url).substitute(other, top)

    assert other.database.all_paths() == ()
    assert os.listdir(other.layout.aside) == []


@pytest.mark.parametrize("compression", SUFFIXES)
async def test_an_archive_that_was_cut_off_is_refused(store, top, url, tmp_path, compression):
    push(store, [top], url, key=KEY, compression=compression)
    for archive in (tmp_path / "cache" / "nar").iterdir():
        os.truncate(archive, archive.stat().st_size // 2)

    with pytest.raises(CacheCorrupt):
        await reader(url).substitute(Store(tmp_path / "other"), top)


async def test_an_archive_that_unpacks_to_far_more_than_announced_is_cut_off(store, url, tmp_path):
    path = store.add_text("small", b"small")
    push(store, [path], url, compression="xz", key=KEY)
    (archive,) = (tmp_path / "cache" / "nar").iterdir()
    nar: list[bytes] = []
    store.write_nar(path, nar.append)
    whole = b"".join(nar)
    archive.write_bytes(lzma.compress(whole[: whole.index(b"small") - 8] + (1 << 33).to_bytes(8, "little") + bytes(1 << 24)))
    redescribe(tmp_path, path, file_size=0)

    with pytest.raises(CacheCorrupt):
        await reader(url).substitute(Store(tmp_path / "other"), path)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"url": "http://127.0.0.1:1/x"}, CacheUnusable),
        ({"url": "nar/absent"}, CacheCorrupt),
        ({"compression": "br"}, CacheUnusable),
        ({"file_size": 3}, CacheCorrupt),
    ],
)
async def test_a_description_that_leads_nowhere_good_is_refused(store, top, url, tmp_path, changes, error):
    push(store, [top], url, key=KEY)
    for path in store.closure([top]):
        redescribe(tmp_path, path, **changes)

    with pytest.raises(error):
        await reader(url).substitute(Store(tmp_path / "other"), top)


async def test_a_description_of_another_path_is_refused(store, top, url, tmp_path):
    push(store, [top], url, key=KEY)
    low = store.query(top).references[0]
    shutil.copy(described(tmp_path, StorePath.parse(low)), described(tmp_path, top))

    with pytest.raises(CacheCorrupt, match="about"):
        await reader(url).query(top)


async def test_a_cache_of_another_store_directory_is_refused(store, top, url, tmp_path):
    push(store, [top], url, key=KEY)
    (tmp_path / "cache" / "nix-cache-info").write_text("StoreDir: /elsewhere\n")

    with pytest.raises(CacheUnusable, match="elsewhere"):
        await reader(url).query(top)


@pytest.mark.parametrize("missing", ["StorePath", "URL", "NarHash", "NarSize"])
def test_a_description_without_what_it_needs_is_refused(store, top, url, tmp_path, missing):
    push(store, [top], url, key=KEY)
    lines = described(tmp_path, top).read_text().splitlines()

    with pytest.raises(NarInfoRefused):
        NarInfo.parse("\n".join(line for line in lines if not line.startswith(missing + ":")), "test")


@pytest.mark.parametrize("text", ["", "name", "name:", "name:!!", ":AAAA", "name:AAAA"])
def test_a_text_that_is_no_key_is_refused(text):
    with pytest.raises(KeyRefused):
        PublicKey.parse(text)
    with pytest.raises(KeyRefused):
        SecretKey.parse(text)


def test_a_secret_key_does_not_show_itself():
    assert KEY.serialize().partition(":")[2] not in repr(KEY) + str(KEY)
    assert SecretKey.parse(KEY.serialize()) == KEY


@pytest.mark.nix
@pytest.mark.parametrize("compression", SUFFIXES)
def test_nix_takes_signed_paths_from_our_cache(nix, store, top, url, compression):
    push(store, [top], url, compression=compression, key=KEY)

    nix("nix", "copy", "--from", url, str(top))

    assert nix("nix-store", "-q", "--hash", str(top)) == store.query(top).nar_hash
    assert nix("nix-store", "-qR", str(top)).splitlines() == [str(path) for path in store.closure([top])]


@pytest.mark.nix
@pytest.mark.parametrize("compression", ["none", "xz", "zstd", "bzip2"])
async def test_we_take_signed_paths_from_a_cache_of_nix(nix, store, top, url, tmp_path, compression):
    push(store, [top], f"file://{tmp_path}/first", key=KEY)
    nix("nix", "copy", "--from", f"file://{tmp_path}/first", str(top))
    (tmp_path / "secret").write_text(KEY.serialize())

    nix("nix", "copy", "--to", f"{url}?compression={compression}&secret-key={tmp_path}/secret", str(top))
    other = Store(tmp_path / "other")
    await reader(url).substitute(other, top)

    assert other.closure([top]) == store.closure([top])
    assert verify(other) == ()


@pytest.mark.nix
def test_keys_and_signatures_are_those_of_nix(nix, store, top, url, tmp_path):
    secret = SecretKey.parse(nix("nix", "key", "generate-secret", "--key-name", "theirs-1"))

    assert nix("nix", "key", "convert-secret-to-public", stdin=secret.serialize()) == str(secret.public)
    push(store, [top], url, key=KEY)
    nix("nix", "copy", "--from", url, str(top))
    (tmp_path / "secret").write_text(secret.serialize())
    nix("nix", "store", "sign", "--key-file", str(tmp_path / "secret"), str(top))
    info = NarInfo.parse(described(tmp_path, top).read_text(), "test")
    assert secret.sign(info) in nix("nix", "path-info", "--sigs", str(top))
