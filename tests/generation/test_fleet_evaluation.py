"""Fleets: evaluated once, found again while nothing has changed, and never believed where anything has."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deployer.config import HostView
from deployer.errors import DeployerError
from deployer.generation import EvaluationCache, FleetEvaluation, Outline, SystemMaker, Wanted, fleet, runtime, version_of
from deployer.packages import PackageSet

MAIN = """\
imports: [base.yaml, own, more]
etc:
  page: {source: page.html}
  tree: {source: tree}
  name: {text: "${host.name} ${pkgs.tool}"}
checks:
  seen: {kind: tcp, port: 1, from: controller}
"""
MODULE = """\
from pathlib import Path
from deployer.config import Module

module = Module("own", "Reads a file of its own.")


@module.defines("etc")
def from_a_file(config):
    return {"read": {"text": Path(__file__).with_name("own.txt").read_text()}}
"""
RUNTIME = runtime("/nix/store")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory of files that an evaluation reads; all are older than it."""
    directory = tmp_path / "project"
    for name, text in {
        "main.yaml": MAIN,
        "base.yaml": "sysctl: {net.core.somaxconn: 1}\n",
        "more/one.yaml": "users: {one: {}}\n",
        "modules/own.py": MODULE,
        "modules/own.txt": "own\n",
        "page.html": "<p>\n",
        "tree/leaf": "leaf\n",
        "packages.yaml": "tool: {kind: fetch, file: tool}\n",
        "tool": "tool\n",
    }.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


class Evaluations:
    """Evaluates hosts with one cache, each time as another process would."""

    def __init__(self, project: Path, cache: Path) -> None:
        self.project, self.cache = project, cache
        self.version = version_of(RUNTIME)
        self.made = 0

    def __call__(self, *hosts: HostView) -> dict[str, Outline]:
        """The outlines; `made` says how many hosts were evaluated for that."""
        packages = self.project / "packages.yaml"
        maker = SystemMaker(PackageSet.load(packages), RUNTIME)
        evaluation = FleetEvaluation(maker, packages, EvaluationCache(self.cache, self.version))
        make, self.made = maker.make, 0

        def counting(host, configuration):
            self.made += 1
            return make(host, configuration)

        maker.make = counting  # type: ignore[method-assign]
        return evaluation.outlines([Wanted(host, self.project / "main.yaml") for host in hosts or (HostView("web1"),)])


@pytest.fixture
def evaluate(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    monkeypatch.setattr("deployer.generation.evaluation_cache.CLOCK", -3600.0)  # files that were written just now count as old
    return Evaluations(project, tmp_path / "cache" / "evaluation.sqlite")


def test_what_did_not_change_is_not_evaluated_again(evaluate: Evaluations):
    first = evaluate()
    assert evaluate.made == 1

    assert evaluate() == first
    assert evaluate.made == 0
    assert first["web1"].controller_checks[0].name == "seen"


def test_only_facts_that_are_read_count(evaluate: Evaluations):
    evaluate(HostView("web1", labels={"rack": "a"}))

    evaluate(HostView("web1", labels={"rack": "b"}), HostView("web2"))

    assert evaluate.made == 1


CHANGES: dict[str, Callable[[Path], object]] = {
    "the configuration": lambda project: (project / "main.yaml").write_text(MAIN + "sysctl: {net.a: 1}\n"),
    "an imported file": lambda project: (project / "base.yaml").write_text("sysctl: {net.core.somaxconn: 2}\n"),
    "a file more in an imported directory": lambda project: (project / "more" / "two.yaml").write_text("users: {two: {}}\n"),
    "a module": lambda project: (project / "modules" / "own.py").write_text(MODULE.replace('"read"', '"other"')),
    "a file that a module reads": lambda project: (project / "modules" / "own.txt").write_text("changed\n"),
    "the content of a source": lambda project: (project / "page.html").write_text("<b>\n"),
    "a file in a directory that is a source": lambda project: (project / "tree" / "leaf").write_text("other\n"),
    "an executable bit": lambda project: (project / "tree" / "leaf").chmod(0o755),
    "where a link in a source leads": lambda project: (project / "tree" / "link").symlink_to("leaf"),
    "a package": lambda project: (project / "tool").write_text("changed\n"),
    "the names of packages": lambda project: (project / "packages.yaml").write_text(
        "tool: {kind: fetch, file: tool}\nother: {kind: fetch, file: tool}\n"
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_change_is_seen(evaluate: Evaluations, project: Path, change: Callable[[Path], object]):
    evaluate()

    change(project)

    changed = evaluate()
    assert evaluate.made == 1
    evaluate.cache.unlink()
    assert evaluate() == changed


def test_a_source_that_is_gone_is_an_error_again(evaluate: Evaluations, project: Path):
    evaluate()
    (project / "page.html").unlink()

    with pytest.raises(DeployerError, match=r"page\.html"):
        evaluate()


def test_a_module_that_takes_the_librarys_place_is_seen(evaluate: Evaluations, project: Path):
    (project / "main.yaml").write_text("imports: [sysctl]\nsysctl: {net.core.somaxconn: 1}\n")
    evaluate()
    (project / "modules" / "sysctl.py").write_text("from deployer.config import Module\nmodule = Module('mine', '')\n")

    evaluate()

    assert evaluate.made == 1


def test_the_same_relative_name_in_another_directory_is_another_configuration(
    evaluate: Evaluations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    outputs = []
    for number in (1, 2):
        evaluate.project = tmp_path / f"project{number}"
        evaluate.project.mkdir()
        (evaluate.project / "main.yaml").write_text(f"sysctl: {{net.a: {number}}}\n")
        (evaluate.project / "packages.yaml").write_text("")
        monkeypatch.chdir(evaluate.project)
        evaluate.project = Path()
        outputs.append(evaluate()["web1"].output)

    assert outputs[0] != outputs[1]


def test_another_version_believes_nothing(evaluate: Evaluations):
    evaluate()
    evaluate.version = "another"

    evaluate()

    assert evaluate.made == 1


@pytest.mark.parametrize("column", ["output", "manifest", "aside", "warnings", "digest"])
def test_a_damaged_entry_is_made_anew(evaluate: Evaluations, column: str):
    first = evaluate()
    with sqlite3.connect(evaluate.cache) as connection:
        connection.execute(f"UPDATE system SET {column} = substr({column}, 2)")
    connection.close()

    assert evaluate() == first
    assert evaluate.made == 1
    evaluate()
    assert evaluate.made == 0


@pytest.mark.parametrize("damage", [b"", b"no database at all, but long enough to be taken for one" * 40])
def test_a_damaged_file_is_made_anew(evaluate: Evaluations, damage: bytes):
    first = evaluate()
    evaluate.cache.write_bytes(damage)

    assert evaluate() == first
    evaluate()
    evaluate()
    assert evaluate.made == 0


def test_a_directory_that_others_may_write_to_is_not_used(evaluate: Evaluations):
    evaluate()
    evaluate.cache.parent.chmod(0o777)

    evaluate()

    assert evaluate.made == 1


def test_a_file_that_changed_while_it_was_read_is_not_kept(evaluate: Evaluations, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("deployer.generation.evaluation_cache.CLOCK", 3600.0)
    evaluate()

    evaluate()
    assert evaluate.made == 1


@pytest.mark.parametrize("line", ["import subprocess; subprocess.run(['true'])", "import os; os.listdir(os.open('.', 0))"])
def test_what_can_not_be_compared_is_not_kept(evaluate: Evaluations, project: Path, line: str):
    (project / "modules" / "own.py").write_text(MODULE.replace("    return", f"    {line}\n    return"))

    evaluate()
    evaluate()

    assert evaluate.made == 1


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch):
    """Other processes are started for whatever is left after the first two hosts."""
    monkeypatch.setattr(fleet, "WORTH_PROCESSES", 0.0)
    monkeypatch.setattr(fleet, "FIRST", 0.0)
    monkeypatch.setattr(fleet, "_processors", lambda: 2)
    monkeypatch.setattr(fleet, "SHARE", 2)


def test_several_processes_come_to_the_same(evaluate: Evaluations, processes):
    hosts = [HostView(f"web{number}") for number in range(6)]

    there = evaluate(*hosts)

    assert evaluate.made == 2
    evaluate.cache.unlink()
    assert [evaluate(host)[host.name] for host in hosts] == list(there.values())
    assert list(there) == [host.name for host in hosts]


def test_what_is_wrong_in_another_process_is_told_here(evaluate: Evaluations, project: Path, processes):
    (project / "main.yaml").write_text("users: {a: {uid: '${host.vars.uid}'}}\n")
    hosts = [HostView(f"web{number}", vars={"uid": "x" if number in (2, 3) else number + 1}) for number in range(4)]

    with pytest.raises(DeployerError, match="is the text 'x'"):
        evaluate(*hosts)


def test_the_clock_of_files_is_compared_with_ours(tmp_path: Path):
    from deployer.generation.evaluation_cache import changed_since

    (tmp_path / "old").write_text("")
    later = time.time() + 3600

    assert not changed_since([str(tmp_path / "old"), str(tmp_path / "missing")], later)
    assert changed_since([str(tmp_path / "old")], os.stat(tmp_path / "old").st_ctime)
    assert changed_since([str(tmp_path / "no" / "where")], os.stat(tmp_path).st_ctime)
