"""The table of unit switching."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployer.formats.manifest import Unit
from deployer.host.unit_files import declared
from deployer.host.unit_names import is_template, template_of
from deployer.host.unit_switch import UnitSwitch, plan_units

A = "[Service]\nExecStart=/bin/a\n"
B = "[Service]\nExecStart=/bin/b\n"
A_STOPS = A + "ExecStop=/bin/s\n"
B_STOPS = B + "ExecStop=/bin/s\n"
UNIT_A = "[Unit]\nAfter=a.target\n"
UNIT_B = "[Unit]\nAfter=b.target\n"


def decide(previous: list[Unit], following: list[Unit], active: str = "", shipped: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """What happens, without what does not."""
    switch = plan_units(previous, following, set(active.split()), shipped=shipped)
    found = {verb: list(getattr(switch, verb)) for verb in ("stop", "reload", "restart", "start")} | {"skip": list(switch.skip)}
    for verb in ("stop", "reload", "restart", "start"):
        assert all(name in switch.reasons for name in found[verb])
    return {verb: names for verb, names in found.items() if names}


def web(text: str, name: str = "web.service", **more: Any) -> list[Unit]:
    return [Unit(name, text, **more)]


@pytest.mark.parametrize(
    ("old", "new", "active", "expected"),
    [
        pytest.param(A, A, True, {}, id="identical"),
        pytest.param(A, "[Service]\n# note\nExecStart = /bin/a\n[Unit]\nDescription=x\n", True, {}, id="cosmetic"),
        pytest.param(A, B, True, {"restart": ["web.service"]}, id="changed"),
        pytest.param(
            A_STOPS, B_STOPS, True, {"stop": ["web.service"], "start": ["web.service"]}, id="changed, and a program stops it"
        ),
        pytest.param(
            A_STOPS, B, True, {"stop": ["web.service"], "start": ["web.service"]}, id="changed, and a program stopped it"
        ),
        pytest.param(
            A,
            B + "ExecStopPost=/bin/s\n",
            True,
            {"stop": ["web.service"], "start": ["web.service"]},
            id="changed, and a program stops it now",
        ),
        pytest.param(
            A, A + "KillSignal=SIGINT\n", True, {"stop": ["web.service"], "start": ["web.service"]}, id="changed in how it stops"
        ),
        pytest.param(
            A,
            A + "RuntimeDirectory=a\n",
            True,
            {"stop": ["web.service"], "start": ["web.service"]},
            id="changed in what goes when it stops",
        ),
        pytest.param(A, B, False, {"start": ["web.service"]}, id="changed and not running"),
        pytest.param(A, A, False, {"start": ["web.service"]}, id="not running"),
        pytest.param(A, None, True, {"stop": ["web.service"]}, id="gone"),
        pytest.param(A, None, False, {}, id="gone and not running"),
        pytest.param(None, A, False, {"start": ["web.service"]}, id="new"),
        pytest.param("[Unit]\nX-StopOnRemoval=false\n" + A, None, True, {"skip": ["web.service"]}, id="gone, left running"),
        pytest.param("[Unit]\nRefuseManualStop=yes\n" + A, None, True, {"skip": ["web.service"]}, id="gone, refuses"),
        pytest.param(
            A + "ExecReload=/bin/r\nX-ReloadIfChanged=true\n",
            B + "ExecReload=/bin/r\nX-ReloadIfChanged=true\n",
            True,
            {"reload": ["web.service"]},
            id="reload if changed",
        ),
        pytest.param(
            A,
            B + "X-ReloadIfChanged=true\n",
            True,
            {"restart": ["web.service"]},
            id="reload if changed, but it cannot reload",
        ),
        pytest.param(A, "[Unit]\nX-RestartIfChanged=false\n" + B, True, {"skip": ["web.service"]}, id="not if changed"),
        pytest.param(A, B + "X-RestartIfChanged=false\n", True, {"skip": ["web.service"]}, id="not if changed, in Service"),
        pytest.param(A, "[Unit]\nRefuseManualStop=true\n" + B, True, {"skip": ["web.service"]}, id="refuses to be stopped"),
        pytest.param(A, "[Unit]\nX-OnlyManualStart=true\n" + B, True, {"skip": ["web.service"]}, id="by hand only, running"),
        pytest.param(A, "[Unit]\nX-OnlyManualStart=true\n" + B, False, {"skip": ["web.service"]}, id="by hand only"),
        pytest.param(None, "[Unit]\nRefuseManualStart=true\n" + B, False, {"skip": ["web.service"]}, id="refuses to start"),
        pytest.param(A, "[Unit]\nX-StopIfChanged=false\n" + B, True, {"restart": ["web.service"]}, id="restart in one"),
        pytest.param(
            A + "ExecReload=/bin/r\n", A + "ExecReload=/bin/s\n", True, {"reload": ["web.service"]}, id="how it reloads"
        ),
        pytest.param(A, A + "ExecReload=/bin/s\n", True, {"reload": ["web.service"]}, id="that it reloads"),
        pytest.param(
            "[Unit]\nX-Reload-Triggers=1\n" + A,
            "[Unit]\nX-Reload-Triggers=2\n" + A,
            True,
            {"restart": ["web.service"]},
            id="a trigger without a way to reload",
        ),
        pytest.param(
            "[Unit]\nX-Reload-Triggers=1\n" + A + "ExecReload=/bin/r\n",
            "[Unit]\nX-Reload-Triggers=2\n" + A + "ExecReload=/bin/r\n",
            True,
            {"reload": ["web.service"]},
            id="a trigger",
        ),
        pytest.param(
            "[Unit]\nX-Reload-Triggers=1\n" + A + "Type=notify-reload\n",
            "[Unit]\nX-Reload-Triggers=2\n" + A + "Type=notify-reload\n",
            True,
            {"reload": ["web.service"]},
            id="a trigger, by signal",
        ),
        pytest.param(
            A + "ExecReload=/bin/r\n",
            "[Service]\nExecStart=/bin/web -c /nix/store/other\nExecReload=/bin/r\n",
            True,
            {"restart": ["web.service"]},
            id="another configuration file, though it can reload",
        ),
    ],
)
def test_services(old: str | None, new: str | None, active: bool, expected: dict[str, list[str]]) -> None:
    previous, following = [web(text) if text is not None else [] for text in (old, new)]

    assert decide(previous, following, "web.service" if active else "") == expected


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("srv.mount", "[Mount]\nOptions=ro\n", "[Mount]\nOptions=rw\n", {"reload": ["srv.mount"]}),
        ("srv.mount", "[Mount]\nWhat=a\n", "[Mount]\nWhat=b\n", {"restart": ["srv.mount"]}),
        ("-.mount", "[Mount]\nWhat=a\n", "[Mount]\nWhat=b\n", {"reload": ["-.mount"]}),
        ("srv.swap", "[Swap]\nPriority=1\n", "[Swap]\nPriority=2\n", {"restart": ["srv.swap"]}),
        (
            "srv.automount",
            "[Automount]\nTimeoutIdleSec=1\n",
            "[Automount]\nTimeoutIdleSec=2\n",
            {"stop": ["srv.automount"], "start": ["srv.automount"]},
        ),
        ("web.timer", "[Timer]\nOnCalendar=daily\n", "[Timer]\nOnCalendar=weekly\n", {"restart": ["web.timer"]}),
        ("web.path", "[Path]\nPathExists=/a\n", "[Path]\nPathExists=/b\n", {"skip": ["web.path"]}),
        ("web.slice", "[Slice]\nCPUWeight=1\n", "[Slice]\nCPUWeight=2\n", {"skip": ["web.slice"]}),
        ("web.target", UNIT_A, UNIT_B, {"start": ["web.target"]}),
        ("web.target", UNIT_A, UNIT_A, {}),
        (
            "web.target",
            UNIT_A,
            UNIT_B + "X-StopOnReconfiguration=true\n",
            {"stop": ["web.target"], "start": ["web.target"]},
        ),
        ("web.target", UNIT_A, UNIT_B + "X-OnlyManualStart=true\n", {"skip": ["web.target"]}),
        ("multi-user.target", UNIT_A, UNIT_B, {}),
        ("suspend.target", UNIT_A, UNIT_B, {}),
    ],
)
def test_other_kinds(name: str, old: str, new: str, expected: dict[str, list[str]]) -> None:
    assert decide(web(old, name), web(new, name), name) == expected


def test_a_target_that_would_suspend_the_host_is_never_started() -> None:
    assert decide([], web(UNIT_A, "sleep.target")) == {}


class TestAutomounts:
    """One that changed takes down what it has mounted, which comes back once somebody looks there."""

    changed = [Unit("srv.automount", f"[Automount]\nTimeoutIdleSec={seconds}\n") for seconds in (1, 2)]

    @pytest.mark.parametrize(("is_wanted", "started"), [(False, ["srv.automount"]), (True, ["srv.mount", "srv.automount"])])
    def test_its_mount_is_stopped_with_it(self, is_wanted: bool, started: list[str]) -> None:
        mount = Unit("srv.mount", "[Mount]\nWhat=a\n", start=is_wanted)
        old, new = self.changed

        assert decide([old, mount], [new, mount], "srv.automount srv.mount") == {
            "stop": ["srv.automount", "srv.mount"],
            "start": started,
        }

    def test_one_that_has_mounted_nothing_is_started_alone(self) -> None:
        mount = Unit("srv.mount", "[Mount]\nWhat=a\n", start=False)
        old, new = self.changed

        assert decide([old, mount], [new, mount], "srv.automount") == {"stop": ["srv.automount"], "start": ["srv.automount"]}

    def test_it_is_there_before_what_is_mounted_by_hand_and_after_what_it_lies_in(self) -> None:
        units = [Unit(name, "[Unit]\n") for name in ("a.automount", "b.mount", "c.swap", "d.service")]

        assert decide([], units) == {"start": ["b.mount", "c.swap", "a.automount", "d.service"]}


class TestSockets:
    """What a socket starts is stopped with its socket, and the socket starts it again."""

    socket = Unit("web.socket", "[Socket]\nListenStream=80\n")
    moved = Unit("web.socket", "[Socket]\nListenStream=81\n")

    def test_the_socket_of_a_changed_service_stays_open(self) -> None:
        assert decide([self.socket, *web(A)], [self.socket, *web(B)], "web.socket web.service") == {"restart": ["web.service"]}

    def test_a_service_that_a_program_stops_gets_its_socket_back(self) -> None:
        previous = [self.socket, *web(A_STOPS, start=False)]

        assert decide(previous, [self.socket, *web(B_STOPS, start=False)], "web.socket web.service") == {
            "stop": ["web.socket", "web.service"],
            "start": ["web.socket"],
        }

    def test_one_that_is_to_be_active_anyway_is_started_too(self) -> None:
        assert decide([self.socket, *web(A_STOPS)], [self.socket, *web(B_STOPS)], "web.socket web.service") == {
            "stop": ["web.socket", "web.service"],
            "start": ["web.socket", "web.service"],
        }

    def test_where_both_changed_the_socket_starts_the_service(self) -> None:
        previous, following = [self.socket, *web(A, start=False)], [self.moved, *web(B, start=False)]

        assert decide(previous, following, "web.socket web.service") == {
            "stop": ["web.socket", "web.service"],
            "start": ["web.socket"],
        }

    def test_a_socket_that_changed_takes_its_service_down(self) -> None:
        units = web(A, start=False)

        assert decide([self.socket, *units], [self.moved, *units], "web.socket web.service") == {
            "stop": ["web.socket", "web.service"],
            "start": ["web.socket"],
        }

    def test_a_socket_that_changed_while_nobody_came(self) -> None:
        units = web(A, start=False)

        assert decide([self.socket, *units], [self.moved, *units], "web.socket") == {
            "stop": ["web.socket"],
            "start": ["web.socket"],
        }

    def test_connections_with_a_process_each_are_left_alone(self) -> None:
        old, new = [Unit("web.socket", f"[Socket]\nListenStream={port}\nAccept=yes\n") for port in (80, 81)]
        units = web(A, "web@.service")

        assert decide([old, *units], [new, *units], "web.socket web@1-2.service") == {
            "stop": ["web.socket"],
            "start": ["web.socket"],
        }

    def test_a_service_may_name_its_socket(self) -> None:
        socket = Unit("front.socket", "[Socket]\nListenStream=80\nService=web.service\n")
        old, new = web(A_STOPS + "Sockets=front.socket\n", start=False), web(B_STOPS + "Sockets=front.socket\n", start=False)

        assert decide([socket, *old], [socket, *new], "front.socket web.service") == {
            "stop": ["front.socket", "web.service"],
            "start": ["front.socket"],
        }

    def test_a_socket_that_goes_is_not_started(self) -> None:
        assert decide([self.socket, *web(A)], web(B), "web.socket web.service") == {
            "stop": ["web.socket"],
            "restart": ["web.service"],
        }


class TestExtensions:
    """A unit of the distribution to which we only add is never stopped on our account."""

    def extended(self, line: str, name: str = "ssh.service", **more: Any) -> list[Unit]:
        return [Unit(name, "", {"deployer.conf": f"[Service]\n{line}\n"}, **more)]

    def test_it_is_restarted_when_it_is_extended_and_when_that_changes_or_goes(self) -> None:
        nice, nicer = self.extended("Nice=1"), self.extended("Nice=2")

        for previous, following in (([], nice), (nice, nicer), (nicer, [])):
            assert decide(previous, following, "ssh.service") == {"restart": ["ssh.service"]}

    def test_an_extension_that_means_nothing_to_it_changes_nothing(self) -> None:
        units = [Unit("ssh.service", "", {"a.conf": "[Unit]\nDescription=x\n"})]

        assert decide([], units, "ssh.service") == {}
        assert decide(units, [], "ssh.service") == {}

    @pytest.mark.parametrize("name", ["dbus.service", "systemd-logind.service", "getty@tty1.service"])
    def test_what_a_running_host_hangs_on_is_left_to_the_next_boot(self, name: str) -> None:
        assert decide([], self.extended("Nice=1", name), name) == {"skip": [name]}
        assert decide(self.extended("Nice=1", name), [], name) == {"skip": [name]}

    def test_a_unit_that_we_replaced_and_the_host_still_has_is_restarted_and_not_stopped(self) -> None:
        assert decide(web(A), [], "web.service", shipped=("web.service",)) == {"restart": ["web.service"]}
        assert decide(web(A, "ssh.service"), [], "ssh.service") == {"restart": ["ssh.service"]}

    def test_our_way_to_the_host_is_never_down_between_stop_and_start(self) -> None:
        assert decide(web(A, "ssh.service"), web(B, "ssh.service"), "ssh.service") == {"restart": ["ssh.service"]}

    def test_one_that_is_replaced_whole_is_restarted(self) -> None:
        assert decide([], web(A), "web.service") == {"restart": ["web.service"]}

    def test_a_trigger_reloads_it(self) -> None:
        one, two = [[Unit("x.service", "", {"a.conf": f"[Unit]\nX-Reload-Triggers={word}\n"})] for word in "ab"]

        assert decide(one, two, "x.service") == {"reload": ["x.service"]}


class TestMasks:
    """A mask stops; taking it off does not start."""

    def test_a_unit_that_is_masked_is_stopped(self) -> None:
        assert decide([], [Unit("apt.timer", masked=True)], "apt.timer") == {"stop": ["apt.timer"]}
        assert decide(web(A), [Unit("web.service", masked=True)], "web.service") == {"stop": ["web.service"]}

    def test_a_unit_that_is_masked_is_not_started(self) -> None:
        assert decide([], [Unit("web.service", masked=True)]) == {}

    def test_one_that_is_ours_again_is_started(self) -> None:
        assert decide([Unit("web.service", masked=True)], web(A)) == {"start": ["web.service"]}
        assert decide([Unit("web.service", masked=True)], []) == {}


class TestTemplates:
    """Instances follow their template."""

    def test_running_instances_change_with_their_template(self) -> None:
        old, new = web(A, "web@.service"), web(B, "web@.service")

        assert decide(old, new, "web@1.service web@2.service other@1.service") == {"restart": ["web@1.service", "web@2.service"]}

    def test_a_template_itself_is_never_started(self) -> None:
        assert decide([], web(A, "web@.service")) == {}

    def test_instances_go_with_their_template(self) -> None:
        assert decide(web(A, "web@.service"), [], "web@1.service") == {"stop": ["web@1.service"]}

    def test_an_instance_that_goes_falls_back_to_its_template(self) -> None:
        template = web(A, "web@.service")

        assert decide([*template, *web(B, "web@1.service")], template, "web@1.service") == {"restart": ["web@1.service"]}
        assert decide([*template, *web(A, "web@1.service")], template, "web@1.service") == {}

    def test_an_instance_with_drop_ins_has_the_text_of_its_template(self) -> None:
        template = Unit("web@.service", A, {"all.conf": "[Service]\nNice=1\n"})
        instance = Unit("web@1.service", "", {"one.conf": "[Service]\nNice=2\n"})

        found = declared("web@1.service", {unit.name: unit for unit in (template, instance)})

        assert found is not None
        assert (found.text, sorted(found.drop_ins), found.start) == (A, ["all.conf", "one.conf"], True)

    def test_names(self) -> None:
        assert template_of("web@1.service") == "web@.service"
        assert template_of("web@.service") is None
        assert template_of("web.service") is None
        assert is_template("web@.service")
        assert not is_template("web@1.service")


class TestStart:
    """What is to be active, and is not."""

    def test_a_unit_that_nothing_starts_is_left_alone_unless_it_runs(self) -> None:
        assert decide([], web(A, start=False)) == {}
        assert decide(web(A, start=False), web(B, start=False), "web.service") == {"restart": ["web.service"]}

    def test_one_that_becomes_wanted_is_started(self) -> None:
        assert decide(web(A, start=False), web(A)) == {"start": ["web.service"]}

    def test_a_socket_that_is_masked_is_not_opened_again_for_its_service(self) -> None:
        old = [Unit("web.service", A_STOPS, start=False), Unit("web.socket", "[Socket]\nListenStream=1\n")]
        new = [Unit("web.service", A, start=False), Unit("web.socket", masked=True)]

        assert decide(old, new, "web.service web.socket") == {"stop": ["web.socket", "web.service"], "start": ["web.service"]}

    def test_a_reload_is_not_enough_where_the_unit_stays_active_in_another_way(self) -> None:
        wish = "ExecReload=/bin/r\nX-ReloadIfChanged=yes\n"
        stays, runs = A + wish + "Type=oneshot\nRemainAfterExit=yes\n", B + wish

        assert decide(web(A + wish), web(runs), "web.service") == {"reload": ["web.service"]}
        assert decide(web(stays), web(runs), "web.service") == {"stop": ["web.service"], "start": ["web.service"]}

    def test_a_socket_that_comes_takes_the_place_of_its_service(self) -> None:
        def units(*, start: bool, accept: str = "no") -> list[Unit]:
            return [Unit("web.service", A, start=start), Unit("web.socket", f"[Socket]\nListenStream=1\nAccept={accept}\n")]

        both = {"stop": ["web.service"], "start": ["web.socket", "web.service"]}
        assert decide(web(A), units(start=True), "web.service") == both
        assert decide(web(A), units(start=False), "web.service") == {"stop": ["web.service"], "start": ["web.socket"]}
        assert decide(units(start=True), units(start=True), "web.service") == both
        assert decide(web(A), units(start=True, accept="yes"), "web.service") == {"start": ["web.socket"]}
        assert decide([], units(start=True)) == {"start": ["web.socket", "web.service"]}

    def test_work_that_is_done_is_not_done_again(self) -> None:
        once = A + "Type=oneshot\n"

        assert decide(web(once), web(once)) == {}
        assert decide([], web(once)) == {"start": ["web.service"]}
        assert decide(web(once), web(B + "Type=oneshot\n")) == {"start": ["web.service"]}
        assert decide(web(once + "RemainAfterExit=yes\n"), web(once + "RemainAfterExit=yes\n")) == {"start": ["web.service"]}

    def test_what_is_stopped_first_is_what_would_start_others(self) -> None:
        units = [Unit(name, A) for name in ("b.service", "a.socket", "c.timer")]

        assert decide(units, [], "a.socket b.service c.timer") == {"stop": ["c.timer", "a.socket", "b.service"]}


class TestTogether:
    """Several that changed, and those that change along with them."""

    def test_services_that_changed_are_all_stopped_before_one_of_them_starts(self) -> None:
        old, new = [[Unit("a.service", text), Unit("b.service", text)] for text in (A, B)]
        alone = Unit("c.service", B + "X-StopIfChanged=no\n")

        switch = plan_units([*old, Unit("c.service", A)], [*new, alone], {"a.service", "b.service", "c.service"})

        assert (switch.restart, switch.renew) == (("a.service", "b.service", "c.service"), ("a.service", "b.service"))

    @pytest.mark.parametrize("key", ["Requires", "Requisite", "BindsTo", "PartOf"])
    def test_what_is_bound_to_a_unit_restarts_with_it(self, key: str) -> None:
        bound = Unit("app.service", f"[Unit]\n{key}=web.service\n{A}")
        active = {"web.service", "app.service"}

        assert decide([*web(A), bound], [*web(B), bound], " ".join(active)) == {"restart": ["app.service", "web.service"]}
        assert decide([*web(A), bound], [*web(B), bound], "web.service") == {
            "restart": ["web.service"],
            "start": ["app.service"],
        }

    def test_what_stopped_only_with_a_unit_runs_again_after_it(self) -> None:
        bound = [Unit("app.service", A, start=False), Unit("far.service", A, start=False)]
        bonds = {"web.service": ["app.service", "elsewhere.service"], "app.service": ["far.service"]}
        active = {"web.service", "app.service", "far.service"}

        switch = plan_units([*web(A_STOPS), *bound], [*web(B_STOPS), *bound], active, bound=bonds)

        assert switch.stop == switch.start == ("app.service", "far.service", "web.service")
        assert switch.reasons["far.service"] == "it stops with app.service"

    def test_what_is_bound_to_a_unit_that_goes_goes_with_it_unless_it_is_to_be_active(self) -> None:
        bonds = {"web.service": ["app.service"]}
        active = {"web.service", "app.service"}
        idle, wanted = [[Unit("app.service", A, start=start)] for start in (False, True)]

        assert plan_units([*web(A), *idle], idle, active, bound=bonds).start == ()
        assert plan_units([*web(A), *wanted], wanted, active, bound=bonds).start == ("app.service",)

    def test_a_unit_that_is_bound_no_more_is_left_alone_by_a_restart(self) -> None:
        old = Unit("app.service", f"[Unit]\nRequires=web.service\nX-RestartIfChanged=no\n{A}")
        new = Unit("app.service", f"[Unit]\nX-RestartIfChanged=no\n{A}")
        bonds = {"web.service": ["app.service"]}

        switch = plan_units([*web(A), old], [*web(B), new], {"web.service", "app.service"}, bound=bonds)

        assert (switch.restart, list(switch.skip)) == (("web.service",), ["app.service"])

    def test_what_refuses_to_be_restarted_is_left_to_systemd(self) -> None:
        bound = Unit("app.service", f"[Unit]\nPartOf=web.service\nRefuseManualStop=yes\n{A}")
        others = [[Unit("other.service", text)] for text in (A, B)]
        active = {"web.service", "app.service", "other.service"}

        switch = plan_units([*web(A), bound, *others[0]], [*web(B), bound, *others[1]], active)

        assert (switch.restart, switch.implied, switch.renew) == (
            ("app.service", "other.service", "web.service"),
            ("app.service",),
            (),
        )

    def test_what_systemd_restarts_along_with_another_is_not_asked_for(self) -> None:
        journald = [Unit("systemd-journald.service", "", {"a.conf": f"[Unit]\nX-Version={n}\n"}) for n in (1, 2)]
        bonds = {"systemd-journald.service": ["systemd-journal-flush.service"]}
        active = {"systemd-journald.service", "systemd-journal-flush.service"}

        for old, new in (([journald[0]], [journald[1]]), ([journald[0]], []), ([], [journald[0]])):
            switch = plan_units(old, new, active, bound=bonds, shipped=active)

            assert (switch.stop, switch.start) == ((), ())
            assert switch.restart == ("systemd-journal-flush.service", "systemd-journald.service")
            assert switch.along == ("systemd-journal-flush.service",)

    def test_of_units_that_are_bound_to_each_other_one_is_asked_for(self) -> None:
        bonds = {"ssh.service": ["a.service"], "a.service": ["ssh.service", "b.service"], "b.service": ["a.service"]}
        extended = [Unit("ssh.service", "", {"a.conf": f"[Service]\nNice={n}\n"}) for n in (1, 2)]

        switch = plan_units([extended[0]], [extended[1]], {"ssh.service", *bonds}, bound=bonds)

        assert switch.restart == ("a.service", "b.service", "ssh.service")
        assert switch.along == ("a.service", "b.service")

    def test_services_that_exchange_ports_are_stopped_together_also_where_they_are_bound(self) -> None:
        bound = [Unit("b.service", f"[Unit]\nPartOf=a.service\n{text}") for text in (A, B)]

        switch = plan_units([Unit("a.service", A), bound[0]], [Unit("a.service", B), bound[1]], {"a.service", "b.service"})

        assert (switch.renew, switch.along) == (("a.service", "b.service"), ())

    def test_a_start_pulls_in_what_the_unit_needs_or_wants(self) -> None:
        needed = [
            Unit("db.service", A, start=False),
            Unit("log@.service", A, start=False),
            Unit("off.service", masked=True, start=False),
            Unit("team.slice", "[Slice]\n", start=False),
            Unit("team-web.slice", "[Slice]\n", start=False),
        ]
        text = f"[Unit]\nWants=log@%p.service off.service other.service\nRequires=db.service\n{A}Slice=team-web.slice\n"

        assert decide(needed, [*needed, *web(text)]) == {
            "start": ["team-web.slice", "team.slice", "db.service", "log@web.service", "web.service"]
        }

    def test_a_start_stops_what_cannot_run_beside_it(self) -> None:
        blue = Unit("blue.service", A, start=False)
        green = Unit("green.service", f"[Unit]\nConflicts=blue.service\n{A}")

        assert decide([blue], [blue, green], "blue.service") == {"stop": ["blue.service"], "start": ["green.service"]}


TEXTS = st.sampled_from(
    [
        "",
        A,
        B,
        A + "ExecReload=/bin/r\n",
        "[Unit]\nX-StopOnRemoval=no\n" + A,
        "[Unit]\nX-StopIfChanged=no\n" + B,
        A_STOPS,
        "[Unit]\nRequires=a.service\n" + B_STOPS,
    ]
)
NAMES = st.sampled_from(["a.service", "a.socket", "b.timer", "c@.service", "c@1.service", "d.mount", "e.target", "ssh.service"])
UNITS = st.lists(
    st.builds(
        Unit,
        NAMES,
        TEXTS,
        st.dictionaries(st.just("x.conf"), TEXTS, max_size=1),
        start=st.booleans(),
        masked=st.booleans(),
    ),
    unique_by=lambda unit: unit.name,
)
ACTIVE = st.sets(st.one_of(NAMES.filter(lambda name: "@." not in name), st.just("c@2.service")))


@given(UNITS)
def test_identical_generations_change_nothing_that_runs(units: list[Unit]) -> None:
    said = {unit.name: unit for unit in units}
    active = set()
    for name in {*said, "c@2.service"}:
        unit = declared(name, said)
        if unit is not None and not unit.masked and not is_template(name):
            active.add(name)

    assert plan_units(units, units, active) == UnitSwitch()


@given(UNITS, UNITS, ACTIVE)
def test_verbs_agree_with_each_other(previous: list[Unit], following: list[Unit], active: set[str]) -> None:
    switch = plan_units(previous, following, active)
    wanted = {unit.name: unit for unit in following}

    assert set(switch.stop) | set(switch.restart) | set(switch.reload) <= active
    assert not set(switch.restart) & {*switch.stop, *switch.start, *switch.reload}
    assert not set(switch.reload) & {*switch.stop, *switch.start}
    assert not set(switch.skip) & {*switch.stop, *switch.start, *switch.restart}
    for name in (*switch.start, *switch.restart, *switch.reload):
        unit = declared(name, wanted)
        assert unit is None or not unit.masked
        assert not is_template(name)
    for name in switch.start:
        assert name not in active or name in switch.stop or name.endswith(".target")
    for name in switch.stop:
        assert name != "ssh.service" or declared(name, wanted) is not None
