"""`python -m deployer`. Any Python 3 gets as far as to say that it is too old: what is imported here needs a newer one."""

import sys

if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.stderr.write(
            f"error: deployer needs Python 3.11 or newer, and this is {sys.version.split()[0]}\n"
            "  → Run it by a newer one: python3.11 -m deployer. Without one, run a file that `deployer pack` wrote elsewhere.\n"
        )
        sys.exit(2)
    from deployer.cli import main

    main()
