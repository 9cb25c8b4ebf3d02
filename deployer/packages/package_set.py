"""The set of packages: names to recipes to derivations, each made only when something refers to it.

Overlays are functions `(final, prev) -> {NAME: recipe}`, applied in order. `prev` is the set so far; `final` the set with all
overlays, in which a recipe's dependencies are looked up by name: so replacing a package replaces it for all that need it. A value
may also be a function without arguments that returns the recipe; it may read `final`, which an overlay's body may not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Union

from deployer.errors import Place, near, raise_all
from deployer.formats import Derivation, StorePath
from deployer.formats.storepath import HASH_LENGTH
from deployer.packages.derivation_inputs import Made, needed_first
from deployer.packages.derivations import DEFAULT_STORE_DIR, DerivationMaker, interpreter_of
from deployer.packages.errors import PackageCycle, PackageUnknown, StorePathMissing
from deployer.packages.lockfile import LOCK_NAME, DebianRequest, Lock, LockedDebian
from deployer.packages.nix_packages import PinnedAttribute
from deployer.packages.recipes import DebianRecipe, Dependency, NixRecipe, PythonRecipe, Recipe, is_requirements_file

if TYPE_CHECKING:
    from deployer.store import Store

Overlay = Callable[["RecipeView", "RecipeView"], Mapping[str, Union[Recipe, Callable[[], Recipe]]]]


class RecipeView(Mapping[str, Recipe]):
    """The recipes that an overlay sees."""

    def __init__(self, layers: Callable[[], Mapping[str, Union[Recipe, Callable[[], Recipe]]]]) -> None:
        """`layers` returns the recipes, or functions that return them."""
        self._layers = layers
        self._forced: dict[str, Recipe] = {}
        self._forcing: list[str] = []

    def __getitem__(self, name: str) -> Recipe:
        """A recipe by name. Raises `PackageUnknown`."""
        if name in self._forced:
            return self._forced[name]
        layers = self._layers()
        if name not in layers:
            raise PackageUnknown(name, near(name, layers))
        if name in self._forcing:
            raise PackageCycle((*self._forcing[self._forcing.index(name) :], name))
        value = layers[name]
        self._forcing.append(name)
        try:
            self._forced[name] = value if isinstance(value, Recipe) else value()
        finally:
            self._forcing.pop()
        return self._forced[name]

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._layers())

    def __len__(self) -> int:
        """How many."""
        return len(self._layers())

    def __contains__(self, name: object) -> bool:
        """Whether there is one of this name; forces nothing."""
        return name in self._layers()


class PackageSet:
    """All packages that a fleet can refer to."""

    def __init__(
        self,
        recipes: Mapping[str, Recipe],
        *,
        lock: Lock | None = None,
        lock_file: Path | None = None,
        store_dir: str = DEFAULT_STORE_DIR,
        overlays: tuple[Overlay, ...] = (),
    ) -> None:
        """A set of `recipes`, in which `lock` pins what they do not pin themselves."""
        self._recipes, self._overlays = recipes, overlays
        self._lock, self._lock_file, self._store_dir = lock or Lock({}), lock_file or Path(LOCK_NAME), store_dir
        self._layered: Mapping[str, Union[Recipe, Callable[[], Recipe]]] | None = None
        self._layering = False
        self.recipes = RecipeView(self._layers)
        self._maker = DerivationMaker(self._lock, self._lock_file, store_dir)
        self._made: dict[int, tuple[Recipe, Made]] = {}
        self._making: list[Recipe] = []
        self._trees: dict[str, tuple[DebianRecipe, Made]] = {}
        """By the beginnings of their store paths, up to the name."""

    @classmethod
    def load(cls, path: Path | None, *, store_dir: str = DEFAULT_STORE_DIR) -> PackageSet:
        """Read packages.yaml and the lock beside it; None is the set without packages. Raises all of a file's errors together."""
        if path is None:
            return cls({}, store_dir=store_dir)
        from deployer.packages.loading import read_package_file

        lock_file = path.with_name(LOCK_NAME)
        file = read_package_file(path)
        lock = Lock.read(lock_file)
        return cls(file.recipes, lock=lock, lock_file=lock_file, store_dir=store_dir, overlays=file.overlays)

    def with_overlay(self, overlay: Overlay) -> PackageSet:
        """This set with one more overlay on top."""
        return PackageSet(
            self._recipes,
            lock=self._lock,
            lock_file=self._lock_file,
            store_dir=self._store_dir,
            overlays=(*self._overlays, overlay),
        )

    def names(self) -> Collection[str]:
        """The names of all packages."""
        return sorted(self.recipes)

    def output_path(self, name: str) -> str:
        """The store path of a package, known without building it. Raises `PackageUnknown` and what is wrong with its recipe."""
        return str(self._make(self.recipes[name]).output)

    def derivation(self, name: str) -> Derivation:
        """How a package is made."""
        return self._make(self.recipes[name]).derivation

    def derivation_path(self, name: str) -> StorePath:
        """The store path of a package's derivation."""
        return self._make(self.recipes[name]).path

    def made(self, name: str) -> Made:
        """A package's derivation with all that it is made from."""
        return self._make(self.recipes[name])

    def mentioned(self, text: str) -> tuple[Made, ...]:
        """The packages whose outputs a text mentions, of those that were referred to, in order of path."""
        found = {made.output: made for _, made in self._made.values() if made.output.hash_part in text}
        return tuple(found[output] for output in sorted(found))

    def cached_paths(self, made: Iterable[Made]) -> tuple[StorePath, ...]:
        """The store paths that `write` must find in the store already: those of kind `nix`."""
        return self._maker.cached_paths(made)

    def write(self, store: Store, made: Iterable[Made]) -> None:
        """Write derivations, and all that they need, into a store. Raises `StorePathMissing`."""
        self._maker.write(store, made)

    def instantiate(self, store: Store, names: Iterable[str]) -> dict[str, StorePath]:
        """Write the derivations of packages, and all that they need, into a store. Returns the derivations' paths."""
        made = {name: self._make(self.recipes[name]) for name in names}
        self._maker.write(store, made.values())
        return {name: item.path for name, item in made.items()}

    def place_of(self, output: str) -> Place | None:
        """Where the hash that pins an output stands, for outputs of packages that were referred to."""
        return self._maker.place_of(output)

    def warnings_of(self, made: Iterable[Made]) -> tuple[str, ...]:
        """What is worth a word of these packages, and hinders nobody."""
        found = (self._maker.warning_of(str(item.output)) for item in made)
        return tuple(warning for warning in found if warning)

    def debian_requests(self) -> tuple[DebianRequest, ...]:
        """What a lock must pin."""
        recipes = [recipe for recipe in (self.recipes[name] for name in self.names()) if isinstance(recipe, DebianRecipe)]
        return tuple(
            DebianRequest(one.name, one.suites, one.packages, one.architecture, one.place, one.components) for one in recipes
        )

    def python_requests(self) -> tuple[tuple[PythonRecipe, DebianRecipe], ...]:
        """The packages whose wheels a lock must pin, each with its interpreter. Raises what is wrong with these."""
        recipes = [recipe for recipe in (self.recipes[name] for name in self.names()) if isinstance(recipe, PythonRecipe)]
        asking = [recipe for recipe in recipes if is_requirements_file(recipe.lock)]
        return tuple((item, interpreter_of(item, self._resolve(item.interpreter, item), "python3")) for item in asking)

    def nix_requests(self) -> tuple[NixRecipe, ...]:
        """The packages whose store paths a lock must pin."""
        recipes = [recipe for recipe in (self.recipes[name] for name in self.names()) if isinstance(recipe, NixRecipe)]
        return tuple(recipe for recipe in recipes if recipe.attribute)

    def pinned_attribute(self, path: StorePath) -> PinnedAttribute | None:
        """The attribute of a Nix expression that is this path, of packages that were referred to; None where it is none."""
        return self._maker.pinned_attribute(path)

    def missing_path(self, path: StorePath, reason: str) -> StorePathMissing:
        """That nothing has a path of `cached_paths`."""
        return self._maker.missing_path(path, reason)

    def recipe_of(self, made: Made) -> Recipe | None:
        """The recipe of a derivation; None where it is a part of a package's, or nothing referred to it."""
        return next((recipe for recipe, item in self._made.values() if item.path == made.path), None)

    def tree_around(self, path: str) -> tuple[DebianRecipe, Made] | None:
        """The package of kind `debian` in whose tree a path is, of those that were referred to."""
        return self._trees.get(path[: len(self._store_dir) + 1 + HASH_LENGTH])

    def is_tree(self, path: str) -> bool:
        """Whether a path is the output of a package of kind `debian` that was referred to."""
        return (found := self.tree_around(path)) is not None and str(found[1].output) == path

    def root_trees(self, made: Iterable[Made], *, running: bool = False) -> dict[str, LockedDebian]:
        """What the lock pins for each package of kind `debian` among these and all that they are made from, by name.

        The Python that deployer brings is one of them, by the name of the package that would take its place. `running`: only
        those of which something may run, and not those that are toolchains of builds and nothing else.
        """
        from deployer.packages.interpreter import pinned_roots

        ordered = needed_first(made, lasting=running)
        needed = {item.path for item in ordered}
        known = [(recipe, item) for recipe, item in self._made.values() if item.path in needed]
        found = {recipe.name: self._maker.locked(recipe) for recipe, _ in known if isinstance(recipe, DebianRecipe)}
        return dict(sorted({**pinned_roots(ordered), **found}.items()))

    def check(self) -> None:
        """Make every derivation, and raise all that is wrong, together."""
        from deployer.errors import DeployerError

        errors: list[DeployerError] = []
        circles: set[frozenset[str]] = set()
        for name in self.names():
            try:
                self._make(self.recipes[name])
            except PackageCycle as error:
                if frozenset(error.cycle) not in circles:
                    errors.append(error)
                circles.add(frozenset(error.cycle))
            except DeployerError as error:
                errors.append(error)
        raise_all(errors)

    def _make(self, recipe: Recipe) -> Made:
        known = self._made.get(id(recipe))
        if known is not None:
            return known[1]
        if any(recipe is other for other in self._making):
            names = [other.name for other in self._making]
            raise PackageCycle((*names[names.index(recipe.name) :], recipe.name), recipe.place)
        self._making.append(recipe)
        try:
            made = self._maker.make(
                recipe,
                lambda needed: self._make(self._resolve(needed, recipe)),
                lambda needed: self._resolve(needed, recipe),
                self._python,
            )
        finally:
            self._making.pop()
        self._made[id(recipe)] = (recipe, made)
        if isinstance(recipe, DebianRecipe):
            self._trees[f"{self._store_dir}/{made.output.hash_part}"] = (recipe, made)
        return made

    def _python(self, machine: str) -> Made:
        from deployer.packages.interpreter import interpreter

        return interpreter(self, machine, self._store_dir)

    def _resolve(self, needed: Dependency, by: Recipe) -> Recipe:
        if isinstance(needed, Recipe):
            return needed
        if needed not in self.recipes:
            raise PackageUnknown(needed, near(needed, self.recipes), by.place, _lies_beside(by, needed))
        return self.recipes[needed]

    def _layers(self) -> Mapping[str, Union[Recipe, Callable[[], Recipe]]]:
        if self._layered is None:
            if self._layering:
                raise PackageCycle(("an overlay", "final", "the same overlay"))
            self._layering = True
            try:
                layered: dict[str, Union[Recipe, Callable[[], Recipe]]] = dict(self._recipes)
                for overlay in self._overlays:
                    below = dict(layered)
                    layered.update(overlay(self.recipes, RecipeView(lambda below=below: below)))  # type: ignore[misc]
                self._layered = layered
            finally:
                self._layering = False
        return self._layered


def _lies_beside(recipe: Recipe, name: str) -> bool:
    return recipe.place is not None and "/" not in name and Path(recipe.place.file).with_name(name).exists()
