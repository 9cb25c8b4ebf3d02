"""What a locale is compiled by, out of a root tree."""

import gzip

import pytest

from deployer.build.charmap import charmap
from deployer.build.limits import Limits
from deployer.build.source_errors import ArchiveRefused, LocaleUnknown


@pytest.fixture
def root(tmp_path):
    """A tree with the parts of a few locales."""
    i18n = tmp_path / "root/usr/share/i18n"
    for name in ("locales/de_DE", "locales/sr_RS@latin", "locales/eo"):
        (i18n / name).parent.mkdir(parents=True, exist_ok=True)
        (i18n / name).write_text("LC_IDENTIFICATION\n")
    (i18n / "charmaps").mkdir()
    for name in ("UTF-8", "ISO-8859-1"):
        (i18n / f"charmaps/{name}.gz").write_bytes(gzip.compress(f"<code_set_name> {name}\n".encode()))
    (i18n / "SUPPORTED").write_text(
        "# a comment\nde_DE.UTF-8 UTF-8\nde_DE ISO-8859-1  \nsr_RS@latin UTF-8\neo UTF-8\nnot a line\n\n"
    )
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("locale", "charset"),
    [("de_DE.UTF-8", "UTF-8"), ("de_DE.ISO-8859-1", "ISO-8859-1"), ("sr_RS.UTF-8@latin", "UTF-8"), ("eo.UTF-8", "UTF-8")],
)
def test_the_character_map_of_a_locale_is_written_out(root, tmp_path, locale, charset):
    charmap(root, locale, tmp_path / "out", limits=Limits())

    assert (tmp_path / "out").read_text() == f"<code_set_name> {charset}\n"


@pytest.mark.parametrize(
    ("locale", "nearest"),
    [("de_DF.UTF-8", "de_DE.UTF-8"), ("de_DE.utf8", "de_DE.UTF-8"), ("sr_RS.UTF-8@latn", "sr_RS.UTF-8@latin"), ("nonsense", "")],
)
def test_a_locale_that_is_not_there_is_told_with_the_nearest(root, tmp_path, locale, nearest):
    with pytest.raises(LocaleUnknown, match="has no locale") as caught:
        charmap(root, locale, tmp_path / "out", limits=Limits())

    assert caught.value.near[:1] == ((nearest,) if nearest else ())
    assert (nearest or "SUPPORTED") in caught.value.remedy


def test_without_a_list_of_locales_there_are_no_nearest(root, tmp_path):
    (root / "usr/share/i18n/SUPPORTED").unlink()

    with pytest.raises(LocaleUnknown, match="de_DF") as caught:
        charmap(root, "de_DF.UTF-8", tmp_path / "out", limits=Limits())
    assert caught.value.near == ()


def test_a_map_that_is_broken_or_a_bomb_is_refused(root, tmp_path):
    with pytest.raises(ArchiveRefused, match="more than 3 bytes"):
        charmap(root, "de_DE.UTF-8", tmp_path / "out", limits=Limits(total_bytes=3))
    (root / "usr/share/i18n/charmaps/UTF-8.gz").write_bytes(b"\x1f\x8b rubbish")
    with pytest.raises(ArchiveRefused, match="broken"):
        charmap(root, "de_DE.UTF-8", tmp_path / "other", limits=Limits())
