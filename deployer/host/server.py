"""The protocol's server: requests in, events and answers out, one at a time, until the other side closes.

Whatever arrives is hostile until it is parsed. Whatever goes wrong goes back as an error with a message and a remedy.
A verb's parts are imported when it is asked for: each connection starts Python anew, and most ask for one or two.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import TYPE_CHECKING, Any, Callable, ContextManager, Dict, Iterator, Mapping, Optional

from deployer.errors import DeployerError, JsonValue
from deployer.formats.frames import JSON_KIND, FrameRefused
from deployer.formats.messages import ALIVE
from deployer.host import follow
from deployer.host.channel import Channel
from deployer.host.lock import locked
from deployer.host.machine import Machine
from deployer.host.refusals import RequestRefused
from deployer.host.request import UNEXPECTED, HostFailed, Request, told

if TYPE_CHECKING:
    from deployer.host.labels import Labels
    from deployer.store import Store

_Answer = Dict[str, JsonValue]


class Server:
    """Answers one controller."""

    def __init__(self, machine: Machine, channel: Channel, store: Optional[Store] = None) -> None:
        """Until the channel closes."""
        self._machine, self._channel, self._given = machine, channel, store
        self._verbs: Mapping[str, Callable[[Request], _Answer]] = {
            "hello": self._hello,
            "missing": self._missing,
            "import": self._import,
            "describe": self._describe,
            "export": self._export,
            "adopt": self._adopt,
            "plan": self._plan,
            "activate": self._activate,
            "attach": self._attach,
            "confirm": self._confirm,
            "cancel": self._cancel,
            "manifest": self._manifest,
            "status": self._status,
            "check": self._check,
            "settle": self._settle,
            "reboot": self._reboot,
            "unstage": self._unstage,
            "push": self._push,
            "observe": self._observe,
            **dict.fromkeys(("generations", "compare", "pin", "delete", "collect"), self._about_generations),
            "uninstall": self._uninstall,
        }

    def serve(self) -> None:
        """Serve requests, in order, until the other side closes."""
        while True:
            frame = self._channel.next()
            if frame is None:
                return
            document = frame.document() if frame.kind == JSON_KIND else None
            if document is None:
                raise FrameRefused("a request was expected")
            self._answer(Request(document))

    def _answer(self, request: Request) -> None:
        try:
            verb = self._verbs.get(request.string("verb"))
            if verb is None:
                raise RequestRefused("there is no such verb")
            answer: _Answer = {"id": request.id, "ok": verb(request)}
        except FrameRefused as error:
            self._channel.send({"id": request.id, "error": told(error)})
            if request.is_stream:
                raise
            return
        except DeployerError as error:
            answer = {"id": request.id, "error": told(error)}
        except UNEXPECTED as error:
            answer = {"id": request.id, "error": told(HostFailed(error))}
        self._channel.send(answer)

    # -- verbs -----------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _store(self) -> Store:
        from deployer.store import Store

        return self._given or Store(self._machine.disk.root)

    def _hello(self, _: Request) -> _Answer:
        from deployer.host.facts import host_facts

        return host_facts(self._machine).to_document()

    def _status(self, _: Request) -> _Answer:
        from deployer.host.facts import host_status

        return host_status(self._machine).to_document()

    def _missing(self, request: Request) -> _Answer:
        from deployer.host import importing

        return importing.missing(self._store, request.strings("paths"), request.strings("files"))

    def _describe(self, request: Request) -> _Answer:
        from deployer.host import exporting

        return exporting.describe(self._store, request.strings("hash_parts"))

    def _export(self, request: Request) -> _Answer:
        from deployer.host import exporting

        paths, compression = request.strings("paths"), request.string("compression")
        return exporting.export(self._store, paths, compression, self._channel.send_data)

    def _import(self, request: Request) -> _Answer:
        from deployer.host import importing
        from deployer.host.nix_beside import NixBeside

        def tell(path: str) -> None:
            self._channel.send({"id": request.id, "event": {"registered": path}})

        stream = self._channel.stream()
        try:
            NixBeside(self._store).keep_from_collecting()
            labels = self._prepared_labels(request)
            registered = importing.import_paths(self._store, request.string("compression"), request.number("paths"), stream, tell)
        finally:
            for _ in stream:
                pass
        if labels is not None:
            labels.label(registered)
        return {"registered": list(registered)}

    def _prepared_labels(self, request: Request) -> Optional[Labels]:
        """Where files have security labels: what labels the paths that are to come."""
        labels = self._machine.system.labels(self._machine.disk)
        if labels is None:
            return None
        from deployer.host.prepare import lay_out

        lay_out(self._machine.disk)
        self._store.layout.make()
        with self._channel.repeating({"id": request.id, "event": {"preparing": True}}):
            if labels.prepare() and self._machine.profile.current().number:
                self._machine.systemd.daemon_reload()  # PID 1 remembers what label a unit's file had
        return labels

    def _adopt(self, request: Request) -> _Answer:
        from deployer.formats import StorePath
        from deployer.host.paths import KIT

        tree = os.path.dirname(os.path.dirname(sys.executable))
        path = StorePath.parse(request.string("path"))
        kit = tree if tree.startswith(KIT) else ""
        self._machine.store.adopt(kit, str(path), request.string("nar_hash"), request.number("nar_size"))
        return {}

    def _manifest(self, request: Request) -> _Answer:
        system = request.string("system")
        if system not in self._machine.profile.generations().values():
            raise RequestRefused("it asks for the manifest of a system that is no generation of this host")
        return {"manifest": self._machine.store.manifest(system).to_bytes().decode()}

    def _plan(self, request: Request) -> _Answer:
        from deployer.formats.manifest import Manifest
        from deployer.host.verdict import plan_for

        manifest = Manifest.from_bytes(request.string("manifest").encode())
        system, repair, generation = request.string("system"), request.flag("repair"), request.number("generation")
        goal = request.string("goal") if request.has("goal") else ""
        return plan_for(self._machine, system, manifest, repair=repair, generation=generation, goal=goal).to_document()

    def _activate(self, request: Request) -> _Answer:
        from deployer.formats.messages import Activation
        from deployer.host.activate import Driver
        from deployer.host.booting import stage
        from deployer.host.prepare import prepare, unchanged
        from deployer.host.service import start
        from deployer.host.transaction import BOOT

        machine, asked = self._machine, Activation.from_document(request.rest())
        with self._living(request), held_for(machine):
            try:
                record, plan = prepare(machine, asked)
                if asked.goal == BOOT and (plan.actions or asked.system != plan.previous):
                    return stage(machine, asked, plan).to_document()
                if record is None:
                    return unchanged(machine, asked).to_document()
                start(machine, record)
            except (DeployerError, OSError) as error:
                if machine.journal.read().transaction == asked.transaction:
                    reason = error.message if isinstance(error, DeployerError) else str(error)
                    Driver(machine).take_over(f"it could not be started: {reason}")
                raise
        return self._follow(request, asked.transaction)

    def _attach(self, request: Request) -> _Answer:
        return self._follow(request, request.string("transaction"))

    def _follow(self, request: Request, transaction: str) -> _Answer:
        def tell(event: Dict[str, Any]) -> None:
            self._channel.send({"id": request.id, "event": event})

        with self._living(request):
            return follow.follow(self._machine, transaction, tell).to_document()

    def _living(self, request: Request) -> ContextManager[None]:
        """Inside the block we may be busy for long with nothing to tell: a disk is slow, a unit takes a minute to start."""
        return self._channel.repeating({"id": request.id, "event": ALIVE})

    def _confirm(self, request: Request) -> _Answer:
        return follow.confirm(self._machine, request.string("transaction"), request.string("token")).to_document()

    def _cancel(self, request: Request) -> _Answer:
        transaction, reason = request.string("transaction"), request.string("reason", missing="")
        return follow.cancel(self._machine, transaction, reason).to_document()

    def _check(self, _: Request) -> _Answer:
        from deployer.host.verdict import check_now

        return {"checks": [result.to_document() for result in check_now(self._machine)]}

    def _settle(self, _: Request) -> _Answer:
        """Finish what nobody drives any more. Raises `HostBusy` where somebody does."""
        from deployer.host.prepare import ready

        with held(self._machine):
            ready(self._machine)
        return {}

    def _reboot(self, request: Request) -> _Answer:
        from deployer.host.booting import reboot

        with held_for(self._machine):
            reboot(self._machine, request.string("transaction"))
        return {}

    def _unstage(self, _: Request) -> _Answer:
        from deployer.host.booting import unstage

        with held_for(self._machine):
            return {"unstaged": unstage(self._machine)}

    def _push(self, request: Request) -> _Answer:
        from deployer.host.booting import push

        with held_for(self._machine):
            return {"held": push(self._machine, request.string("system"))}

    def _observe(self, request: Request) -> _Answer:
        from deployer.host.verdict import observe_now

        return {"drift": [item.to_document() for item in observe_now(self._machine, request.strings("ignore"))]}

    def _about_generations(self, request: Request) -> _Answer:
        from deployer.host.generation_verbs import answer

        return answer(self._machine, self._store, request)

    def _uninstall(self, request: Request) -> _Answer:
        from deployer.host import uninstall

        dry_run, discard = request.flag("dry_run"), request.flag("discard_kept")
        with self._channel.repeating({"id": request.id, "event": {"uninstalling": True}}):
            actions = uninstall.uninstall(self._machine, dry_run=dry_run, discard_kept=discard)
        return {"actions": [action.to_document() for action in actions]}


@contextlib.contextmanager
def held_for(machine: Machine) -> Iterator[None]:
    """Hold the lock inside the block, with our directory made first. Raises `HostBusy`."""
    from deployer.host.prepare import check_space, lay_out

    check_space(machine.disk)
    lay_out(machine.disk)
    with held(machine):
        yield


@contextlib.contextmanager
def held(machine: Machine) -> Iterator[None]:
    """Hold the lock inside the block. A service that is just ending may hold it for a moment more. Raises `HostBusy`."""
    from deployer.host.prepare import busy

    with locked(machine.disk, 1.0) as ours:
        if not ours:
            raise busy(machine, machine.journal.read())
        yield
