"""The controller's half of the conversation with a host: bootstrap, requests, and the copy of what the host lacks.

`open_session` connects and learns the host's state in one round trip. `HostSession.request` and its named kin speak with
the runtime that the first of them starts; `send_closure` brings the store paths that a system needs and the host has not.
"""

from deployer.copy.closure import ClosureSender
from deployer.copy.session import HostSession, RuntimeImage, open_session

__all__ = ["ClosureSender", "HostSession", "RuntimeImage", "open_session"]
