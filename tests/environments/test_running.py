"""Programs of packages on this machine, whose own `/usr` they do not see."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployer.packages import PackageSet
from deployer.sandbox import launcher
from deployer.store import Store, roots_of


def text(done):
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_sees_its_tree_and_the_machine_around_it(project, tmp_path):
    (tmp_path / "here.txt").write_text("mine\n")
    line = "cat /usr/share/mark here.txt; pwd; ls /usr/share; cat /etc/tree-only; readlink /proc/$$/exe; cat /etc/passwd"

    lines = text(project.deployer("run", "base", "--program", "sh", "--", "-c", line)).splitlines()

    assert lines[:6] == ["of the tree", "mine", str(tmp_path), "mark", "tree", "/usr/bin/sh"]
    assert any(line.startswith("root:") for line in lines)


def test_a_program_of_another_name_is_where_a_maintainer_script_would_have_put_it(project):
    assert text(project.deployer("run", "other", "-p", "which-tool")) == "one\n"


def test_a_library_is_found_where_only_the_loaders_configuration_names_its_directory(project, tmp_path):
    with (tmp_path / "packages.yaml").open("a") as file:
        file.write(project.debian("apart", "apart"))

    assert text(project.deployer("run", "apart", "-p", "ls", "--", "/usr/lib/apart"))
    assert text(project.deployer("run", "base", "-p", "ls", "--", "/etc/tree-only"))
    tree = Path(text(project.deployer("package", "build", "base")).strip())
    assert not (project.store_root / tree.relative_to("/") / "etc/ld.so.cache").exists()


def test_arguments_and_exit_status_are_the_programs_own(project):
    done = project.deployer("run", "base", "-p", "sh", "--", "-c", 'echo "$1"; exit 7', "sh", "--pure -x *")

    assert (done.returncode, done.stdout) == (7, "--pure -x *\n")
    assert project.deployer("run", "base", "-p", "/usr/share/mark").returncode == 127


def test_a_program_that_a_package_has_not_is_told_with_the_nearest(project, refused):
    done = project.deployer("run", "other", "-p", "which-tol")

    assert done.returncode == 127
    assert "package 'other' has no program 'which-tol'\n  → Did you mean 'which-tool'? It has cat, env, " in done.stderr
    assert "Did you mean 'cat'?" in refused("pack", "base", "-p", "ct", "-o", "x")


def test_a_signal_reaches_the_program_itself(project):
    command = [sys.executable, "-m", "deployer", "run", "base", "-p", "sh", "--", "-c", "echo up; exec sleep 60"]
    with subprocess.Popen(command, cwd=project.directory, env=project.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


def test_an_empty_environment_is_enough(project):
    text(project.deployer("package", "build", "base"))
    options = ["--store-root", str(project.store_root), "shell", "base", "--pure", "-c", "cat /usr/share/mark"]

    # By its mere name: without PATH, a Python does not know then where it lies.
    done = subprocess.run(
        ["python3", "-m", "deployer", *options],
        executable=os.path.realpath(sys.executable),
        env={"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])},
        cwd=project.directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert text(done) == "of the tree\n"


def test_a_pure_environment_has_what_is_stated_and_what_is_kept(project):
    project.environment |= {"SECRET": "x", "WANTED": "y", "LD_PRELOAD": "/nowhere.so", "TERM": "vt100"}

    pure = text(project.deployer("shell", "base", "--pure", "--keep", "WANTED", "-c", "env")).splitlines()
    open_ = text(project.deployer("shell", "base", "-c", "env")).splitlines()

    names = {line.partition("=")[0] for line in pure}
    assert names <= {
        "DEPLOYER_ENVIRONMENT",
        "DEPLOYER_PACKAGES",
        "HOME",
        "LOGNAME",
        "OLDPWD",
        "PATH",
        "PWD",
        "SHLVL",
        "TERM",
        "TZ",
        "USER",
        "WANTED",
        "_",
    }
    assert {"WANTED", "TERM"} <= names
    assert "SECRET=x" in open_
    assert not any(line.startswith("LD_PRELOAD") for line in open_)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_ordinary_user_needs_no_root(project, tmp_path, store_root):
    command = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "cat", "/proc/self/status"]
    assert "12345" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text(project.deployer("package", "build", "base"))
    spec = {"root": PackageSet.load(tmp_path / "packages.yaml").output_path("base"), "store": f"{store_root}/nix/store"}

    copied = shutil.copytree(launcher.DIRECTORY, store_root / "launcher")  # this checkout may be root's alone

    outside = [
        *command[:4],
        "/usr/bin/python3",
        "-I",
        "-S",
        f"{copied}/{launcher.START}",
        json.dumps(spec),
        "--",
        "sh",
        "-c",
    ]
    readable = store_root
    while readable != readable.parent:  # pytest's directories are for their owner alone
        readable.chmod(readable.stat().st_mode | 0o755)
        readable = readable.parent
    line = "id -u; cat /usr/share/mark; touch /tmp/environments-test-$$ && ls -n /tmp/environments-test-$$"
    done = subprocess.run([*outside, line], cwd="/tmp", capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["12345", "of the tree"]
    assert lines[2].split()[2] == "12345"
    os.unlink(lines[2].split()[-1])


def test_what_stands_in_the_tree_cannot_be_changed(project):
    done = project.deployer("run", "base", "-p", "touch", "--", "/usr/share/mark", "/new", "/etc/new")

    assert done.returncode != 0
    assert done.stderr.count("Read-only file system") == 3


def test_a_program_in_use_is_not_collected(project):
    command = [sys.executable, "-m", "deployer", "run", "base", "-p", "sh", "--", "-c", "echo up; exec sleep 60"]
    with subprocess.Popen(command, cwd=project.directory, env=project.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        text(project.deployer("store", "gc"))
        held = json.loads(text(project.deployer("package", "show", "base", "--json")))["built"]
        process.kill()
    text(project.deployer("store", "gc"))

    assert held
    assert not json.loads(text(project.deployer("package", "show", "base", "--json")))["built"]


def test_develop_takes_packages_variables_and_hooks_from_the_project(project, tmp_path, store_root):
    (tmp_path / "shell.yaml").write_text(
        "packages: [base]\npure: true\nenvironment: {PLACE: '${pkgs.base}', TWO: '$${x}'}\n"
        "hooks:\n  enter: |\n    greeting=hello\n"
    )

    lines = text(project.deployer("develop", "-c", 'echo "$greeting"; cat "$PLACE/usr/share/mark"; echo "$TWO"')).splitlines()

    assert lines == ["hello", "of the tree", "${x}"]
    kept = [path for name, path in roots_of(Store(store_root)).items() if name.startswith("develop-")]
    assert kept == [PackageSet.load(tmp_path / "packages.yaml").output_path("base")]


@pytest.mark.parametrize(
    ("shell", "message", "line"),
    [
        ("packages: []", "'packages' must name something", 1),
        ("packages: [base]\nenvironment: {PATH: x}", "'PATH' can't be set", 2),
        ("packages: [base]\nenvironment: {A: 1}", "the variable 'A' must be a string", 2),
        ("packages: [base]\nenvironmnt: {A: '1'}", "Did you mean 'environment'?", 2),
        ("packages: [base]\nenvironment: {A: '${config.x}'}", "${config.x} means nothing here", 2),
        ("packages: [base]\nhooks: {leave: x}", "there is no hook 'leave'", 2),
        ("packages: [bas]", "Did you mean 'base'?", 0),
        ("packages: base", "'packages' must be a list of strings", 1),
    ],
)
def test_a_shell_file_that_is_wrong_is_told_with_its_place(refused, tmp_path, shell, message, line):
    (tmp_path / "shell.yaml").write_text(shell + "\n")

    told = refused("develop", "-c", "true")

    assert message in told
    assert not line or f"shell.yaml:{line}" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "bse"], "there is no package 'bse'"),
        (["run", "base"], "Say which with --program: cat, env"),
        (["shell", "base", "--base", "bare"], "package 'bare' is no root tree"),
        (["shell", "bare", "--base", "nothing"], "there is no package 'nothing'"),
        (["run", "foreign"], "is for"),
        (["--store-root", "/proc/nothing", "package", "build", "base"], "/proc/nothing"),
    ],
)
def test_what_cannot_be_run_is_told(project, refused, tmp_path, arguments, message):
    foreign = "amd64" if os.uname().machine != "x86_64" else "arm64"
    with (tmp_path / "packages.yaml").open("a") as file:
        file.write("bare: {kind: fetch, file: packages.yaml}\n")
        file.write(f"foreign: {{kind: debian, suite: test, packages: [shell], architecture: {foreign}}}\n")

    assert message in refused(*arguments)


def test_without_packages_there_is_nothing_to_run(refused, tmp_path):
    (tmp_path / "packages.yaml").unlink()

    assert "--packages FILE" in refused("run", "base")


def test_packages_are_built_shown_and_drawn(project, store_root):
    place = text(project.deployer("package", "build", "other")).strip()
    shown = json.loads(text(project.deployer("package", "show", "other", "--json")))
    drawn = text(project.deployer("package", "graph", "other", "--tree"))

    assert place == str(store_root / shown["output"].lstrip("/"))
    assert shown["built"] is True
    assert shown["made_from"] == ["one.deb", "shell.deb"]
    assert shown["accounts"] == [
        {"name": "one", "kind": "group", "said_by": "one"},
        {"name": "one", "kind": "user", "said_by": "one"},
    ]
    assert "accounts    group one  # one\n" in text(project.deployer("package", "show", "other"))
    assert "one.deb.drv" in drawn
    assert "base\tdebian\t" in text(project.deployer("package", "show"))


def test_the_launcher_writes_nothing_beside_itself(tmp_path):
    """In a store, root could."""
    shutil.copytree(launcher.DIRECTORY, tmp_path / "launcher", ignore=shutil.ignore_patterns("__pycache__"))
    files = sorted(path.name for path in (tmp_path / "launcher").iterdir())
    command = ["/usr/bin/python3", "-I", "-S", str(tmp_path / "launcher" / launcher.START), "{}", "--", "echo", "started"]

    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, env={"PATH": os.environ["PATH"]})

    assert done.stdout == "started\n"
    assert sorted(path.name for path in (tmp_path / "launcher").iterdir()) == files
