"""The builder's verbs: `deployer.formats.building` says what they are asked and what they answer."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
from pathlib import Path
from typing import Callable, Final, Mapping, Optional, Set, Tuple

from deployer.errors import DeployerError
from deployer.formats import StorePath
from deployer.formats.building import BUBBLEWRAP_TREE, BuilderFacts, BuildOrder, Made
from deployer.formats.frames import JSON_KIND, FrameRefused
from deployer.formats.hashes import Hash
from deployer.host import importing
from deployer.host.building.builds import Builds
from deployer.host.building.errors import BuilderFull
from deployer.host.building.facts import builder_facts, try_sandbox
from deployer.host.building.presence import During, Presence
from deployer.host.refusals import RequestRefused
from deployer.host.request import UNEXPECTED, Answer, HostFailed, Request, told
from deployer.sandbox import end_orphans
from deployer.sandbox.scratch import clear
from deployer.store import Store, collect, delete
from deployer.store.owners import is_abandoned

_PATIENCE: Final = 60.0
"""Seconds, until the controller says how often it will be heard."""
_LONGEST_PATIENCE: Final = 3600
_RESERVE: Final = 64 << 20
"""Bytes that the inputs of a build must leave free."""
_SPARE: Final = 20
"""Where less than one part in so many would be free, what no build needs goes first."""


class BuilderServer:
    """Builds for one controller, one build at a time."""

    def __init__(self, root: Path, reading: int, writing: int) -> None:
        """`root`: where the store is, and below it everything else that is ours."""
        self._store = Store(root)
        self._channel = Presence(reading, writing, _PATIENCE)
        self._builds = Builds(self._store)
        ours = Path(sys.argv[0])
        if ours.parent == self._store.layout.store:  # Parts of us are read as they are needed.
            self._store.keep([f"{self._store.store_dir}/{ours.name}"])
        self._bubblewrap: Optional[Tuple[str, ...]] = None
        """Known when a sandbox was tried; nothing where our own warden makes them."""
        self._verbs: Mapping[str, Callable[[Request], Answer]] = {
            "hello": self._hello,
            "probe": self._probe,
            "differing": self._differing,
            "missing": self._missing,
            "room": self._room,
            "import": self._import,
            "build": self._build,
            "export": self._export,
            "adopt": self._adopt,
        }

    @functools.cached_property
    def _facts(self) -> BuilderFacts:
        """To find them out starts a sandbox, so that is done once."""
        return builder_facts(self._store.root)

    def serve(self) -> None:
        """Serve requests, in order, until the other side closes or is heard no more."""
        try:
            while True:
                frame = self._channel.next()
                if frame is None:
                    return
                if frame.kind != JSON_KIND:
                    raise FrameRefused("a request was expected")
                self._answer(Request(frame.document()))
        finally:
            self._builds.clear()

    def _answer(self, request: Request) -> None:
        try:
            verb = self._verbs.get(request.string("verb"))
            if verb is None:
                raise RequestRefused("there is no such verb")
            answer: Answer = {"id": request.id, "ok": verb(request)}
        except DeployerError as error:
            answer = {"id": request.id, "error": told(error)}
        except UNEXPECTED as error:
            answer = {"id": request.id, "error": told(HostFailed(error))}
        self._channel.send(answer)

    def _hello(self, request: Request) -> Answer:
        self._channel.patience = float(min(max(request.number("patience"), 1), _LONGEST_PATIENCE))
        end_orphans()
        self._sweep()
        return self._facts.to_document()

    def _sweep(self) -> None:
        """Remove the directories of builds whose process was killed."""
        aside = self._store.temporary_directory
        for name in os.listdir(aside) if aside.is_dir() else ():
            if is_abandoned(name):
                with contextlib.suppress(FileNotFoundError):  # Another that came at the same time had the same thought.
                    place = self._store.batch().place()
                    os.rename(aside / name, place)
                    clear(Path(place))

    def _probe(self, request: Request) -> Answer:
        sent = request.string("bubblewrap")
        bubblewrap: Tuple[str, ...] = (self._facts.bubblewrap,) if self._facts.sandbox_refusal else ()
        if sent:
            tree = self._store.physical(StorePath.parse(sent))
            loader, libraries, program = (str(tree / part) for part in BUBBLEWRAP_TREE)
            bubblewrap = (loader, "--library-path", libraries, program)
        if bubblewrap:
            try_sandbox(bubblewrap)
        self._bubblewrap = bubblewrap
        return {}

    def _differing(self, request: Request) -> Answer:
        wanted = request.texts("hashes")
        found: Set[str] = set()
        for path in self._store.valid(wanted):
            if Hash.parse(self._store.query(path).nar_hash) != Hash.parse(wanted[path]):
                found.add(path)
        todo = list(found)
        while todo:
            more = set(self._store.referrers(todo.pop())) - found
            found |= more
            todo.extend(more)
        if found:
            delete(self._store, sorted(found))
        return {"removed": [*sorted(found)]}

    def _missing(self, request: Request) -> Answer:
        paths = request.strings("paths")
        for path in paths:
            StorePath.parse(path)
        self._store.keep(paths)
        return importing.missing(self._store, paths, request.strings("files"))

    def _room(self, request: Request) -> Answer:
        size = request.number("bytes")
        if self._free()[0] - size < max(_RESERVE, self._free()[1] // _SPARE):
            collect(self._store)
        free = self._free()[0]
        if free < size + _RESERVE:
            raise BuilderFull(size, free, str(self._store.root))
        return {}

    def _free(self) -> Tuple[int, int]:
        usage = shutil.disk_usage(self._store.layout.store)
        return usage.free, usage.total

    def _import(self, request: Request) -> Answer:
        def tell(path: str) -> None:
            self._channel.send({"id": request.id, "event": {"registered": path}})

        stream = self._channel.stream()
        try:
            registered = importing.import_paths(self._store, request.string("compression"), request.number("paths"), stream, tell)
        finally:
            for _ in stream:
                pass
        return {"registered": list(registered)}

    def _build(self, request: Request) -> Answer:
        order = BuildOrder.from_document(request.rest())
        if self._bubblewrap is None:
            raise RequestRefused("a sandbox must be tried before the first build")
        for path in (*order.inputs, *order.outputs.values(), order.derivation, *filter(None, [order.toolchain])):
            StorePath.parse(path, self._store.store_dir)
        if self._store.valid(order.inputs) != set(order.inputs):
            raise RequestRefused("an input of a build is not valid here")
        return self._builds.run(order, self._bubblewrap, During(self._channel, request.id)).to_document()

    def _export(self, request: Request) -> Answer:
        self._builds.export(request.strings("outputs"), self._channel.send_data)
        return {}

    def _adopt(self, request: Request) -> Answer:
        self._builds.adopt([Made.from_document(document) for document in request.documents("made")])
        return {}
