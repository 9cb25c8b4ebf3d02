"""All that runs on a host: the protocol's server, the transaction that moves a host from one generation to another, the
dead-man's switch that undoes it, unit switching, health checks, and observation for drift.

With `errors`, `formats` and `store` it travels as the host runtime, whose entry point is `deployer.host.main`. Standard library
only, Python 3.9 and up. `docs/explanation/activation.md` tells how the transaction works.
"""
