"""The Pythons for hosts that have none: made once, when the first host turns out to need one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from deployer.cli.project import Project

if TYPE_CHECKING:
    from deployer.copy.interpreter import Interpreter
    from deployer.packages.derivation_inputs import Made


class Interpreters:
    """Has the Python for each kind of machine. Hosts that ask at the same time wait for the same build."""

    def __init__(self, project: Project) -> None:
        """Nothing is made yet."""
        self._project = project
        self._made: dict[str, asyncio.Task[Interpreter]] = {}

    def path(self, machine: str) -> str:
        """In the store, made or not. Raises what is wrong with packages, and `MachineUnknown`."""
        return str(self._pinned(machine).output)

    async def __call__(self, machine: str) -> Interpreter:
        """Build it, or find it built. Raises what is wrong with packages, mirrors or the build."""
        if machine not in self._made:
            self._made[machine] = asyncio.create_task(self._make(machine))
        return await asyncio.shield(self._made[machine])

    async def _make(self, machine: str) -> Interpreter:
        from deployer.build import realise
        from deployer.cli.building import closing_caches
        from deployer.copy.interpreter import read_interpreter
        from deployer.store.generations import add_generations

        project, store = self._project, self._project.store
        made = self._pinned(machine)
        store.keep([made.output])
        if not store.is_valid(made.output):
            project.packages.write(store, [made])
            with closing_caches(project.build_settings(lambda _: None)) as settings:
                await realise(store, [made.path], settings=settings)
        add_generations(store, {f"python-{machine}": made.output})
        return await asyncio.to_thread(read_interpreter, store, str(made.output))

    def _pinned(self, machine: str) -> Made:
        from deployer.packages.interpreter import interpreter

        return interpreter(self._project.packages, machine, self._project.runtime.path.store_dir)
