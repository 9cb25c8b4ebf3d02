"""The controller's half of the conversation with a host: bootstrap, requests, and the copy of what the host lacks.

`open_session` connects and learns the host's state in one round trip. `HostSession.request` and its named kin speak with
the runtime that the first of them starts; `send_closure` brings the store paths that a system needs and the host has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deployer.copy.conversation import RuntimeImage
from deployer.copy.session import HostSession, open_session

if TYPE_CHECKING:
    from deployer.copy.closure import ClosureSender

__all__ = ["ClosureSender", "HostSession", "RuntimeImage", "open_session"]


def __getattr__(name: str) -> Any:
    """Import late: a host that is right already is sent nothing."""
    if name == "ClosureSender":
        from deployer.copy.closure import ClosureSender

        return ClosureSender
    raise AttributeError(name)
