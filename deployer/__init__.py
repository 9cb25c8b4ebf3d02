"""deployer: declarative, atomic, self-healing deployments over SSH for the Linux servers you already have."""

# Not `Final`: a Python that is too old for that is to be told so, by `__main__`.
__version__ = "0.1.0"
