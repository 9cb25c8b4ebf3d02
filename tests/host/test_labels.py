"""Where SELinux is on: what the policy is told of us, what is labelled when, and that it is forgotten with us."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployer.host.disk import Disk
from deployer.host.labels import Labels, LabelUnknown
from deployer.host.ledger import Metadata
from deployer.host.paths import STATE_DIRECTORY

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root labels files")

SYSTEM = f"/nix/store/{'1' * 32}-system"
PACKAGE = f"/nix/store/{'2' * 32}-package"
PROGRAMS = {
    "matchpathcon": """
shift
for path; do
    case $path in
        /usr/bin/*) type=bin_t ;; /usr/share/*) type=usr_t ;; /etc/*) type=etc_t ;; /usr/lib/systemd/*) type=their_unit_t ;;
        /var/lib/*) type=var_lib_t ;; *) type=default_t ;;
    esac
    case $path in /nix/store/*) [ ! -e HERE/rules ] || type=$(cat HERE/rules) ;; esac
    echo "system_u:object_r:$type:s0"
done
""",
    "semodule": """
[ "$1" = -l ] || echo "semodule $*" >>HERE/told
case $1 in
    -l) ls HERE/modules ;;
    -i)
        [ ! -e HERE/broken ] || { echo no room >&2; exit 1; }
        cp "ROOT$2" "HERE/modules/$(basename "$2" .cil)"
        echo bin_t >HERE/rules
        ;;
    -r) rm "HERE/modules/$2" HERE/rules ;;
esac
""",
    "restorecon": 'echo "restorecon $(tr "\\0" " ")" >>HERE/told\n',
}


class Host:
    """A disk, and programs that say what they were told."""

    def __init__(self, directory: Path) -> None:
        self.programs, self.disk = directory / "programs", Disk(directory / "root")
        (self.programs / "modules").mkdir(parents=True)
        (directory / "root/var/lib").mkdir(parents=True)
        self.disk.make_directory(STATE_DIRECTORY, Metadata(0o711, 0, 0))
        for name, text in PROGRAMS.items():
            script = text.strip().replace("HERE", str(self.programs)).replace("ROOT", str(self.disk.root))
            (self.programs / name).write_text(f"#!/bin/sh -e\n{script}\n")
            (self.programs / name).chmod(0o755)

    @property
    def labels(self) -> Labels:
        """As a connection has them: nothing is remembered."""
        return Labels(self.disk, str(self.programs))

    @property
    def told(self) -> list[str]:
        """What the programs were told since this was last asked."""
        log = self.programs / "told"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.strip() for line in lines]

    @property
    def module(self) -> str:
        """What the policy knows of us."""
        return (self.programs / "modules/deployer").read_text()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


INSTALL = [f"semodule -i {STATE_DIRECTORY}/selinux/deployer.cil", f"restorecon /nix {STATE_DIRECTORY}"]


def test_the_policy_is_told_once_and_in_its_own_types(host: Host) -> None:
    assert host.labels.prepare()
    assert host.told == INSTALL
    assert not host.labels.prepare()
    assert host.told == []

    assert '(filecon "/nix/store/.+" any (system_u object_r bin_t ((s0) (s0))))\n' in host.module
    assert '(filecon "/nix/store/\\.links/.+" any ())\n' in host.module
    assert '/etc/systemd/(system|user)(/.*)?" any (system_u object_r their_unit_t ((s0) (s0))))\n' in host.module


def test_semodule_may_read_what_it_is_given(host: Host) -> None:
    host.labels.prepare()

    label = os.getxattr(f"{host.disk.root}{STATE_DIRECTORY}/selinux/deployer.cil", "security.selinux")
    assert label == b"system_u:object_r:usr_t:s0\0"


def test_of_what_is_copied_systems_are_labelled_and_the_rest_has_its_label_already(host: Host) -> None:
    host.labels.prepare()
    assert host.told == INSTALL

    host.labels.label([PACKAGE])
    assert host.told == []
    host.labels.label([PACKAGE, SYSTEM])
    assert host.told == [f"restorecon {SYSTEM}"]


def test_what_failed_is_done_again(host: Host) -> None:
    (host.programs / "broken").touch()
    with pytest.raises(Exception, match="no room"):
        host.labels.prepare()
    (host.programs / "broken").unlink()
    assert len(host.told) == 1

    assert host.labels.prepare()
    assert host.told == INSTALL


def test_rules_for_the_store_that_somebody_else_made_stay_and_all_that_comes_is_labelled(host: Host) -> None:
    (host.programs / "rules").write_text("lib_t\n")

    assert host.labels.prepare()
    assert '"/nix/store/.+"' not in host.module
    assert "-system(/.*)?" in host.module
    assert host.told == INSTALL
    host.labels.label([PACKAGE, SYSTEM])
    assert host.told == [f"restorecon {PACKAGE} {SYSTEM}"]


def test_our_rules_go_with_us(host: Host) -> None:
    host.labels.forget()
    assert host.told == []
    host.labels.prepare()
    assert host.told == INSTALL

    host.labels.forget()
    assert host.told == ["semodule -r deployer"]
    host.labels.forget()
    assert host.told == []


def test_a_policy_that_does_not_answer_is_an_error_that_says_so(host: Host) -> None:
    (host.programs / "matchpathcon").write_text("#!/bin/sh\necho 'no policy here' >&2\nexit 1\n")

    with pytest.raises(LabelUnknown, match="no policy here"):
        host.labels.prepare()
    assert host.told == []


def test_a_link_is_put_back_with_the_label_that_it_had(host: Host) -> None:
    place = host.disk.root / "etc"
    place.mkdir()
    (place / "localtime").symlink_to("/usr/share/zoneinfo/UTC")
    os.setxattr(place / "localtime", "security.selinux", b"system_u:object_r:locale_t:s0\0", follow_symlinks=False)
    entry = host.disk.entry("/etc/localtime")
    assert entry is not None

    host.disk.link("/etc/localtime", "/ours")
    host.disk.link("/etc/localtime", entry.target, entry.metadata)

    label = os.getxattr(place / "localtime", "security.selinux", follow_symlinks=False)
    assert label == b"system_u:object_r:locale_t:s0\0"
