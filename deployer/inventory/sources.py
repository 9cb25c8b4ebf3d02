"""What `-i` names: a file of one of the formats, a program, or a directory of such."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deployer import yaml_source
from deployer.errors import Place
from deployer.inventory import ansible_script, ansible_yaml, native
from deployer.inventory.draft import ALL, Draft, Settings
from deployer.inventory.errors import SourceUnreadable
from deployer.yaml_source import MAX_SIZE, Mapping, top_mapping

VARS_DIRECTORIES: Final = ("group_vars", "host_vars")
_YAML: Final = {".yaml", ".yml", ".json"}
_IGNORED: Final = {".orig", ".bak", ".cfg", ".retry", ".pyc", ".pyo", ".swp", ".md", ".rst", ".txt", ".lock"}
_MAX_NESTING: Final = 8
_YAML_LINE: Final = re.compile(r"---|\{|[^\s\[=#]+:(\s|$)|%YAML")
_VAULT: Final = b"$ANSIBLE_VAULT;"


def read(path: Path, draft: Draft) -> None:
    """Add all that a source says to a draft; what is wrong is noted there."""
    with draft.problems.noted():
        _read(path, draft, 0)


def _read(path: Path, draft: Draft, nesting: int) -> None:
    try:
        if path.is_dir():
            _directory(path, draft, nesting)
        elif path.exists():
            _file(path, draft)
        else:
            raise SourceUnreadable(Place(str(path)), "there is no such file")
    except OSError as error:
        raise SourceUnreadable(Place(str(path)), error.strerror or str(error)) from None


def _directory(path: Path, draft: Draft, nesting: int) -> None:
    draft.directories.pop(path, None)
    draft.directories[path] = None
    if nesting > _MAX_NESTING:
        raise SourceUnreadable(Place(str(path)), f"directories are nested deeper than {_MAX_NESTING}")
    for entry in sorted(path.iterdir()):
        if not _is_ignored(entry) and entry.name not in VARS_DIRECTORIES:
            with draft.problems.noted():
                _read(entry, draft, nesting + 1)


def _is_ignored(path: Path) -> bool:
    return path.name.startswith((".", "~")) or path.name.endswith("~") or path.suffix in _IGNORED


def _file(path: Path, draft: Draft) -> None:
    base = path.parent
    draft.directories.pop(base, None)
    draft.directories[base] = None
    if ansible_script.is_program(path):
        ansible_script.read(path, base, draft)
        return
    if path.suffix in _YAML:
        _yaml(top_mapping(yaml_source.load(path), "an inventory"), base, draft)
        return
    text = _text(path)
    if path.suffix not in {".ini", ".cfg"} and _is_yaml(text):
        _yaml(top_mapping(yaml_source.loads(text, str(path)), "an inventory"), base, draft)
    else:
        from deployer.inventory import ansible_ini

        ansible_ini.read(text, str(path), base, draft)


def _yaml(top: Mapping, base: Path, draft: Draft) -> None:
    if "plugin" in top.value and "hosts" not in top.value:
        raise SourceUnreadable(top.place_of("plugin"), "it configures a plugin of Ansible's, which only Ansible can run")
    (ansible_yaml if ansible_yaml.is_ansible(top) else native).read(top, base, draft)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise SourceUnreadable(Place(str(path)), f"it is larger than {MAX_SIZE >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceUnreadable(Place(str(path)), "it is not UTF-8") from None


def _is_yaml(text: str) -> bool:
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and stripped[0] not in "#;":
            return _YAML_LINE.match(stripped) is not None
    return True


def read_variables(draft: Draft) -> None:
    """Add what stands in `group_vars/` and `host_vars/` beside the sources, for the groups and hosts that there are."""
    for directory in draft.directories:
        for file, name in _files_of_variables(directory / "group_vars"):
            if name == ALL or name in draft.groups:
                group = name if name != ALL else None
                settings = draft.everything if group is None else draft.groups[name].settings
                settings.add(_variables(file, directory, draft, group))
        for file, name in _files_of_variables(directory / "host_vars"):
            if name in draft.hosts:
                draft.hosts[name].settings.add(_variables(file, directory, draft, None))


def _files_of_variables(directory: Path) -> Iterator[tuple[Path, str]]:
    """The files of each name; a directory of that name hides a file of it."""
    if not directory.is_dir():
        return
    entries = [entry for entry in sorted(directory.iterdir()) if not _is_ignored(entry)]
    hidden = {entry.name for entry in entries if entry.is_dir()}
    for entry in entries:
        if entry.is_dir():
            for file in sorted(entry.rglob("*")):
                inside = file.relative_to(entry).parts
                skipped = file.name.endswith("~") or any(part.startswith((".", "~")) for part in inside)
                if file.is_file() and file.suffix in {"", *_YAML} and not skipped:
                    yield file, entry.name
        elif (name := _stem(entry)) not in hidden:
            yield entry, name


def _stem(file: Path) -> str:
    """The group or host that a file is for: its name, without a suffix of YAML's."""
    return file.name.removesuffix(file.suffix) if file.suffix in _YAML else file.name


def _variables(file: Path, base: Path, draft: Draft, group: str | None) -> Settings:
    with draft.problems.noted():
        with file.open("rb") as opened:
            if opened.read(len(_VAULT)) == _VAULT:
                return Settings()
        top = top_mapping(yaml_source.load(file), "a file of variables")
        return ansible_yaml.variables_of(top, base, draft, group=group)
    return Settings()
