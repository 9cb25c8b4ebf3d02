"""What a Python is given to run. There the directory has any name, and no package is around it.

A Python keeps the byte code of what it imports, and of a directory that it is to run, but not of a script; and in a store nothing
may be written, which root could.
"""

import sys

if __name__ == "__main__":
    sys.dont_write_bytecode = True
    for name in ("deployer", "deployer.sandbox", "deployer.sandbox.launcher"):
        package = type(sys)(name)
        package.__path__ = [__file__.rpartition("/")[0]]
        sys.modules[name] = package

    from deployer.sandbox.launcher.program import main

    main(sys.argv[1:])
