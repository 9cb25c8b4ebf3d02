"""Random graphs of derivations, built by Nix and by us to the same bytes."""

import os
import random
import sys

import pytest

from deployer.build import realise
from deployer.formats import StorePath
from deployer.store import Store

pytestmark = pytest.mark.nix

GRAPHS = int(os.environ.get("DEPLOYER_TEST_GRAPHS", "2"))


def random_graph(dice, size=14):
    """An expression of derivations that use each other's outputs, and leave references or none; the last uses all."""
    nodes: list[str] = []
    named: list[str] = []
    for number in range(size):
        inputs = dice.sample(named, min(len(named), dice.randrange(4)))
        if dice.random() < 0.2:
            algorithm = dice.choice(["md5", "sha1", "sha256", "sha512"])
            attributes = f'outputHashAlgo = "{algorithm}"; outputHash = builtins.hashString "{algorithm}" "{number}\\n";'
            outputs, script = ["out"], f"echo {number} > $out"
        else:
            outputs = ["out", *dice.sample(["dev", "lib", "doc"], dice.randrange(3))]
            attributes = "outputs = [ " + " ".join(f'"{output}"' for output in outputs) + " ];"
            script = "; ".join(random_output(dice, place, outputs[:place], output) for place, output in enumerate(outputs))
        attributes += f" inputs = [ {' '.join(inputs)} ];"
        nodes.append(f"  n{number} = script \"n{number}\" {{ {attributes} }} ''{script}'';")
        named += [f"n{number}.{output}" for output in outputs]
    every = f"  top = script \"top\" {{ inputs = [ {' '.join(named)} ]; }} ''echo $inputs > $out'';"
    return "rec {\n" + "\n".join([*nodes, every]) + "\n}\n"


def random_output(dice, place, earlier, output):
    """Part of a script: one output, which may refer to inputs, to earlier outputs, and to itself."""
    words = dice.sample(["$inputs", f"${output}", "word", *(f"${name}" for name in earlier)], dice.randrange(1, 3))
    text = " ".join(words)
    return dice.choice(
        [
            f'echo "{text}" > ${output}',
            f'echo "{text}" > ${output}; chmod 755 ${output}',
            f'mkdir -p ${output}/a/b; echo "{text}" > ${output}/a/file; ln -s "to {text}" ${output}/a/b/link',
            f"ln -s {place} ${output}",
        ]
    )


@pytest.mark.parametrize("part", range(GRAPHS))
async def test_random_graphs_are_built_to_the_same_bytes(nix, tmp_path, toolchain_tree, part):
    seed = random.randrange(1 << 30)
    sys.stdout.write(f"part {part}, seed {seed}\n")
    expression = nix.expression(toolchain_tree, random_graph(random.Random(seed)))
    (derivation,) = nix.words("nix-instantiate", expression, "-A", "top")
    store = Store(tmp_path / "root", nix.store_dir)
    nix.move(store, [derivation])
    nix.run("nix-store", "--realise", derivation)

    await realise(store, [StorePath.parse(derivation, nix.store_dir)])

    built = [path for path in nix.words("nix-store", "-qR", "--include-outputs", derivation) if not path.endswith(".drv")]
    assert len(built) > 14
    ours = {path: store.query(path) for path in built}
    assert {path: (found.nar_hash, list(found.references)) for path, found in ours.items()} == {
        path: nix.info(path) for path in built
    }
