"""What can keep a bill of materials from being written."""

from __future__ import annotations

from deployer.errors import ConfigurationError


class BillLibraryMissing(ConfigurationError):
    """The library that writes bills of materials in a format is not installed."""

    library: str

    @property
    def message(self) -> str:
        """Which."""
        return f"a bill of materials can't be written: {self.library} is not installed"

    @property
    def remedy(self) -> str:
        """How to get it."""
        return "Install it with `pip install 'deployer[sbom]'`."
