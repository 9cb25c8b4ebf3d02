"""How the commands that remove generations tell what they removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from deployer.cli.display import Display
from deployer.cli.project import Project
from deployer.formats.messages import Collection
from deployer.ui.text import count, size


def show_removed(project: Project, *, dry_run: bool) -> Callable[[Mapping[str, Collection], Display], None]:
    """For `ask_hosts`."""

    def show(answers: Mapping[str, Collection], display: Display) -> None:
        for name, removed in answers.items():
            if project.settings.as_json:
                display.data({"host": name, "dry_run": dry_run, **removed.to_document()})
                continue
            numbers = ", ".join(str(generation.number) for generation in removed.generations)
            what = f"{'generations' if len(removed.generations) > 1 else 'generation'} {numbers}" if numbers else "no generation"
            space = f"{count(len(removed.paths), 'path')} ({size(removed.bytes)})"
            display.text(f"{name}  {'would remove' if dry_run else 'removed'} {what}, {space}")

    return show
