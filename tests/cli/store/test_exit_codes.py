"""How builds end, told as Nix tells it."""

from __future__ import annotations

import pytest

from deployer.build.errors import BuildFailed, BuildTimedOut, HashMismatch, InputMissing, OutputsDiffer
from deployer.cli.store.ending import exit_code
from deployer.errors import ManyErrors
from deployer.packages.derivation_inputs import make_derivation

FAILED = BuildFailed("a.drv", 1, ())
LATE = BuildTimedOut("b.drv", 1.0, silent=False)
OTHER = HashMismatch("c", "x", "y")
DIFFERENT = OutputsDiffer("d.drv", "d", "d.check", ())
MISSING = InputMissing("e.drv", "e")


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([FAILED], 100),
        ([LATE], 101),
        ([OTHER], 102),
        ([DIFFERENT], 104),
        ([MISSING], 1),
        ([FAILED, OTHER, MISSING], 102),
        ([LATE, OTHER], 103),
        ([OTHER, DIFFERENT], 110),
    ],
)
def test_bits_are_or_ed(errors, code):
    assert exit_code(errors[0] if len(errors) == 1 else ManyErrors(errors)) == code


@pytest.mark.nix
@pytest.mark.parametrize(
    ("builder", "digest", "code"),
    [("builtin:fetchurl", b"\0" * 32, 102), ("/no/such/builder", None, 100)],
    ids=["hash", "builder"],
)
def test_bad_ends_are_those_of_nix(deployer, nix, store, tmp_path, builder, digest, code):
    (tmp_path / "file").write_text("content")
    system = "builtin" if digest else "x86_64-linux"
    attributes = {"name": "bad", "builder": builder, "system": system, "url": f"file://{tmp_path}/file"}
    pinned = {"outputHash": digest.hex(), "outputHashAlgo": "sha256", "outputHashMode": "flat"} if digest else {}
    written = "".join(f'{key} = "{value}"; ' for key, value in (attributes | pinned).items())
    made = make_derivation(
        "bad",
        builder=builder,
        system=system,
        environment={"url": attributes["url"]},
        store_dir=store.store_dir,
        fixed=("sha256", digest) if digest else None,
    )

    assert deployer("store", "realise", str(store.write_derivation(made.derivation))).code == code
    plain = (
        "env",
        "NIX_REMOTE=",
        f"NIX_STORE_DIR={tmp_path}/store",
        f"NIX_STATE_DIR={tmp_path}/state",
        f"NIX_LOG_DIR={tmp_path}/log",
    )
    derivation = nix.text(*plain, "nix-instantiate", "--expr", f"derivation {{ {written} }}").strip()
    nix.run(*plain, "nix-store", "--realise", derivation, code=code)
