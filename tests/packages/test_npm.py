"""Which tarballs a package-lock.json means, and what is refused."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest

from deployer.packages import PackageSet
from deployer.packages.errors import LockOutdated, PackageInvalid
from deployer.packages.lockfile import Lock, LockedDeb, LockedDebian
from deployer.packages.npm import NodePlatform, select_packages
from tests.tarballs import integrity

GOOD = integrity(b"good")
SITE = "https://registry.example.org"


def debs(*names):
    return tuple(LockedDeb(name, "1", "amd64", f"pool/{name}.deb", 1, "00" * 32) for name in names)


def entry(name, version="1.0.0", **more):
    return {"version": version, "resolved": f"{SITE}/{name}/-/{name}-{version}.tgz", "integrity": GOOD, **more}


FASTER = ("@fast/linux", "@fast/musl", "@fast/mac", "@fast/arm", "leaning")
ENTRIES = {
    "": {
        "name": "shop",
        "bin": {"shop": "./cli.js"},
        "dependencies": {"web": "^1.0.0", "fast": "1"},
        "devDependencies": {"checker": "1"},
    },
    "node_modules/web": entry("web", dependencies={"ms": "2"}, bin={"web": "bin/web.js"}),
    "node_modules/web/node_modules/ms": entry("ms", "2.0.0", bin={"ms": "ms.js"}),
    "node_modules/ms": entry("ms", "1.0.0"),
    "node_modules/fast": entry("fast", optionalDependencies=dict.fromkeys(FASTER, "1")),
    "node_modules/@fast/linux": entry("linux", optional=True, os=["linux"], cpu=["x64"]),
    "node_modules/@fast/musl": entry("musl", optional=True, os=["linux"], libc=["musl"]),
    "node_modules/@fast/mac": entry("mac", optional=True, os=["!linux"], dependencies={"helper": "1"}, hasInstallScript=True),
    "node_modules/helper": entry("helper", optional=True, bin="help.js"),
    "node_modules/@fast/arm": entry("arm", optional=True, cpu=["arm64"], dependencies={"ms": "3"}),
    "node_modules/@fast/arm/node_modules/ms": entry("ms", "3.0.0", optional=True),
    "node_modules/leaning": entry("leaning", optional=True, dependencies={"@fast/mac": "1"}),
    "node_modules/checker": entry("checker", dev=True, bin={"check": "check.js"}),
}


@pytest.fixture
def select(tmp_path):
    """Select from a lock file of the entries above, with changes."""

    def chosen(changes=None, *, text=None, version=3, cpu="x64", version_of_node=None, **asked):
        entries = deepcopy(ENTRIES)
        for path, change in (changes or {}).items():
            entries[path] = {**entries.get(path, {}), **change}
        document = {"name": "shop", "lockfileVersion": version, "requires": True, "packages": entries}
        lock = tmp_path / "package-lock.json"
        lock.write_text(json.dumps(document, indent=2) if text is None else text)
        asked = {"omit": ("dev",), "without_scripts": (), "source": tmp_path, "registry": "", **asked}
        return select_packages("app", lock, NodePlatform(cpu, version=version_of_node), place=None, **asked)

    return chosen


def paths(project):
    return [tarball.path.replace("node_modules/", "") for tarball in project.tarballs]


@pytest.mark.parametrize("version", [2, 3])
def test_a_lock_means_what_its_project_needs_here_each_at_its_place(select, tmp_path, version):
    project = select(version=version)

    assert paths(project) == ["@fast/linux", "fast", "ms", "web", "web/ms"]
    inner = project.tarballs[-1]
    assert (inner.version, inner.url, inner.digest) == ("2.0.0", f"{SITE}/ms/-/ms-2.0.0.tgz", GOOD)
    line = (tmp_path / "package-lock.json").read_text().splitlines()[inner.place.line - 1]
    assert line.strip() == '"node_modules/web/node_modules/ms": {'


def test_another_architecture_has_other_packages(select):
    assert paths(select(cpu="arm64")) == ["@fast/arm", "@fast/arm/ms", "fast", "ms", "web", "web/ms"]


def test_programs_are_those_of_the_project_and_of_what_it_asks_for_itself(select):
    assert select().programs == {"shop": "cli.js", "web": "node_modules/web/bin/web.js"}
    assert select(source=None, omit=()).programs == {
        "check": "node_modules/checker/check.js",
        "web": "node_modules/web/bin/web.js",
    }


def test_the_programs_of_all_packages_can_be_run_by_others(select):
    assert select().runnable == ("cli.js", "node_modules/web/bin/web.js", "node_modules/web/node_modules/ms/ms.js")


def test_what_only_something_left_out_needs_is_left_out_too(select):
    needed = {"": {"dependencies": {"ms": "1"}}, "node_modules/ms": {"optionalDependencies": {"helper": "1"}}}

    assert "helper" not in paths(select())
    assert "helper" in paths(select(needed))


def test_what_is_left_out_is_what_npm_would_leave_out(select):
    assert "checker" in paths(select(omit=()))
    assert "@fast/linux" not in paths(select(omit=("optional",)))
    both = {"node_modules/ms": {"devOptional": True}}
    assert "ms" in paths(select(both))
    assert "ms" not in paths(select(both, omit=("dev", "optional")))


WORKSPACES = {
    "": {"workspaces": ["packages/*"]},
    "node_modules/part": {"resolved": "packages/part", "link": True},
    "packages/part": {
        "version": "1.0.0",
        "bin": {"part": "cli.js"},
        "dependencies": {"ms": "4"},
        "optionalDependencies": {"few": "1"},
    },
    "packages/part/node_modules/ms": entry("ms", "4.0.0", bin={"ms": "ms.js"}),
    "node_modules/few": entry("few", optional=True),
}


@pytest.fixture
def part(tmp_path):
    """The directory of a workspace."""
    directory = tmp_path / "packages/part"
    directory.mkdir(parents=True)
    return directory


def test_a_workspace_is_a_link_with_programs_and_packages_of_its_own(select, part):
    project = select(WORKSPACES)

    assert project.links == {"node_modules/part": "packages/part"}
    assert project.linked_programs["node_modules/.bin/part"] == "node_modules/part/cli.js"
    assert project.linked_programs["packages/part/node_modules/.bin/ms"] == "packages/part/node_modules/ms/ms.js"
    assert project.programs["part"] == "packages/part/cli.js"
    assert "packages/part/cli.js" in project.runnable
    assert {"few", "packages/part/ms"} <= set(paths(project))
    assert not {"part", "packages/part"} & set(paths(project))


def test_a_directory_that_is_left_out_has_no_link_and_needs_nothing(select, part):
    for_others = {"optional": True, "os": ["darwin"]}
    changes = WORKSPACES | {
        "node_modules/part": {"resolved": "packages/part", "link": True, "optional": True},
        "packages/part": {**WORKSPACES["packages/part"], **for_others},
        "packages/part/node_modules/ms": entry("ms", "4.0.0", optional=True),
    }

    project = select(changes)

    assert project.links == {}
    assert not {"few", "packages/part/ms"} & set(paths(project))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_modules/part": {"resolved": "packages/none", "link": True}}, "is a link to 'packages/none', .* not in 'source'"),
        ({"node_modules/part": {"resolved": "packages/link", "link": True}}, "is a link to 'packages/link', .* not in 'source'"),
        ({"node_modules/part": {"resolved": "packages/other", "link": True}}, "'packages/part' is .* no link leads to it"),
        ({"packages/other/node_modules/ms": entry("ms")}, "'packages/other/node_modules/ms' is no place in node_modules"),
        ({"packages/part": {**WORKSPACES["packages/part"], "hasInstallScript": True}}, "has an install script"),
    ],
)
def test_a_workspace_that_is_not_there_is_refused(select, part, changes, message):
    (part.parent / "link").symlink_to("part")
    (part.parent / "other").mkdir()

    with pytest.raises(PackageInvalid, match=message):
        select({**WORKSPACES, **changes})


def test_without_a_source_there_is_no_workspace(select, part):
    with pytest.raises(PackageInvalid, match="is a link to 'packages/part'") as caught:
        select(WORKSPACES, source=None)

    assert "'source'" in caught.value.remedy


@pytest.mark.parametrize(
    ("wanted", "met"),
    [
        ({"node": ">=18"}, True),
        ({"node": "^18.12 || >=20"}, True),
        ({"node": "16 - 18"}, True),
        ({"node": ">= 20"}, False),
        ({"node": "~18.19"}, False),
        ({"node": "latest"}, False),
        ({"npm": ">=99"}, True),
        (["node >= 0.6"], True),
        ({"node": ["20"]}, True),
        ({}, True),
    ],
)
def test_a_package_that_wants_another_node_is_known(select, wanted, met):
    changes = {"node_modules/ms": {"engines": wanted}, "node_modules/checker": {"engines": {"node": "1"}}}

    assert select(changes, version_of_node=None).unmet == {}
    assert select(changes, version_of_node=(18, 20, 4)).unmet == ({} if met else {"ms": wanted["node"]})


def test_what_lies_in_another_tarball_is_not_fetched(select):
    bundled = {"node_modules/web/node_modules/ms": {"inBundle": True, "resolved": None, "integrity": None}}

    assert "web/ms" not in paths(select(bundled))


def test_without_a_url_the_registry_has_it(select):
    unsaid = {"node_modules/@fast/linux": {"resolved": None}, "node_modules/ms": {"resolved": None, "name": "@x/ms-fork"}}

    found = {tarball.path: tarball.url for tarball in select(unsaid, registry="https://r.example.org/npm/").tarballs}

    assert found["node_modules/@fast/linux"] == "https://r.example.org/npm/@fast/linux/-/linux-1.0.0.tgz"
    assert found["node_modules/ms"] == "https://r.example.org/npm/@x/ms-fork/-/ms-fork-1.0.0.tgz"


def test_the_best_of_several_hashes_counts(select):
    sha256 = integrity(b"good", "sha256")
    both = {"node_modules/ms": {"integrity": f"{integrity(b'x', 'sha1')} {sha256} {GOOD}?note"}}
    assert next(item.digest for item in select(both).tarballs if item.path == "node_modules/ms") == GOOD

    one = {"node_modules/ms": {"integrity": sha256}}
    assert next(item.digest for item in select(one).tarballs if item.path == "node_modules/ms") == sha256


MS = "node_modules/ms"


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        (MS, {"integrity": None}, "no sha512 or sha256 hash in 'integrity', but none"),
        (MS, {"integrity": integrity(b"x", "sha1")}, "but only sha1"),
        (MS, {"integrity": "sha512-AAAA"}, "the sha512 hash of ms is not one"),
        (MS, {"integrity": "sha512-?!"}, "the sha512 hash of ms is not one"),
        (MS, {"resolved": None}, "has no 'resolved'"),
        (MS, {"resolved": "https://me:pw@x.example.org/ms.tgz"}, "password"),
        (MS, {"resolved": "git+ssh://git@x.example.org/ms.git#abc"}, "a git repository"),
        (MS, {"resolved": "git+https://x.example.org/ms.git#abc"}, "a git repository"),
        (MS, {"resolved": "file:../ms.tgz"}, "'file'"),
        (MS, {"resolved": "packages/ms", "link": True}, "is a link to 'packages/ms', .* which is not in 'source'"),
        (MS, {"resolved": "../ms", "link": True}, "is a link to '../ms', .* which is not in 'source'"),
        (MS, {"resolved": "/etc", "link": True}, "is a link to '/etc', .* which is not in 'source'"),
        (MS, {"hasInstallScript": True}, "ms has an install script"),
        (MS, {"os": ["darwin"]}, "ms is not for linux on x64"),
        (MS, {"cpu": ["!x64"]}, "ms is not for linux on x64"),
        ("packages/part", {"version": "1.0.0"}, "is a directory of the project, and no link leads to it"),
        ("node_modules/../../outside", entry("outside"), "no place in node_modules"),
        ("node_modules/web/x", entry("x"), "no place in node_modules"),
        ("node_modules/web", {"bin": {"../web": "x.js"}}, "no name of a program"),
        ("node_modules/web", {"bin": {"web": "../../x.js"}}, "outside of it"),
        ("node_modules/web", {"bin": {"web": "/bin/sh"}}, "outside of it"),
        ("node_modules/fast", {"bin": {"web": "web.js"}}, "the program 'web' is both"),
        ("node_modules/web", {"bin": {"node": "web.js"}}, "the program 'node' is both the interpreter"),
        ("node_modules/web", {"bin": ["web.js"]}, "no sound package-lock.json"),
    ],
)
def test_what_cannot_be_trusted_or_used_is_refused_with_its_line(select, tmp_path, path, change, message):
    with pytest.raises(PackageInvalid, match=message) as caught:
        select({path: change})

    assert caught.value.remedy
    assert caught.value.place is not None
    assert caught.value.place.file == str(tmp_path / "package-lock.json")
    if "sound" not in message:
        lines = (tmp_path / "package-lock.json").read_text().splitlines()
        assert json.dumps(path) in lines[caught.value.place.line - 1] or "both" in message


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("{", "not JSON", 1),
        ("[]", "lockfileVersion is None", 0),
        ('{\n"lockfileVersion": 1, "dependencies": {}}', "lockfileVersion is 1, and we read 2 and 3", 2),
        ('{"lockfileVersion": 3,\n"packages": []}', "no mapping", 2),
        ('{"lockfileVersion": 3,\n"packages": {"node_modules/a": 1}}', "no mapping", 2),
        ('{"lockfileVersion": 3,\n"packages": {\n"node_modules/a": {},\n"node_modules/a": {}}}', "stands twice", 3),
        ('{"lockfileVersion": 3, "packages": ' + "[" * 100_000, "nested too deeply", 0),
    ],
)
def test_what_is_no_lock_file_of_a_kind_that_we_read_is_refused(select, text, message, line):
    with pytest.raises(PackageInvalid, match=message) as caught:
        select(text=text)

    assert caught.value.place is not None
    assert (caught.value.place.line, bool(caught.value.remedy)) == (line, True)


def test_install_scripts_are_done_without_where_that_is_said(select):
    scripted = {"node_modules/ms": {"hasInstallScript": True}}
    assert "ms" in paths(select(scripted, without_scripts=("ms",)))

    with pytest.raises(PackageInvalid, match="without_scripts names 'webb'") as caught:
        select(without_scripts=("webb",))
    assert "'web'" in caught.value.remedy


PACKAGES = """
node: {kind: debian, suite: bookworm, packages: [nodejs]}
app: {kind: npm, interpreter: node, lock: app/package-lock.json, source: ./src}
"""
NODE = LockedDebian(("bookworm",), ("nodejs",), "amd64", debs("nodejs", "libc6"))


@pytest.fixture
def load(tmp_path):
    """A set whose lock file lies beside it."""
    for name in ("app", "src"):
        (tmp_path / name).mkdir()
    (tmp_path / "src/cli.js").write_text("1\n")
    (tmp_path / "app/package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": ENTRIES}))

    def load_set(packages=PACKAGES, locked=NODE):
        (tmp_path / "packages.yaml").write_text(packages)
        (tmp_path / "deployer.lock").write_text(str(Lock({"node": locked} if locked else {})))
        return PackageSet.load(tmp_path / "packages.yaml")

    return load_set


def test_the_project_does_not_depend_on_its_interpreter_and_its_programs_do(load):
    before, after = (
        load(locked=locked).made("app")
        for locked in (NODE, LockedDebian(("bookworm",), ("nodejs",), "amd64", debs("nodejs", "libc6", "more")))
    )

    project, other = (next(item for item in made.inputs if item.output.name == "app-project") for made in (before, after))
    assert project.output == other.output
    assert before.output != after.output
    assert sorted(item.output.name for item in before.inputs) == ["app-project", "deployer-launcher", "host-python", "node"]
    unpacked = json.loads(project.derivation.environment["packages"])
    assert [item["path"] for item in unpacked][-1] == "node_modules/web/node_modules/ms"
    assert [source.origin.name for source in project.sources] == ["src"]
    assert before.architecture == "x86_64"


def test_packages_that_want_another_node_are_worth_a_warning_and_no_more(load, tmp_path):
    lock = tmp_path / "app/package-lock.json"
    more = {f"node_modules/p{number}": entry(f"p{number}", engines={"node": ">=20"}) for number in range(7)}
    lock.write_text(json.dumps({"lockfileVersion": 3, "packages": ENTRIES | more}))
    node = LockedDebian(("bookworm",), ("nodejs",), "amd64", (replace(debs("nodejs")[0], version="18.20.4+dfsg-1~deb12u1"),))

    packages = load(locked=node)

    (warning,) = packages.warnings_of([packages.made("app"), packages.made("node")])
    assert warning.endswith(
        "packages.yaml:3:37: package 'app': Node 18.20.4 of 'node' is not what these want: "
        "p0 (>=20), p1 (>=20), p2 (>=20), p3 (>=20), p4 (>=20) and 2 more"
    )


def test_an_overlay_changes_it_key_by_key(load, tmp_path):
    (tmp_path / "more.yaml").write_text("app: {omit: []}\n")

    made = load(f"overlays: [more.yaml]\n{PACKAGES}").made("app")

    assert "check" in json.loads(made.derivation.environment["programs"])


@pytest.mark.parametrize(
    ("packages", "locked", "error", "message"),
    [
        (PACKAGES, None, LockOutdated, "does not pin it"),
        (PACKAGES, LockedDebian(("bookworm",), ("nodejs",), "amd64", debs("libc6")), PackageInvalid, "has no nodejs in it"),
        (PACKAGES.replace("interpreter: node", "interpreter: app"), NODE, Exception, "circle"),
        (
            "app: {kind: npm, interpreter: x, lock: none}\nx: {kind: fetch, file: packages.yaml}",
            None,
            PackageInvalid,
            "kind 'debian'",
        ),
        (PACKAGES.replace("app/package", "app/none"), NODE, PackageInvalid, "there is no"),
    ],
)
def test_an_interpreter_or_lock_that_does_not_do_is_told(load, packages, locked, error, message):
    with pytest.raises(error, match=message) as caught:
        load(packages, locked).output_path("app")

    assert caught.value.remedy
