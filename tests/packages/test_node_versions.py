"""Ranges of versions as `engines` says them, beside what npm's own library makes of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployer.packages.npm.node_versions import released_version, satisfies

PLACES = (Path("/usr/lib/node_modules/npm/node_modules/semver"), Path("/usr/share/nodejs/semver"))
SEMVER = next((path for path in PLACES if path.is_dir()), None)
"""The library that npm asks."""
SCRIPT = """
const semver = require(process.argv[1]);
const [ranges, versions] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const of = (range) => versions.map((version) => semver.satisfies(version.join("."), range, { includePrerelease: true }));
console.log(JSON.stringify(ranges.map(of)));
"""
VERSIONS = [(0, 0, 0), (0, 0, 1), (0, 2, 2), (1, 0, 0), (1, 18, 20), (2, 2, 2), (18, 0, 0), (18, 20, 4), (20, 18, 1), (21, 0, 0)]
PART = st.sampled_from(["0", "1", "2", "18", "20", "x", "*", "X"])
SUFFIX = st.sampled_from(["", "", "", "-rc.1", "-0", "+b", "-a.b+c"])
WHOLE = st.builds("{}{}.{}.{}{}".format, st.sampled_from(["", "", "v", "="]), PART, PART, PART, SUFFIX)
PARTIAL = st.lists(PART, min_size=1, max_size=2).map(".".join) | WHOLE
OPERATOR = st.sampled_from(["", "", "^", "~", "~>", ">", "<", ">=", "<=", "=", "> ", "^ ", ">= "])
WORDS = st.lists(st.builds("{}{}".format, OPERATOR, PARTIAL), max_size=3).map(" ".join)
RANGE = st.lists(WORDS | st.builds("{} - {}".format, PARTIAL, PARTIAL), min_size=1, max_size=2).map(" || ".join)
ODD = ["", "*", " ", "||", "latest", ">=", "^", "~", "1.2.3.4", ">= 14.x", "01.2.3", "x.18.1", "1..2", "1 - ", "- 1", "1 -2"]


@pytest.mark.skipif(SEMVER is None or not shutil.which("node"), reason="npm is not installed")
@settings(max_examples=5)
@given(st.lists(RANGE, min_size=200, max_size=300))
def test_a_range_means_what_npm_means(ranges):
    asked = [*ODD, *ranges]
    command = ["node", "-e", SCRIPT, str(SEMVER)]
    told = subprocess.run(command, input=json.dumps([asked, VERSIONS]), capture_output=True, text=True, check=True, timeout=60)

    assert {one: [satisfies(version, one) for version in VERSIONS] for one in asked} == dict(
        zip(asked, json.loads(told.stdout), strict=True)
    )


@pytest.mark.parametrize(
    ("wanted", "versions"),
    [
        (">=18", ["18.0.0", "18.20.4", "20.18.1", "21.0.0"]),
        ("^18.12 || >=21", ["18.20.4", "21.0.0"]),
        ("~0.2", ["0.2.2"]),
        ("^0.0.1", ["0.0.1"]),
        ("1 - 2.2", ["1.0.0", "1.18.20", "2.2.2"]),
        (">1 <=20.x", ["2.2.2", "18.0.0", "18.20.4", "20.18.1"]),
        (">=20.18.1-rc.1 <21.0.0-0", ["20.18.1"]),
        ("", [".".join(map(str, version)) for version in VERSIONS]),
        ("latest", []),
    ],
)
def test_a_range_has_the_versions_that_it_says(wanted, versions):
    assert [".".join(map(str, version)) for version in VERSIONS if satisfies(version, wanted)] == versions


@pytest.mark.parametrize(
    ("debian", "version"), [("18.20.4+dfsg-1~deb12u1", (18, 20, 4)), ("1:20.1.0-1nodesource1", (20, 1, 0)), ("unknown", None)]
)
def test_a_debian_package_tells_which_node_it_has(debian, version):
    assert released_version(debian) == version
