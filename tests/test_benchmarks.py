"""`script/bench` knows which files of `benchmarks/` are benchmarks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("arguments", [[], ["report"], ["flee"], ["fleet store"], ["../script/lock"]])
def test_what_is_no_benchmark_is_refused_with_those_that_there_are(arguments):
    done = subprocess.run(["script/bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2
    assert done.stderr.endswith("the benchmarks are: evaluation fleet packages store switch\n")
