"""Wrong modules of one's own, each with exactly what is said of it: the line of the module, what happened, and what to do."""

from __future__ import annotations

import re

import pytest

from deployer.config.library_place import library_directory

HEAD = "from deployer.config import Fault, Module, types\nmodule = Module('own', '')\n"
ITS_AUTHOR = "This is an error in the module, not in your configuration; tell its author."

WRONG = {
    "none": ("x = 1\n", f"own.py: the module 'own' failed: it has no `module = Module(…)` | {ITS_AUTHOR}"),
    "no Python": ("x = 1\ndef broken(:\n", f"own.py:2:12: the module 'own' failed: SyntaxError: invalid syntax | {ITS_AUTHOR}"),
    "one that fails as it is loaded": (
        f"{HEAD}import nothing_of_this_name\n",
        f"own.py:3: the module 'own' failed: ModuleNotFoundError: No module named 'nothing_of_this_name' | {ITS_AUTHOR}",
    ),
    "one whose definition fails": (
        f"{HEAD}@module.defines('packages')\ndef names(config):\n    count = 0\n    return [1 // count]\n",
        "own.py:6: the module 'own' failed: ZeroDivisionError: integer division or modulo by zero | " + ITS_AUTHOR,
    ),
    "one whose assertion fails": (
        f"{HEAD}@module.asserts\ndef holds(config):\n    yield Fault(dict()['message'])\n",
        f"own.py:5: the module 'own' failed: KeyError: 'message' | {ITS_AUTHOR}",
    ),
    "one that defines what nobody declares": (
        f"{HEAD}module.defines('pakages')(lambda config: ['hello'])\n",
        f"own.py:3: the module 'own' failed: it defines 'pakages', which no module declares | {ITS_AUTHOR}",
    ),
    "one that reads what nobody declares": (
        f"{HEAD}@module.defines('packages')\ndef names(config):\n    return config['pakages']\n",
        f"own.py:5: the module 'own' failed: there is no option 'pakages'. Did you mean 'packages'? | {ITS_AUTHOR}",
    ),
    "one that declares what is there": (
        f"{HEAD}module.option('packages', types.list_of(types.line), 'Mine.', default=[])\n",
        f"own.py:3: the module 'own' failed: it declares the option 'packages', as modules/packages.py does | {ITS_AUTHOR}",
    ),
    "one that defines a value of a wrong type": (
        f"{HEAD}module.defines('packages')(lambda config: 'hello')\n",
        "own.py:3: option 'packages' must be a list, each item the name of a package, and is the text 'hello' | "
        "The option is declared at modules/packages.py.",
    ),
    "one whose default is of a wrong type": (
        f"{HEAD}module.option('mine', types.boolean, 'Mine.', default='yes')\n",
        "own.py:3: option 'mine' must be true or false, and is the text 'yes' | The option is declared at own.py:3.",
    ),
    "one that defines a package that nobody has": (
        f"{HEAD}module.defines('packages')(lambda config: ['helo'])\n",
        "own.py:3: option 'packages[0]': there is no package 'helo' | Did you mean 'hello'?",
    ),
    "one that needs itself": (
        f"{HEAD}module.option('mine', types.integer(0, 9), 'Mine.', default=1)\n"
        "module.defines('mine')(lambda config: config['mine'] + 1)\n",
        "own.py:4: the value of 'mine' depends on itself: mine → mine | "
        "Give one of them a value that does not refer to the others. Defined: mine at own.py:4.",
    ),
    "one that says what is wrong": (
        f"{HEAD}module.asserts(lambda config: iter([Fault('nothing greets', 'Add `hello`.', 'packages')]))\n",
        "main.yaml:2:11: nothing greets | Add `hello`.",
    ),
}


@pytest.mark.parametrize(("module", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_module_is_explained(directory, module, expected):
    (error,) = directory.errors("imports: [own]\npackages: [world]\n", **{"modules__own.py": module})

    said = f"{error} | {error.remedy}"
    for prefix in (f"{directory.path}/modules/", f"{directory.path}/", f"{library_directory().parent}/"):
        said = said.replace(prefix, "")
    assert re.sub(r"(modules/\w+\.py):\d+", r"\1", said) == expected
