"""A builder's half of a remote build: it takes inputs and an order, runs the sandbox, and sends back what came of it.

It knows nothing of hosts and generations, and needs no root: its store is the user's own (`deployer.copy.bootstrap`). What it is
asked is in `deployer.formats.building`. It lives as long as its controller is there, and so does whatever it runs.
"""
