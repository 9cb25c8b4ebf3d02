"""The transaction knows how its checks were before it changed anything."""

from __future__ import annotations

from pathlib import Path

from deployer.formats.manifest import Check, Manifest, Timing, Unit
from deployer.formats.messages import ROLLED_BACK
from tests.host.test_crashes import deploy
from tests.host.world import World, link

TEXT = "[Service]\nExecStart=/bin/web\n"


def test_a_check_that_was_red_before_is_told_apart_from_one_that_the_deploy_turned_red(tmp_path: Path) -> None:
    world = World(tmp_path / "host")
    untouched = Check("untouched", "command", command=("/usr/bin/test", "!", "-L", str(world.root / "etc/web.conf")))
    manifest = Manifest(
        etc=(link("web.conf", "x"), link("systemd/system/web.service", TEXT)),
        units=(Unit("web.service", TEXT),),
        checks=(Check("never", "command", command=("/bin/false",)), untouched),
        timing=Timing(check_deadline=0.2),
        runtime="/nix/store/runtime",
    )
    system = world.add_system("checked", manifest, {"web.conf": "x", "systemd/system/web.service": TEXT})

    assert deploy(world.machine(), system, "", 1) == ROLLED_BACK

    results = {result.name: result for result in world.machine().events.summary()[1]}
    assert {name: (result.healthy, result.was_red_before) for name, result in results.items()} == {
        "never": (False, True),
        "untouched": (False, False),
    }
    reason = world.machine().journal.read().reason
    assert "never: /bin/false ended with 1; it was red before this deploy; untouched: " in reason
    assert reason.count("red before") == 1
