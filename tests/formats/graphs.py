"""Random graphs of derivations, as values of ours and as expressions of Nix."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from deployer.formats import Derivation, Hash, Output, StorePath
from deployer.formats.derivation import hash_modulo, with_output_paths
from deployer.formats.hashes import ENCODINGS, SIZES
from deployer.formats.storepath import make_text_path

NAMES = st.sampled_from(["a", "b", "c+1", "d.e-f_g?=H"])
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', "\\", "\\n", "\n\r\t", "${x}", "$", "''", "\udcff\udc80", "\udcff\uffff", "a,b)]", "\r\n"]
)
KEYS = TEXTS.map(lambda text: f"k{text}")
OUTPUTS = st.sampled_from([("out",), ("out", "dev"), ("man", "out", "dev"), ("lib",)])
FIXED = st.tuples(st.sampled_from(sorted(SIZES)), st.sampled_from(["", "flat", "recursive"]), st.sampled_from(ENCODINGS))


@st.composite
def graphs(draw):
    """A list of nodes; each uses outputs of those before it."""
    nodes = []
    for index in range(draw(st.integers(1, 6))):
        fixed = draw(st.none() | FIXED)
        uses = draw(st.lists(st.tuples(st.integers(0, index - 1), st.integers(0, 2)), max_size=4)) if index else []
        nodes.append(
            {
                "name": draw(NAMES),
                "fixed": fixed,
                "outputs": ("out",) if fixed else draw(OUTPUTS),
                "uses": uses,
                "note": draw(st.none() | st.sampled_from(["text", 'a "quoted" text\n'])),
                "args": draw(st.lists(TEXTS, max_size=3)),
                "env": draw(st.dictionaries(KEYS, TEXTS, max_size=3)),
                "system": draw(st.sampled_from(["x86_64-linux", "mips\n"])),
            }
        )
    return nodes


def fixed_attributes(fixed):
    """What fixes an output, spelled in one of many ways."""
    if fixed is None:
        return {}
    algorithm, mode, encoding = fixed
    digest = Hash.of(algorithm, b"content")
    return {"outputHash": digest.to(encoding), "outputHashAlgo": algorithm, **({"outputHashMode": mode} if mode else {})}


def used(nodes, node):
    """The outputs that a node uses: index and name."""
    return [(index, nodes[index]["outputs"][at % len(nodes[index]["outputs"])]) for index, at in node["uses"]]


def literal(text):
    """A string of Nix's language."""
    for letter, escape in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(letter, escape)
    return f'"{text}"'


def expression(nodes):
    """A list of all nodes, as Nix evaluates it."""
    lines = []
    for index, node in enumerate(nodes):
        attributes = {**node["env"], **fixed_attributes(node["fixed"]), "name": node["name"], "system": node["system"]}
        bindings = [f"{literal(key)} = {literal(value)};" for key, value in attributes.items()]
        bindings.append(f"args = [ {' '.join(map(literal, node['args']))} ];")
        bindings.append('uses = "' + " ".join(f"${{n{at}.{name}}}" for at, name in used(nodes, node)) + '";')
        if node["note"] is not None:
            bindings.append(f'note = builtins.toFile "note" {literal(node["note"])};')
        if node["outputs"] != ("out",):
            bindings.append(f"outputs = [ {' '.join(map(literal, node['outputs']))} ];")
        lines.append(f'n{index} = derivation {{ builder = "/bin/sh"; {" ".join(bindings)} }};')
    names = " ".join(f"n{index}" for index in range(len(nodes)))
    return f"let {' '.join(lines)} in [ {names} ]".encode("utf-8", "surrogateescape")


class Made:
    """The same graph, computed by us for one store directory."""

    def __init__(self, nodes, store_dir):
        self.derivations: dict[str, Derivation] = {}
        self.notes: dict[str, bytes] = {}
        self.paths: list[str] = []
        self._hashes: dict[str, str] = {}
        for node in nodes:
            inputs: dict[str, tuple[str, ...]] = {}
            uses = []
            for index, name in used(nodes, node):
                path = self.paths[index]
                inputs[path] = tuple(sorted({*inputs.get(path, ()), name}))
                uses.append(self.derivations[path].outputs[name].path)
            environment = {**node["env"], **fixed_attributes(node["fixed"]), "uses": " ".join(uses), "name": node["name"]}
            environment |= {"builder": "/bin/sh", "system": node["system"]}
            if node["outputs"] != ("out",):
                environment["outputs"] = " ".join(node["outputs"])
            sources: tuple[str, ...] = ()
            if node["note"] is not None:
                content = node["note"].encode()
                sources = (str(make_text_path("note", content, (), store_dir)),)
                environment["note"] = sources[0]
                self.notes[sources[0]] = content
            output = Output()
            if node["fixed"]:
                algorithm, mode, _ = node["fixed"]
                prefix = "r:" if mode == "recursive" else ""
                output = Output("", prefix + algorithm, hashlib.new(algorithm, b"content").hexdigest())
            outputs = dict.fromkeys(node["outputs"], output)
            arguments = tuple(node["args"])
            draft = Derivation(node["name"], outputs, inputs, sources, node["system"], "/bin/sh", arguments, environment)
            made = with_output_paths(draft, self.hash_of, store_dir)
            path = str(made.path(store_dir))
            self.paths.append(path)
            self.derivations[path] = made

    def hash_of(self, path):
        """What a derivation is to others."""
        if path not in self._hashes:
            self._hashes[path] = hash_modulo(self.derivations[path], self.hash_of)
        return self._hashes[path]

    def references(self):
        """Each path of the graph, to what it refers to."""
        drvs = {path: (*made.input_derivations, *made.input_sources) for path, made in self.derivations.items()}
        return {**dict.fromkeys(self.notes, ()), **drvs}

    def content(self, path):
        """Of one path of the graph, which is a file."""
        return self.notes[path] if path in self.notes else self.derivations[path].to_bytes()

    @staticmethod
    def name_of(path, store_dir):
        """The derivation's name, by its path."""
        return StorePath.parse(path, store_dir).name.removesuffix(".drv")
