"""What Nix refuses of a build, and what it takes, and whether we do the same."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from deployer.build import BuildSettings, realise
from deployer.errors import ManyErrors
from deployer.formats import StorePath
from deployer.store import Store

pytestmark = pytest.mark.nix

# Scripts that end well or badly, and what is demanded of what they made.
VERDICTS = """
let
  low = script "low" { } "echo low > $out";
  high = script "high" { inherit low; } "echo $low > $out";
  checked = name: checks: script name { __structuredAttrs = true; outputChecks.out = checks; inherit high; };
  out = builtins.placeholder "out";
in {
  a1 = script "a1" { allowedReferences = [ ]; inherit low; } "echo $low > $out";
  a2 = script "a2" { allowedReferences = [ low ]; inherit low; } "echo $low > $out";
  a3 = script "a3" { allowedReferences = [ ]; } "echo $out > $out";
  a4 = script "a4" { allowedReferences = [ "out" ]; } "echo $out > $out";
  a5 = script "a5" { allowedReferences = [ "nothing" ]; } "echo > $out";
  b1 = script "b1" { allowedRequisites = [ high ]; inherit high; } "echo $high > $out";
  b2 = script "b2" { allowedRequisites = [ high low ]; inherit high; } "echo $high $out > $out";
  c1 = script "c1" { disallowedReferences = [ low ]; inherit high; } "echo $high > $out";
  c2 = script "c2" { disallowedReferences = [ high ]; inherit high; } "echo $high > $out";
  d1 = script "d1" { disallowedRequisites = [ low ]; inherit high; } "echo $high > $out";
  d2 = script "d2" { disallowedRequisites = [ "out" ]; inherit high; } "echo $out > $out";
  e1 = checked "e1" { maxSize = 10; } "echo > ${out}";
  e2 = checked "e2" { maxSize = 1000; } "echo > ${out}";
  e3 = checked "e3" { maxClosureSize = 300; } "echo ${high} > ${out}";
  e4 = checked "e4" { maxClosureSize = 3000; } "echo ${high} > ${out}";
  e5 = checked "e5" { disallowedRequisites = [ low ]; } "echo ${high} > ${out}";
  e6 = checked "e6" { allowedRequisites = [ ]; } "echo ${out} > ${out}";
  e7 = checked "e7" { allowedRequisites = [ ]; ignoreSelfRefs = true; } "echo ${out} > ${out}";
  f1 = script "f1" { outputs = [ "out" "dev" ]; } "echo $dev > $out; echo $out > $dev";
  f2 = script "f2" { outputs = [ "out" "dev" ]; } "echo $dev > $out; echo > $dev";
  f3 = script "f3" { outputs = [ "out" "dev" ]; } "echo > $out";
  g1 = script "g1" { } "mkfifo $out";
  g2 = script "g2" { } "mkdir $out; mkfifo $out/fifo";
  g3 = script "g3" { } "echo > $out; chmod 666 $out";
  g4 = script "g4" { } "echo > $out; chmod 4755 $out";
  g5 = script "g5" { } "echo > $out; chmod 2755 $out";
  g6 = script "g6" { } "ln -s /nowhere $out";
  g7 = script "g7" { } "mkdir $out; echo > $out/a; ln $out/a $out/b; chmod 777 $out/a";
  g8 = script "g8" { } "mkdir $out; mkdir -m 0 $out/closed; echo > $out/none; chmod 0 $out/none";
  g9 = script "g9" { } "mknod $out c 1 3";
  h1 = script "h1" { exportReferencesGraph = [ "odd" ]; } "echo > $out";
  h2 = script "h2" { exportReferencesGraph = [ "../up" low ]; } "echo > $out";
  i1 = script "i1" { requiredSystemFeatures = [ "nobody-has-this" ]; } "echo > $out";
  i2 = script "i2" { requiredSystemFeatures = [ "big-parallel" ]; preferLocalBuild = true; } "echo > $out";
  j1 = script "j1" { outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "x"; } "echo > $out";
  j2 = script "j2" { outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "\\n"; } "mkdir $out";
  j3 = script "j3" { outputHashAlgo = "sha256"; outputHash = builtins.hashString "sha256" "\\n"; } "echo > $out; chmod +x $out";
}
"""


def names(paths):
    return sorted(path.rpartition("/")[2][33:] for path in paths)


async def test_nix_and_we_refuse_and_take_the_same(nix, tmp_path, toolchain_tree):
    derivations = nix.words("nix-instantiate", nix.expression(toolchain_tree, VERDICTS))
    outputs = nix.words("nix-store", "-q", "--outputs", *derivations)
    store = Store(tmp_path / "root", nix.store_dir)
    nix.move(store, derivations)
    # One by one: some failures end the whole run of Nix, in spite of --keep-going.
    with ThreadPoolExecutor(2) as pool:
        statuses = list(pool.map(lambda path: nix.status("nix-store", "--realise", path), derivations))
    assert {0} < set(statuses)
    invalid = set(nix.words("nix-store", "--check-validity", "--print-invalid", *outputs))

    with pytest.raises(ManyErrors):
        await realise(
            store, [StorePath.parse(path, nix.store_dir) for path in derivations], settings=BuildSettings(keep_going=True)
        )

    assert names(path for path in outputs if not store.is_valid(path)) == names(invalid)
    assert {"a2", "b2", "c1", "e2", "f2", "f2-dev", "g7", "i2"} <= set(names(set(outputs) - invalid))
