"""What the how-to says works as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-module.md"
MODULE, ASSERTION, TEST = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
(YAML,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_module_of_the_page_works(directory):
    units = directory.evaluate(YAML, **{"modules__backup.py": MODULE}).get("systemd.units")

    assert "daily.tar.gz /srv /var/lib/app" in units["backup.service"]["text"]
    assert units["backup.timer"]["start"] is True


def test_its_assertion_works(directory):
    files = {"modules__backup.py": MODULE + ASSERTION}

    directory.evaluate(YAML, **files)
    (error,) = directory.errors("imports: [backup]\nbackup:\n  directories: []\n", **files)

    assert error.message == "nothing is backed up"
    assert str(error.location).endswith("main.yaml:3:16")


def test_its_test_works(directory, tmp_path_factory, monkeypatch):
    directory.write(**{"modules__backup.py": MODULE})
    monkeypatch.chdir(directory.path)
    names: dict[str, object] = {}
    exec(TEST, names)

    test = names["test_directories_are_backed_up"]
    assert callable(test)
    test(tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`(?:types\.)?([a-z_]+)(?=[(`])", PAGE.read_text().split("**Types**")[1].split("\n- ")[0])))
)
def test_every_type_that_the_page_names_exists(name):
    from deployer.config import types

    assert hasattr(types, name)
