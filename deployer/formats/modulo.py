"""The hashes of a graph of derivations, each computed once, however deep the graph is."""

from __future__ import annotations

from typing import Callable, Dict

from deployer.formats.derivation import Derivation, DerivationRefused, check_output_paths, hash_modulo


class ModuloHashes:
    """`hash_modulo` by the path of a `.drv`; those that it depends on are read when they are needed."""

    def __init__(self, load: Callable[[str], Derivation]) -> None:
        """`load` reads the derivation at a path."""
        self._load = load
        self._hashes: Dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """Of one derivation. Raises `DerivationRefused` where it depends on itself."""
        under_way: Dict[str, Derivation] = {}
        todo = [path]
        while todo:
            at = todo[-1]
            if at in self._hashes:
                todo.pop()
                continue
            again = at in under_way
            derivation = under_way[at] if again else under_way.setdefault(at, self._load(at))
            # A fixed output is the same whatever it is fetched with.
            inputs = () if derivation.is_fixed else derivation.input_derivations
            missing = [one for one in inputs if one not in self._hashes]
            if not missing:
                self._hashes[at] = hash_modulo(derivation, self._hashes.__getitem__)
                del under_way[at]
                todo.pop()
            elif again or any(one in under_way for one in missing):
                raise DerivationRefused(derivation.name, "it depends on itself")
            else:
                todo += missing
        return self._hashes[path]

    def check(self, path: str, store_dir: str) -> None:
        """See that a derivation claims no paths but its own (`check_output_paths`). Raises `DerivationRefused`."""
        derivation = self._load(path)
        if not derivation.is_fixed:
            for one in derivation.input_derivations:
                self(one)
        check_output_paths(derivation, self._hashes.__getitem__, store_dir)
