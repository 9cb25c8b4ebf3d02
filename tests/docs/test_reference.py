"""Pages that are generated are current, and what pages point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deployer.cli.documentation import commands_page
from deployer.config.library import all_modules
from deployer.config.reference import reference
from deployer.errors import ExitCode
from tests.docs.project_pages import ROOT, pages, prose

REFERENCE = ROOT / "docs" / "reference"
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def identity(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_page_of_commands_is_current():
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8")

    assert page == commands_page(), "run: python -m deployer.cli.documentation >docs/reference/commands.md"


def test_the_page_of_options_is_current():
    page = (REFERENCE / "options.md").read_text(encoding="utf-8")

    assert page == reference(all_modules()), "run: deployer option --reference >docs/reference/options.md"


def test_every_exit_code_is_explained():
    page = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")

    assert all(f"\n| {int(code)} | " in page for code in ExitCode)


@pytest.mark.parametrize("page", pages(), ids=identity)
def test_links_lead_somewhere(page):
    broken = []
    for link in _LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in (anchors(target) if target.suffix == ".md" else lines(target))):
            broken.append(link)

    assert broken == []


def lines(file: Path) -> set[str]:
    """The anchors of a file of code, as GitHub makes them."""
    return {f"L{number}" for number, _ in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_map_names_every_page():
    listed = {(ROOT / "docs" / link).resolve() for link in _LINK.findall(prose(ROOT / "docs" / "README.md"))}
    decisions = ROOT / "docs" / "decisions"
    own = {page for page in pages() if (ROOT / "docs") in page.parents and page.parent != decisions}

    assert own - listed <= {ROOT / "docs" / "README.md", ROOT / "docs" / "explanation" / "performance.md"}
