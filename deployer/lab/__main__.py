"""`python -m deployer.lab`: the lab without the rest of the command line."""

from deployer.lab.command import main

if __name__ == "__main__":
    main()
