"""What an error class is made of: fields, as a dataclass has them, and nothing that costs a start."""

from __future__ import annotations

import pickle
from typing import ClassVar

import pytest

from deployer.errors import DeployerError, DeploymentError, ManyErrors, Place


class HostTooOld(DeploymentError):
    """A host that is too old."""

    host: str
    release: str
    wanted: str = "bookworm"
    limit: ClassVar[int] = 3

    @property
    def message(self) -> str:
        """How old."""
        return f"it runs {self.release}, and {self.wanted} is asked for"


class HostFarTooOld(HostTooOld):
    """With a field of its own."""

    place: Place = Place("fleet.yaml", 3)


def test_fields_are_given_in_order_or_by_name_and_have_defaults() -> None:
    assert str(HostTooOld("web1", "buster")) == "web1: it runs buster, and bookworm is asked for"
    assert str(HostTooOld("web1", wanted="trixie", release="buster")) == "web1: it runs buster, and trixie is asked for"
    assert str(HostFarTooOld("web1", "buster")) == "fleet.yaml:3: web1: it runs buster, and bookworm is asked for"
    assert HostFarTooOld("web1", "buster", "trixie", Place("other.yaml")).location == Place("other.yaml")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("web1",), {}),
        (("web1", "buster", "trixie", "more"), {}),
        (("web1", "buster"), {"unknown": 1}),
        (("web1", "buster"), {"host": "again"}),
        (("web1", "buster"), {"limit": 4}),
    ],
)
def test_other_than_its_fields_an_error_does_not_take(values, named) -> None:
    with pytest.raises(TypeError, match="HostTooOld is made of host, release, wanted"):
        HostTooOld(*values, **named)


def test_an_error_comes_whole_through_another_process() -> None:
    error = HostFarTooOld("web1", wanted="trixie", release="buster")
    again = pickle.loads(pickle.dumps(error))

    assert (str(again), vars(again)) == (str(error), vars(error))
    assert str(pickle.loads(pickle.dumps(ManyErrors([error, error])))) == str(ManyErrors([error]))


def test_several_are_told_together_and_none_twice() -> None:
    many = ManyErrors([HostTooOld("web1", "buster"), ManyErrors([HostTooOld("web1", "buster"), HostTooOld("web2", "buster")])])

    assert [error.on_host for error in many.errors] == ["web1", "web2"]
    assert isinstance(many, DeployerError)
