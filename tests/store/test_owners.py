"""Whose a temporary name is."""

import os
import subprocess
import sys

from deployer.store import Store, collect
from deployer.store.owners import has_owner, is_abandoned, owned

SLEEPER = [sys.executable, "-c", "from deployer.store.owners import owned; print(owned('x'), flush=True); input()"]


def test_a_name_is_abandoned_when_its_process_has_ended():
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert (has_owner(name), is_abandoned(name)) == (True, False)
        process.communicate("")

    assert is_abandoned(name)


def test_a_later_process_with_the_same_number_owns_nothing_of_an_earlier_one(tmp_path):
    store = Store(tmp_path)
    store.add_text("x", b"x")
    for name in (f"{os.getpid()}.1-build-x", owned("build-y"), f"{os.getpid()}-build-z"):
        (store.layout.aside / name).mkdir()

    collect(store)

    assert not is_abandoned(owned("x"))
    left = {path.name for path in store.layout.aside.iterdir()}
    assert left == {owned("build-y"), f"{os.getpid()}-build-z"}


def test_other_names_have_no_owner():
    assert not has_owner("build-1-2")
    assert not is_abandoned("build-1-2")
