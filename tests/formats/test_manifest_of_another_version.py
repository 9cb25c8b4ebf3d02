"""A manifest that a newer version wrote, as the runtime of an older generation reads it."""

from __future__ import annotations

import json

import pytest

from deployer.formats.manifest import Manifest, ManifestRefused, Retention, Unit


def test_keys_that_this_version_does_not_know_are_ignored_at_every_depth() -> None:
    manifest = Manifest(units=(Unit("web.service", "[Service]\n"),), generations=Retention(3, 86400.0))
    document = json.loads(manifest.to_bytes())
    document["later"] = {"a": [1]}
    document["units"][0]["later"] = True
    document["generations"]["later"] = "x"

    assert Manifest.from_bytes(json.dumps(document).encode()) == manifest


def test_another_format_is_refused() -> None:
    with pytest.raises(ManifestRefused):
        Manifest.from_bytes(b'{"format": 2}')
