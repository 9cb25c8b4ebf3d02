"""Health checks: green in time and for as long as asked, or red with a reason; never endless."""

from __future__ import annotations

import dataclasses
import http.server
import os
import socket
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deployer.formats.manifest import Check, Timing
from deployer.formats.messages import CheckResult
from deployer.host import asking, checks, probes
from deployer.host.checks import Baseline, run_checks, take_baseline
from deployer.host.probes import Prober
from deployer.host.readings import Attempt
from deployer.host.unit_state import UnitState
from tests.host.trickling import trickling

BRIEF = Timing(check_deadline=1.0)
ONCE = Timing(check_deadline=0.0)


class Server:
    """Answers HTTP in a thread: each path by its own list of answers, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                answers = outer.answers.get(self.path, [(404, b"nothing here")])
                status, body = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/ok")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.answers["/ok"] = [(200, b"all is well")]
    yield server
    server.close()


def check(kind: str, **fields: Any) -> Check:
    return Check("it", kind, **{"interval": 0.01, "timeout": 0.5, **fields})


def outcome(*checks: Check, timing: Timing = BRIEF, **more: Any) -> list[CheckResult]:
    return list(run_checks(checks, timing, report=lambda result: None, **{"should_stop": lambda: False, **more}))


def attempt(check: Check) -> Attempt:
    return Prober().attempt(check)


class TestHttp:
    """A status, perhaps a text, and no detours."""

    def test_the_right_status_is_healthy(self, server: Server) -> None:
        assert attempt(check("http", url=f"{server.url}/ok")) == Attempt(True, f"{server.url}/ok answered 200")
        assert attempt(check("http", url=f"{server.url}/ok", body="is well")).healthy
        assert attempt(check("http", url=f"{server.url}/no", status=404)).healthy

    def test_another_status_or_text_is_not(self, server: Server) -> None:
        server.answers["/bad"] = [(503, b"\x1b[31mdown\nfor now")]

        found = attempt(check("http", url=f"{server.url}/bad"))
        assert found == Attempt(False, f"{server.url}/bad answered 503, and 200 is healthy: [31mdown for now")
        assert "without the text 'well done'" in attempt(check("http", url=f"{server.url}/ok", body="well done")).message

    def test_a_redirect_is_an_answer_and_is_not_followed(self, server: Server) -> None:
        server.answers["/moved"] = [(302, b"")]

        assert not attempt(check("http", url=f"{server.url}/moved")).healthy
        assert attempt(check("http", url=f"{server.url}/moved", status=302)).healthy
        assert "/ok" not in server.asked

    @pytest.mark.parametrize(
        "url", ["file:///etc/passwd", "ftp://127.0.0.1/", "http:///x", "http://a:b@127.0.0.1/", "/etc/passwd", "http://[::1"]
    )
    def test_other_addresses_are_refused(self, url: str) -> None:
        assert not attempt(check("http", url=url)).healthy

    @pytest.mark.parametrize(
        "host", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "100.100.100.200", "0xa9fea9fe"]
    )
    def test_the_metadata_of_clouds_is_not_asked_for(self, host: str) -> None:
        found = attempt(check("http", url=f"http://{host}/secrets"))

        assert found.message.endswith("is an address at which clouds keep a machine's secrets; checks do not go there")
        assert not attempt(check("tcp", address=host.strip("[]"), port=80)).healthy

    def test_a_refused_connection_is_told(self) -> None:
        assert "refused" in attempt(check("http", url="http://127.0.0.1:1/")).message

    def test_an_answer_that_trickles_in_is_cut_off(self) -> None:
        with trickling(b"HTTP/1.1 200 OK\r\n\r\n") as url:
            began = time.monotonic()
            found = attempt(check("http", url=url, timeout=0.4))

        assert found == Attempt(False, "no answer within 0.4 s")
        assert time.monotonic() - began < 2

    def test_a_large_answer_is_read_up_to_the_bound(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asking, "LARGEST_READING", 10)
        server.answers["/long"] = [(200, b"0123456789needle")]

        assert attempt(check("http", url=f"{server.url}/long", body="9")).healthy
        assert not attempt(check("http", url=f"{server.url}/long", body="needle")).healthy


class TestTcpAndCommand:
    """A port that accepts; a program that ends with 0."""

    def test_a_port(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            assert attempt(check("tcp", port=port)).healthy
        assert not attempt(check("tcp", port=port)).healthy
        assert not attempt(check("tcp", port=70000)).healthy

    def test_a_program(self) -> None:
        assert attempt(check("command", command=("/bin/true",))) == Attempt(True, "/bin/true ended with 0")
        found = attempt(check("command", command=("/bin/sh", "-c", "echo so; echo $0 >&2; exit 3", "$HOME;x")))
        assert found == Attempt(False, "/bin/sh ended with 3: $HOME;x")
        assert "killed by signal 9" in attempt(check("command", command=("/bin/sh", "-c", "kill -9 $$"))).message

    def test_a_program_that_hangs_or_is_missing(self) -> None:
        assert "did not end within 0.2 s" in attempt(check("command", command=("/bin/sleep", "9"), timeout=0.2)).message
        assert "not installed" in attempt(check("command", command=("/no/such",))).message
        assert not attempt(check("command")).healthy

    def test_a_kind_and_a_key_that_nobody_knows(self) -> None:
        assert attempt(check("prayer")) == Attempt(False, "there is no kind of check 'prayer'")
        assert "does not know its `color`" in attempt(check("tcp", port=1, unknown="color")).message

    def test_a_file(self, tmp_path: Path) -> None:
        file, pipe = tmp_path / "file", tmp_path / "pipe"
        file.write_text("state: ok\n")
        os.mkfifo(pipe)

        assert attempt(check("file", path=str(file), pattern="^state: ok$", max_age=600)).healthy
        found = attempt(check("file", path=str(file), pattern="^state: bad"))
        assert found == Attempt(False, f"{file} is there without a match of '^state: bad'")
        os.utime(file, (0, 0))
        assert not attempt(check("file", path=str(file), max_age=600)).healthy
        assert attempt(check("file", path=str(tmp_path / "none"))) == Attempt(False, f"{tmp_path}/none is not there")
        assert attempt(check("file", path=str(file / "below"))).message.endswith("is not there")
        assert attempt(check("file", path=str(pipe), pattern="x")).message.endswith("is no regular file")
        assert not attempt(check("file", path="/x\0y")).healthy


class SeenSystemd:
    """A unit in one state after the other; the last one stays."""

    def __init__(self, *states: UnitState) -> None:
        self._states = list(states)

    def states(self, names: Collection[str]) -> Mapping[str, UnitState]:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return dict.fromkeys(names, state)


def unit_attempt(*states: UnitState, restarts: Mapping[str, int] | None = None) -> Attempt:
    return Prober(SeenSystemd(*states), restarts).attempt(check("unit", unit="a.service"))  # type: ignore[arg-type]


def running(**fields: Any) -> UnitState:
    return UnitState("loaded", "active", "running", **fields)


class TestUnits:
    """Active, for a moment at least, and not restarted since."""

    def test_an_active_unit_is_healthy_whatever_it_went_through_before(self) -> None:
        assert unit_attempt(running()) == Attempt(True, "a.service is active (running)")
        assert unit_attempt(running(n_restarts=5)).healthy
        assert unit_attempt(running(n_restarts=5), restarts={"a.service": 5}).healthy
        assert unit_attempt(running(n_restarts=0), restarts={"a.service": 5}).healthy

    def test_one_that_was_restarted_is_not(self) -> None:
        assert unit_attempt(running(n_restarts=7), restarts={"a.service": 5}).message.endswith(
            "restarted 2 times since the activation"
        )
        assert unit_attempt(running(n_restarts=2), restarts={"a.service": 5}).message.endswith(
            "restarted 2 times since the activation"
        )
        prober = Prober(SeenSystemd(running(), running(n_restarts=1)))  # type: ignore[arg-type]
        assert [prober.attempt(check("unit", unit="a.service")).healthy for _ in range(3)] == [True, False, False]

    def test_one_that_is_not_active_is_not(self) -> None:
        failed = UnitState("loaded", "failed", "failed", result="exit-code", exit_status=1)
        assert unit_attempt(failed).message == "a.service is failed (failed, result exit-code, status 1)"
        assert not unit_attempt(UnitState("loaded", "activating", "start")).healthy

    def test_one_may_use_so_much_memory(self) -> None:
        prober = Prober(SeenSystemd(running(memory=300 << 20)))  # type: ignore[arg-type]
        small, large = (check("unit", unit="a.service", memory_max=size << 20) for size in (256, 512))

        assert prober.attempt(large) == Attempt(True, "a.service is active (running) and uses 300.0 MiB")
        assert prober.attempt(small) == Attempt(False, "a.service uses 300.0 MiB, and 256.0 MiB is the most")
        uncounted = Prober(SeenSystemd(running())).attempt(large)  # type: ignore[arg-type]
        assert (uncounted.healthy, "can't be told" in uncounted.message) == (False, True)

    def test_one_that_has_just_started_is_looked_at_twice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        slept: list[float] = []
        monkeypatch.setattr("time.sleep", slept.append)
        now = time.clock_gettime(time.CLOCK_MONOTONIC)
        young = running(active_since=now, main_pid=7)

        assert unit_attempt(young, dataclasses.replace(young, memory=1)).healthy
        assert 0 < slept[0] <= 1
        assert "does not stay active" in unit_attempt(young, UnitState("loaded", "failed", "failed")).message
        assert not unit_attempt(young, running(active_since=now + 0.1, main_pid=8)).healthy


class JournalSystemd:
    """A journal that grows by some lines each time that it is read; a cursor is how many were read."""

    def __init__(self, *pieces: list[str]) -> None:
        self._pieces = list(pieces)
        self._lines: list[str] = []
        self.asked: list[tuple[str, str]] = []

    def journal_lines(self, *, after: str, unit: str, timeout: float) -> tuple[list[str], str]:
        self.asked.append((after, unit))
        self._lines += self._pieces.pop(0) if self._pieces else []
        return self._lines[int(after or 0) :], str(len(self._lines))

    def states(self, names: Collection[str]) -> Mapping[str, UnitState]:
        return dict.fromkeys(names, running())


class TestJournal:
    """Free of a pattern since the activation began, and read only once."""

    def test_each_line_is_read_once_from_where_the_activation_began(self) -> None:
        systemd: Any = JournalSystemd(["panic: old", "well"], ["fine"])
        prober = Prober(systemd, journal="1")
        probed = check("journal", pattern="panic", unit="a.service")

        assert prober.attempt(probed) == Attempt(True, "the journal of a.service is free of 'panic'")
        assert prober.attempt(probed).healthy
        assert systemd.asked == [("1", "a.service"), ("2", "a.service")]

    def test_what_was_found_once_stays_found(self) -> None:
        systemd: Any = JournalSystemd(["all", "Kernel panic: \x1b[1mx"], [])
        prober = Prober(systemd)

        found = [prober.attempt(check("journal", pattern="panic")) for _ in range(2)]

        assert found == [Attempt(False, "the journal says: Kernel panic: [1mx")] * 2
        assert len(systemd.asked) == 1

    def test_the_journal_counts_at_the_end_too(self) -> None:
        systemd: Any = JournalSystemd(["well"], ["panic"])

        (result,) = outcome(check("journal", pattern="panic"), systemd=systemd)

        assert (result.healthy, result.message) == (False, "it was green, and turned red: the journal says: panic")

    def test_the_baseline_does_not_read_it(self) -> None:
        systemd: Any = JournalSystemd(["panic"])

        assert take_baseline([check("journal", pattern="panic")], systemd) == Baseline(frozenset(), {})
        assert systemd.asked == []


class TestGate:
    """All checks together."""

    def test_no_checks_are_green(self) -> None:
        assert outcome() == []

    def test_a_check_may_take_until_the_deadline(self, server: Server) -> None:
        server.answers["/slow"] = [(503, b""), (503, b""), (200, b"")]

        (result,) = outcome(check("http", url=f"{server.url}/slow"))

        assert (result.healthy, result.attempts, result.was_red_before) == (True, 3, False)
        assert result.seconds > 0

    def test_what_is_red_at_the_deadline_is_red_with_its_last_words(self) -> None:
        began = time.monotonic()

        (result,) = outcome(check("command", command=("/bin/sh", "-c", "echo no >&2; false")), timing=Timing(check_deadline=0.3))

        assert (result.healthy, result.message) == (False, "/bin/sh ended with 1: no")
        assert result.attempts > 1
        assert time.monotonic() - began < 2

    def test_checks_run_side_by_side_and_keep_their_order(self) -> None:
        began = time.monotonic()
        sleepers = [Check(f"c{number}", "command", command=("/bin/sleep", "0.4"), interval=0.01) for number in range(5)]

        results = outcome(*sleepers, timing=Timing(check_deadline=5))

        assert [result.name for result in results] == ["c0", "c1", "c2", "c3", "c4"]
        assert all(result.healthy for result in results)
        assert time.monotonic() - began < 1.8

    def test_successes_must_follow_each_other(self, server: Server) -> None:
        server.answers["/shaky"] = [(200, b""), (503, b""), (200, b""), (200, b""), (503, b"")]

        (result,) = outcome(check("http", url=f"{server.url}/shaky", successes=2))
        assert (result.healthy, result.attempts) == (True, 4)

        server.answers["/fair"] = [(200, b""), (200, b"")]
        (result,) = outcome(check("http", url=f"{server.url}/fair", successes=5, interval=0.3), timing=Timing(check_deadline=0.5))
        assert "but not 5 times in a row" in result.message
        assert not result.healthy

    def test_a_result_says_what_was_probed(self, server: Server) -> None:
        results = outcome(check("http", url=f"{server.url}/ok"), Check("c", "command", command=("/bin/true",)))

        assert [(result.name, result.kind) for result in results] == [("it", "http"), ("c", "command")]

    def test_an_attempt_that_hangs_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        let_go = threading.Event()
        monkeypatch.setattr(probes, "_tcp", lambda check: Attempt(let_go.wait(30), ""))
        began = time.monotonic()

        (result,) = outcome(check("tcp"), timing=Timing(check_deadline=0.3))

        assert (result.healthy, result.message) == (False, "it had not answered after 0.3 s")
        assert time.monotonic() - began < 2
        let_go.set()

    def test_somebody_who_wants_to_stop_is_heard(self) -> None:
        began = time.monotonic()

        (result,) = outcome(
            check("command", command=("/bin/false",)),
            timing=Timing(check_deadline=60),
            should_stop=lambda: time.monotonic() - began > 0.3,
        )

        assert not result.healthy
        assert time.monotonic() - began < 3

    def test_the_first_attempt_may_be_delayed(self, server: Server) -> None:
        (result,) = outcome(check("http", url=f"{server.url}/ok", initial_delay=0.3))

        assert result.healthy
        assert result.seconds >= 0.3

    def test_all_must_stay_green(self, server: Server, tmp_path: Path) -> None:
        server.answers["/falls"] = [(200, b""), (200, b""), (503, b"")]
        reported: list[CheckResult] = []
        began = time.monotonic()

        results = run_checks(
            [check("http", url=f"{server.url}/falls"), Check("other", "command", command=("/bin/true",), interval=0.05)],
            Timing(check_deadline=5, min_healthy_time=20),
            report=reported.append,
            should_stop=lambda: False,
        )

        assert [result.healthy for result in results] == [False, True]
        assert results[0].message.startswith("it was green, and turned red: ")
        assert {result.name: result.healthy for result in reported} == {"it": False, "other": True}
        assert time.monotonic() - began < 5

    def test_staying_green_takes_as_long_as_asked(self, server: Server) -> None:
        began = time.monotonic()

        (result,) = outcome(check("http", url=f"{server.url}/ok"), timing=Timing(check_deadline=5, min_healthy_time=0.5))

        assert result.healthy
        assert result.attempts > 3
        assert 0.5 <= time.monotonic() - began < 3

    def test_a_check_turns_red_after_as_many_failures_as_it_says(self, server: Server) -> None:
        server.answers["/shaky"] = [(200, b""), (503, b""), (503, b""), (200, b"")]
        server.answers["/gone"] = [(200, b""), (503, b"")]
        lasting = Timing(check_deadline=5, min_healthy_time=0.5)

        (shaky,) = outcome(check("http", url=f"{server.url}/shaky", failures=3), timing=lasting)
        (gone,) = outcome(check("http", url=f"{server.url}/gone", failures=3), timing=lasting)

        assert (shaky.healthy, shaky.attempts > 4) == (True, True)
        assert (gone.healthy, gone.attempts) == (False, 4)

    def test_many_checks_run_side_by_side_but_not_without_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "_AT_ONCE", 3)
        lock, running, most = threading.Lock(), [0], [0]

        def probe(_: Check) -> Attempt:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.02)
            with lock:
                running[0] -= 1
            return Attempt(True, "")

        monkeypatch.setattr(probes, "_tcp", probe)
        results = outcome(*(Check(f"c{number}", "tcp") for number in range(20)), timing=Timing(check_deadline=20))

        assert (sum(result.healthy for result in results), most[0]) == (20, 3)

    def test_each_result_is_reported_once(self, server: Server) -> None:
        reported: list[CheckResult] = []
        checks = [Check(name, "http", url=f"{server.url}/{path}", interval=0.05) for name, path in (("a", "ok"), ("b", "no"))]

        run_checks(checks, Timing(check_deadline=0.4), report=reported.append, should_stop=lambda: False)

        assert [(result.name, result.healthy) for result in reported] == [("a", True), ("b", False)]

    def test_a_single_attempt_without_a_deadline(self, server: Server) -> None:
        server.answers["/late"] = [(503, b""), (200, b"")]

        results = outcome(
            check("http", url=f"{server.url}/late", initial_delay=60),
            Check("ok", "http", url=f"{server.url}/ok", successes=9),
            timing=ONCE,
        )

        assert [(result.healthy, result.attempts) for result in results] == [(False, 1), (True, 1)]

    def test_what_was_red_before_is_said(self, server: Server) -> None:
        server.answers["/was-red"] = [(503, b""), (200, b"")]
        checks = [check("http", url=f"{server.url}/was-red"), Check("ok", "http", url=f"{server.url}/ok")]

        baseline = take_baseline(checks)

        assert baseline == Baseline(frozenset({"it"}), {})
        results = outcome(*checks, baseline=baseline)
        assert [(result.healthy, result.was_red_before) for result in results] == [(True, True), (True, False)]

    def test_what_was_red_before_and_stays_red_says_so_in_words(self, server: Server) -> None:
        server.answers["/red"] = [(503, b"")]
        server.answers["/relapse"] = [(503, b""), (200, b""), (503, b"")]
        red, relapse = Check("red", "http", url=f"{server.url}/red"), Check("relapse", "http", url=f"{server.url}/relapse")
        baseline = take_baseline([red, relapse])

        results = outcome(red, baseline=baseline, timing=Timing(check_deadline=0.2))
        results += outcome(relapse, baseline=baseline, timing=Timing(check_deadline=5, min_healthy_time=5))

        assert [(result.healthy, result.was_red_before) for result in results] == [(False, True)] * 2
        assert ["it was red before this deploy" in result.message for result in results] == [True, False]

    def test_a_unit_that_the_switch_started_counts_its_restarts_from_0(self) -> None:
        systemd: Any = SeenSystemd(running(n_restarts=3), running(n_restarts=3))
        unit = check("unit", unit="a.service")

        baseline = take_baseline([unit], systemd).begun_anew(["a.service"])

        (result,) = outcome(unit, baseline=baseline, systemd=systemd, timing=Timing(check_deadline=0.2))
        assert "restarted 3 times since the activation" in result.message

    def test_restarts_are_counted_from_the_baseline(self) -> None:
        systemd: Any = SeenSystemd(running(n_restarts=3), running(n_restarts=3), running(n_restarts=4))
        unit = check("unit", unit="a.service")

        baseline = take_baseline([unit], systemd)

        assert baseline == Baseline(frozenset(), {"a.service": 3})
        (result,) = outcome(unit, baseline=baseline, systemd=systemd, timing=Timing(check_deadline=0.2))
        assert not result.healthy
