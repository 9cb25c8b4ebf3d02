"""What a host's error is on the controller."""

from __future__ import annotations

import pytest

from deployer.copy.errors import refusal
from deployer.host.refusals import HostBroken, KeptFiles, SystemMissing


@pytest.mark.parametrize(
    ("error", "code"), [(SystemMissing("/nix/store/x"), 1), (KeptFiles(("/etc/x",)), 2), (HostBroken("x"), 4)]
)
def test_it_ends_with_the_exit_code_that_it_has_on_the_host(error, code):
    told = refusal("web1", {**error.to_json(), "exit_code": int(error.exit_code)})

    assert (int(told.exit_code), told.message, told.to_json()["error"]) == (code, error.message, type(error).__name__)


@pytest.mark.parametrize("code", [None, "4", 77])
def test_what_is_no_exit_code_counts_as_a_failure(code):
    assert int(refusal("web1", {"message": "no", "exit_code": code}).exit_code) == 1
