"""The manifest: what one version writes, another reads, or refuses with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployer.formats.manifest import Check, EtcEntry, Manifest, ManifestRefused, Timing, Unit

WHOLE = Manifest(
    etc=(EtcEntry("a", sha256="0" * 64),),
    units=(Unit("a.service", "[Service]\n", drop_ins={"b.conf": "x"}),),
    checks=(
        Check("page", "http", url="http://x/", headers={"A": "b"}, statuses=("200-299",), expect_headers={"C": ""}, verify=False),
        Check("lines", "journal", pattern="panic", failures=3, max_age=1.5),
    ),
    timing=Timing(check_deadline=5.0),
)


def document(**more: Any) -> bytes:
    return json.dumps({"format": 1, **more}).encode()


def test_a_manifest_is_read_as_it_was_written():
    assert Manifest.from_bytes(WHOLE.to_bytes()) == WHOLE


def test_what_has_its_default_is_left_out_so_that_older_versions_read_it():
    plain = Manifest(checks=(Check("page", "http", url="http://x/", status=204),))

    assert json.loads(plain.to_bytes()) == {
        "format": 1,
        "checks": [{"kind": "http", "name": "page", "status": 204, "url": "http://x/"}],
    }


def test_a_check_of_a_newer_version_does_not_keep_a_host_from_going_back():
    newer = document(checks=[{"name": "a", "kind": "sonar", "depth": 7}], runtime="/nix/store/x")

    manifest = Manifest.from_bytes(newer)

    assert manifest.runtime == "/nix/store/x"
    assert manifest.checks == (Check("a", "sonar", unknown="depth"),)


def test_keys_of_a_newer_version_do_not_keep_a_host_from_going_back():
    newer = document(sonar=1, units=[{"name": "a.service", "depth": 7}])

    assert Manifest.from_bytes(newer) == Manifest.from_bytes(document(units=[{"name": "a.service"}]))


@pytest.mark.parametrize(
    "newer",
    [
        document(checks=[{"name": "a", "kind": "http", "headers": {"a": 1}}]),
        document(checks=[{"name": "a", "kind": "http", "verify": 1}]),
        document(checks=[{"name": "a", "kind": "http", "port": True}]),
        document(checks=[{"name": "a"}]),
        json.dumps({"format": 2}).encode(),
    ],
    ids=str,
)
def test_all_else_that_is_not_understood_is_refused(newer):
    with pytest.raises(ManifestRefused):
        Manifest.from_bytes(newer)
