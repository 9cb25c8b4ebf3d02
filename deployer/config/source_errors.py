"""What can be wrong with the files of a configuration: with what they import, leave out, and make depend on conditions."""

from __future__ import annotations

from deployer.config.errors import ConfigError
from deployer.errors import Place


class ImportFailed(ConfigError):
    """A file or module that `imports` names can't be had."""

    name: str
    reason: str
    place: Place | None
    near: str = ""

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"import of '{self.name}': {self.reason}"

    @property
    def remedy(self) -> str:
        """What imports are."""
        return self.near or "An import is a path relative to the file that names it, or the name of a module."


class NothingToDisable(ConfigError):
    """`disabled_modules` names what is not there."""

    name: str
    place: Place | None
    near: str = ""

    @property
    def message(self) -> str:
        """Which."""
        return f"there is no module '{self.name}' to disable, and no such file"

    @property
    def remedy(self) -> str:
        """What can be disabled."""
        return self.near or "Name a module of the library, or the path of a file that something imports."


class DisabledButNeeded(ConfigError):
    """An option went with its module, and something else needs it."""

    option: str
    module: str
    needed_by: str
    place: Place | None

    @property
    def message(self) -> str:
        """Which, and what needs it."""
        return f"the module '{self.module}' is disabled, and {self.needed_by} needs its option '{self.option}'"

    @property
    def remedy(self) -> str:
        """How to go without."""
        return f"Import a module that declares '{self.option}', or leave '{self.module}' enabled."


class WrongCondition(ConfigError):
    """What `if` says is no condition, or has no answer."""

    reason: str
    place: Place | None
    advice: str = ""

    @property
    def message(self) -> str:
        """Why."""
        return f"a condition has no answer: {self.reason}"

    @property
    def remedy(self) -> str:
        """What a condition is."""
        return self.advice or (
            "Write true, false, a ${…} that is one of them, a list of conditions, "
            "or one of `not`, `all`, `any`, `equal: [A, B]` and `contains: [LIST, VALUE]`."
        )
