"""What people see, as recorded text."""

import io
import json
from pathlib import Path

import pytest

from deployer.errors import ConfigurationError, Place
from deployer.formats.messages import Action, CheckResult, DriftItem, Plan, Problem
from deployer.rollout import events
from deployer.rollout.events import Event, parse_event
from deployer.ui import JsonSink, Paint, PlainSink, drift_table, escape, render_error, render_plan, sink_for
from deployer.ui.live import Board
from deployer.ui.text import duration, size

STORY: tuple[Event, ...] = (
    events.HostUnchanged("web3", 4),
    events.RolloutStarted(7, (("web1",), ("web2",)), ("web3",)),
    events.WaveStarted(1, 2, ("web1",), canary=True),
    events.HostStarted("web1", 1),
    events.ClosureCopied("web1", 2048, 3),
    events.HostPhase("web1", "switching"),
    events.ActionDone("web1", Action("unit", "restart", "hello.service")),
    events.ActionDone("web1", Action("kept", "add", "/var/lib/deployer/kept/1-motd", "/etc/motd: it was changed by hand")),
    events.HostLog("web1", "bad \x1b[31mred"),
    events.CheckReported("web1", CheckResult("page", healthy=False, message="status 500")),
    events.CheckReported("web1", CheckResult("door", healthy=False, message="shut", from_controller=True)),
    events.HostRolledBack("web1", "check page: status 500", ("Traceback",)),
    events.RolloutStopped("the canary web1 is not good"),
    events.RolloutFinished(
        7, "stopped", 1, {"web1": "rolled-back", "web2": "not-started", "web3": "unchanged"}, "the canary web1 is not good", 12.4
    ),
)

TOLD = """\
Rollout 7: 2 hosts in 2 waves, 1 unchanged
Wave 1 of 2 (canary): 1 host
web1: started
web1: copied 3 paths, 2.0 KiB
web1: switching
web1: kept /var/lib/deployer/kept/1-motd (/etc/motd: it was changed by hand)
web1: check page not healthy: status 500
web1: check door (from the controller) not healthy: shut
web1: rolled back: check page: status 500
Stopping: the canary web1 is not good

web1: rolled back: check page: status 500
    check page: status 500
    check door (from the controller): shut
    | Traceback
    Next: deployer deploy --on web1 --dry-run

Rollout 7 stopped in 12 s: the canary web1 is not good (1 unchanged, 1 not started, 1 rolled back)
"""

PLANNED = """\
3 hosts (web1, web2, web3): +2 ~1

  + etc /etc/hello.conf
  ~ unit restart hello.service  # the unit changed: ExecStart
  + unit start other.service

db1: no change

  ! /etc/motd: it was there before
      Say `replace: true`.

Plan: 6 to add, 3 to change, 0 to remove on 3 of 5 hosts. 1 host cannot be changed: see the lines marked '!'.
"""


def test_a_rollout_is_told_in_plain_lines() -> None:
    stream = io.StringIO()
    sink = PlainSink(stream)

    for event in STORY:
        sink(event)

    assert stream.getvalue() == TOLD


def test_events_as_json_lines_can_be_read_back() -> None:
    stream = io.StringIO()
    sink = JsonSink(stream, clock=lambda: 0.0)

    for event in STORY:
        sink(event)

    documents = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert documents[0] == {
        "time": "1970-01-01T00:00:00.000Z",
        "event": "host_unchanged",
        "host": "web3",
        "generation": 4,
        "system": "",
    }
    assert tuple(parse_event(document) for document in documents) == STORY


def test_equal_plans_are_told_once() -> None:
    actions = (
        Action("etc", "add", "/etc/hello.conf"),
        Action("unit", "restart", "hello.service", "the unit changed: ExecStart"),
        Action("unit", "start", "other.service"),
    )
    plans = {name: Plan("/nix/store/x-system", "", 1, actions) for name in ("web1", "web2", "web3")}
    plans["web4"] = Plan("/nix/store/x-system", "/nix/store/x-system", 1)
    plans["db1"] = Plan("/nix/store/y-system", "", 1, (), (Problem("/etc/motd", "it was there before", "Say `replace: true`."),))

    assert render_plan(plans) == PLANNED


def test_nothing_from_a_host_can_steer_the_terminal() -> None:
    assert escape("a\x1b[2Jb\rc\u202ed\x9b") == "a\\x1b[2Jb\\rc\\u202ed\\x9b"
    assert escape("zwölf\ttabs") == "zwölf    tabs"


def test_colours_need_a_terminal_and_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    assert not Paint.for_stream(stream, {"TERM": "xterm"}).enabled
    monkeypatch.setattr(stream, "isatty", lambda: True)
    assert Paint.for_stream(stream, {"TERM": "xterm"}).enabled
    assert not Paint.for_stream(stream, {"TERM": "xterm", "NO_COLOR": "1"}).enabled
    assert isinstance(sink_for(out=io.StringIO(), err=io.StringIO()), PlainSink)


class Misspelled(ConfigurationError):
    """An error with a place."""

    def __init__(self, place: Place) -> None:
        self.place = place

    message = "there is no option 'chek'"
    remedy = "Did you mean 'check'?"


def test_an_error_shows_the_line_and_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text("a: 1\n  chek: 2\n")

    text = render_error(Misspelled(Place(str(file), 2, 3)))

    assert text == (f"error: {file}:2:3: there is no option 'chek'\n  2 │   chek: 2\n    │   ^\n  → Did you mean 'check'?\n")


def test_drift_is_counted() -> None:
    drift = {"web1": (DriftItem("etc", "/etc/motd", "ours", "theirs"),), "web2": ()}

    assert drift_table(drift) == (
        "HOST  KIND  TARGET     DECLARED  OBSERVED\nweb1  etc   /etc/motd  ours      theirs\n1 difference on 1 of 2 hosts.\n"
    )


def test_the_board_shows_what_is_under_way_when_not_all_fit() -> None:
    board = Board(clock=lambda: 0.0)
    for number in range(10):
        board.add(events.HostUnchanged(f"web{number}"))
    board.add(events.HostStarted("web8", 1))
    board.add(events.HostFailed("web5", {"message": "no space"}))

    rows, hidden = board.shown(3)

    assert [row.host for row in rows] == ["web5", "web8"]
    assert hidden == 8


def test_sizes_and_times() -> None:
    assert [size(0), size(1536), size(211 << 20)] == ["0 B", "1.5 KiB", "211 MiB"]
    assert [duration(0.44), duration(59.7), duration(200), duration(7500)] == ["0.4 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]


def test_every_event_is_in_the_reference() -> None:
    reference = (Path(__file__).parents[2] / "docs/reference/json.md").read_text()

    missing = [name for name in events.event_names() if f"| `{name}` |" not in reference]

    assert missing == []
