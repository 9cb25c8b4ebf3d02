"""What most commands begin with: the inventory, the packages, and the systems of the hosts that were selected."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from deployer.cli.settings import STORE_DIR, Settings, home
from deployer.errors import ConfigurationError, DeployerError, Place, raise_all
from deployer.inventory import Fleet, Host, load_fleet

if TYPE_CHECKING:
    from deployer.build import BuildSettings
    from deployer.config import Evaluator
    from deployer.copy import RuntimeImage
    from deployer.generation import Outline, Runtime, System, SystemMaker
    from deployer.history import History
    from deployer.packages import PackageSet
    from deployer.store import Store


class NoConfiguration(ConfigurationError):
    """A host was selected that has nothing to be brought to."""

    host: str
    place: Place | None

    @property
    def message(self) -> str:
        """Which."""
        return "the inventory gives it no configuration"

    @property
    def remedy(self) -> str:
        """Where to say it."""
        return "Add `configuration: FILE.yaml` to the host, to one of its groups, or at the top of the inventory."


class Project:
    """An inventory and all that hangs on it, each part read when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is read yet."""
        self.settings = settings

    @cached_property
    def fleet(self) -> Fleet:
        """The inventory."""
        return load_fleet(self.settings.inventories)

    @cached_property
    def packages(self) -> PackageSet:
        """The package set that the inventory names."""
        from deployer.packages import PackageSet

        return PackageSet.load(self.fleet.packages, store_dir=STORE_DIR)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Evaluates configurations, once for all hosts that agree."""
        from deployer.config import Evaluator

        return Evaluator(packages=self.packages)

    @cached_property
    def system_maker(self) -> SystemMaker:
        """Makes the systems of hosts, once for all hosts that agree."""
        from deployer.generation import SystemMaker

        return SystemMaker(self.packages, self.runtime)

    @cached_property
    def runtime(self) -> Runtime:
        """What of us runs on hosts."""
        from deployer.generation import runtime

        return runtime(STORE_DIR)

    @cached_property
    def runtime_image(self) -> RuntimeImage:
        """The same, as a session needs it."""
        from deployer.copy import RuntimeImage
        from deployer.generation import runtime_image

        return RuntimeImage(str(self.runtime.path), runtime_image())

    @cached_property
    def store(self) -> Store:
        """The controller's store."""
        return self.settings.open_store()

    def build_settings(self, say: Callable[[str], None]) -> BuildSettings:
        """How to build what the packages say; `say` tells a person of caches that could not be used."""
        from deployer.cli.building import build_settings

        return build_settings(self.settings.build, place_of=self.packages.place_of, say=say)

    @cached_property
    def history(self) -> History:
        """What this controller has done."""
        from deployer.history import open_history

        location = os.environ.get("DEPLOYER_HISTORY")
        if location is None:
            state_home().mkdir(parents=True, exist_ok=True, mode=0o700)
        return open_history(location or state_home() / "history.db")

    def select(self, selector: str | None) -> tuple[Host, ...]:
        """The hosts that the user means."""
        return self.fleet.select(selector)

    def systems(self, hosts: Sequence[Host]) -> Mapping[str, System]:
        """Evaluate the hosts' configurations, by host name. All errors of all hosts are raised together."""
        from deployer.config import HostView

        errors = _without_configuration(hosts)
        systems: dict[str, System] = {}
        for host in hosts:
            if host.configuration is None:
                continue
            try:
                systems[host.name] = self.system_maker.make(HostView.of(host), host.configuration).made
            except DeployerError as error:
                errors.append(error)
        raise_all(errors)
        return systems

    def outlines(self, hosts: Sequence[Host]) -> Mapping[str, Outline]:
        """The hosts' systems, as far as they are known without derivations; evaluated only where anything has changed since.

        All errors of all hosts are raised together.
        """
        from deployer.config import HostView
        from deployer.generation import EvaluationCache, FleetEvaluation, Wanted, version_of

        errors = _without_configuration(hosts)
        wanted = [Wanted(HostView.of(host), host.configuration) for host in hosts if host.configuration is not None]
        cache = EvaluationCache(cache_home() / "evaluation.sqlite", version_of(self.runtime))
        fleet = FleetEvaluation(self.system_maker, self.fleet.packages, cache)
        try:
            outlines = fleet.outlines(wanted)
        except DeployerError as error:
            errors.append(error)
        raise_all(errors)
        return outlines


def _without_configuration(hosts: Sequence[Host]) -> list[DeployerError]:
    return [NoConfiguration(host.name, host.place) for host in hosts if host.configuration is None]


def controller_name() -> str:
    """Who deploys, for people: `alice@laptop`."""
    from deployer.history import Holder

    return Holder.me().who


def state_home() -> Path:
    """Where the controller keeps its history and known hosts."""
    return home("XDG_STATE_HOME", ".local/state") / "deployer"


def cache_home() -> Path:
    """Where the controller keeps what it can make again."""
    return home("XDG_CACHE_HOME", ".cache") / "deployer"
