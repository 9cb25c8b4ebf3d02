"""Examples that are marked as what they are (```yaml configuration, inventory, packages) are read without error."""

from __future__ import annotations

import jsonschema
import pytest

from deployer import yaml_source
from deployer.config import Evaluator, HostView, all_modules
from deployer.config.reference import schema
from deployer.inventory import load_fleet
from deployer.packages import PackageSet
from deployer.rollout import Strategy
from deployer.yaml_source import to_plain
from tests.docs.project_pages import blocks

HOST = HostView("web1", "192.0.2.1", ("web",), {"zone": "a"}, {"port": 8080, "monitored": True})


class AnyPackage:
    """A resolver that has every package."""

    def names(self) -> list[str]:
        """A few."""
        return ["hello-server", "nginx", "notes", "postgresql", "python", "redis", "toolchain"]

    def output_path(self, name: str) -> str:
        """A path of the right form."""
        return f"/nix/store/{'0' * 32}-{name}"

    def is_tree(self, path: str) -> bool:
        """None is."""
        return False


@pytest.mark.parametrize("block", [*blocks("yaml configuration")], ids=str)
def test_configurations_evaluate(block, tmp_path):
    (tmp_path / "main.yaml").write_text(block.body)
    (tmp_path / "common.yaml").write_text("sysctl: {net.core.somaxconn: '4096'}\n")

    config = Evaluator(packages=AnyPackage()).evaluate(HOST, tmp_path / "main.yaml")

    assert config.warnings == ()


@pytest.mark.parametrize("block", [*blocks("yaml configuration")], ids=str)
def test_configurations_are_valid_by_the_exported_schema(block, validator):
    document = to_plain(yaml_source.loads(block.body, str(block)), ignore_tags=True)

    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    """A public validator, with what `deployer schema` prints."""
    return jsonschema.Draft202012Validator(schema(option for module in all_modules() for option in module.options.values()))


@pytest.mark.parametrize("block", [*blocks("yaml inventory")], ids=str)
def test_inventories_load(block, tmp_path):
    (tmp_path / "inventory.yaml").write_text(block.body)

    fleet = load_fleet([tmp_path / "inventory.yaml"])

    assert fleet.select(None)
    Strategy.parse(fleet.rollout)


@pytest.mark.parametrize("block", [*blocks("yaml packages")], ids=str)
def test_packages_load(block, tmp_path):
    (tmp_path / "packages.yaml").write_text(block.body)

    assert len(PackageSet.load(tmp_path / "packages.yaml").names())


def test_there_are_examples():
    assert len(list(blocks("yaml configuration"))) >= 8
