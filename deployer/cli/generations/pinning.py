"""What `deployer generations pin` and `unpin` do."""

from __future__ import annotations

from collections.abc import Mapping

from deployer.cli.display import Display
from deployer.cli.generations.asking import ask_hosts
from deployer.cli.project import Project
from deployer.copy import HostSession
from deployer.host.refusals import GenerationUnknown


def set_pin(project: Project, selector: str | None, number: int, *, pinned: bool, dry_run: bool) -> None:
    """On every host that has the generation; the others are errors."""

    async def ask(session: HostSession) -> bool:
        if not dry_run:
            await session.pin(number, pinned=pinned)
            return pinned
        known = {generation.number for generation in (await session.status()).generations}
        if number not in known:
            raise GenerationUnknown(number, sorted(known), session.host.name)
        return pinned

    def show(answers: Mapping[str, bool], display: Display) -> None:
        for name in answers:
            if project.settings.as_json:
                display.data({"host": name, "generation": number, "pinned": pinned, "dry_run": dry_run})
            else:
                verb = "would be" if dry_run else "is"
                display.text(f"{name}  generation {number} {verb} {'pinned' if pinned else 'left to the policy'}")

    ask_hosts(project, selector, ask, show, changes=not dry_run)
