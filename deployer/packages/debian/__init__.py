"""Packages of kind `debian`: which .debs a set comes to, whose word that is, what is newer by now, and the root tree of them.

`solving` is the way in for a lock, and `updates` for an audit: by apt in a state of its own, or by resolvelib over indexes that
are verified here. `trees` makes the derivation of what a lock pins, and asks nobody.
"""
