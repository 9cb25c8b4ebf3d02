"""Where a Python that is given this directory begins. There the directory has any name, and no package is around it."""

import sys

if __name__ == "__main__":
    sys.dont_write_bytecode = True  # In a store nothing is written, and root could.
    for name in ("deployer", "deployer.sandbox", "deployer.sandbox.launcher"):
        package = type(sys)(name)
        package.__path__ = [__file__.rpartition("/")[0]]
        sys.modules[name] = package

    from deployer.sandbox.launcher.program import main

    main(sys.argv[1:])
