"""Hosts that are no longer as their generation declares: found, told, and set right where the policy says so.

`decide` is pure: what to do about a host's drift, given its policy and what was repaired before. `reconcile` asks every host
(`DriftOperations`), decides, repairs, and writes down what it did, so that drift that keeps coming back is left alone and told.
"""

from deployer.drift.policy import Decision, Policy, PolicyWrong, Verdict, decide
from deployer.drift.reconcile import DriftOperations, DriftReport, reconcile

__all__ = ["Decision", "DriftOperations", "DriftReport", "Policy", "PolicyWrong", "Verdict", "decide", "reconcile"]
