"""The log that `--log FILE` asks for: every event of a command, as a structlog event, one JSON object a line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from deployer.errors import ConfigurationError
from deployer.rollout import events

_GRAVE = (events.HostFailed, events.HostRolledBack, events.HostUnreachable, events.HostNeedsPerson, events.RolloutStopped)


class LogUnwritable(ConfigurationError):
    """The file of `--log` can't be written."""

    path: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the log {self.path} can't be written: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Name another by `--log FILE` or the environment variable DEPLOYER_LOG."


def open_log(path: Path) -> Callable[[events.Event], None]:
    """Append to a file that only its owner can read. Raises `LogUnwritable`."""
    import structlog

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LogUnwritable(str(path), error.strerror or str(error)) from None
    file = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)
    logger = structlog.wrap_logger(
        structlog.WriteLogger(file),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        process=os.getpid(),
    )

    def log(event: events.Event) -> None:
        document = event.to_json()
        name = str(document.pop("event"))
        (logger.error if isinstance(event, _GRAVE) else logger.info)(name, **document)

    return log
