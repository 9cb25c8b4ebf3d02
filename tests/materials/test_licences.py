"""What Debian packages and wheels say of their licences, as SPDX says it."""

from __future__ import annotations

from email.parser import HeaderParser

import pytest

from deployer.materials.licences import debian_licences, spdx, wheel_licences

COPYRIGHT = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tool

Files: *
Copyright: somebody
License: Expat
 Permission is hereby granted.

Files: debian/*
Copyright: nobody
License: GPL-2+ or Artistic

License: GPL-2+
 On Debian systems the text is in common-licenses.
"""


@pytest.mark.parametrize(
    ("debian", "expected"),
    [
        ("Expat", "MIT"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-3.0+", "GPL-3.0-or-later"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("AGPL-3", "AGPL-3.0-only"),
        ("GFDL-1.3+", "GFDL-1.3-or-later"),
        ("zlib", "Zlib"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0"),
        ("MIT and ISC or Zlib", "MIT AND ISC OR Zlib"),
        ("GPL-2+ or Expat, and Apache-2.0", "(GPL-2.0-or-later OR MIT) AND Apache-2.0"),
        ("public-domain", "public-domain"),
        ("GPL-2+ with OpenSSL exception", "GPL-2+ with OpenSSL exception"),
        ("GPL-2+ or custom", "GPL-2+ or custom"),
        ("Expat, or ISC, and Zlib", "Expat, or ISC, and Zlib"),
    ],
)
def test_short_names_become_expressions_where_all_of_them_is_known(debian, expected):
    assert spdx(debian) == expected


def test_a_copyright_file_names_the_licences_of_its_files():
    assert debian_licences(COPYRIGHT) == ("GPL-2.0-or-later OR Artistic-1.0", "MIT")


def test_a_copyright_file_for_people_names_none():
    assert debian_licences("This package is free.\nLicense: GPL-2\n") == ()


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: no\n", ("MIT OR Apache-2.0",)),
        ("License: BSD-3-Clause\n", ("BSD-3-Clause",)),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", ("MIT License",)),
        (f"License: {'a long text ' * 20}\n", ()),
        ("", ()),
    ],
)
def test_a_wheel_names_its_licence_in_one_of_three_ways(metadata, expected):
    assert wheel_licences(HeaderParser().parsestr(f"Name: x\n{metadata}\n")) == expected
