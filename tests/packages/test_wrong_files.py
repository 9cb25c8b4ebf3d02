"""Package sets with one thing wrong each, and all that is printed of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployer.packages import PackageSet
from tests.wrong_files import expected_of, printed_of, wrong_files

FILES = wrong_files(Path(__file__).parent / "wrong")


def read(file: Path) -> None:
    PackageSet.load(file).check()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_is_wrong_is_told_with_its_line_and_what_to_do(file):
    assert printed_of(file, read) == expected_of(file)
