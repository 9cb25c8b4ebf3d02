"""What a deployment is for: the answer to "what will run now, and what after the next boot?"."""

from __future__ import annotations

import enum
from typing import Optional


class Goal(str, enum.Enum):
    """How far a deployment goes. The names are those of nixos-rebuild, as far as it has them."""

    SWITCH = "switch"
    """Now, and from now on."""
    BOOT = "boot"
    """From the next boot on; nothing changes before."""
    TEST = "test"
    """Now, and until the next boot."""
    PUSH = "push"
    """Copied only."""
    DRY = "dry"
    """Told only."""

    @classmethod
    def parse(cls, text: str) -> Optional[Goal]:
        """The goal of this name; an empty one is `SWITCH`; None for what is none."""
        try:
            return cls(text or cls.SWITCH)
        except ValueError:
            return None

    def __str__(self) -> str:
        """Its name."""
        return str(self.value)

    @property
    def activates(self) -> bool:
        """Whether a generation comes of it, now or at the next boot."""
        return self in (Goal.SWITCH, Goal.BOOT, Goal.TEST)

    @property
    def activates_now(self) -> bool:
        """Whether the host changes while we look."""
        return self in (Goal.SWITCH, Goal.TEST)

    @property
    def survives_reboot(self) -> bool:
        """Whether the next boot brings the generation."""
        return self in (Goal.SWITCH, Goal.BOOT)
