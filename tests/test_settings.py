"""The settings: the environment, the `.env` file, the defaults, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casework.settings import Settings, SettingsError, language_of_locale


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without anything that is read here."""
    for name in list(os.environ):
        if name.startswith(("CASEWORK_", "LC_")) or name == "LANG":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_setting_has_a_default_that_works(folder: Path) -> None:
    settings = Settings()
    assert settings.home == folder / ".casework"
    assert settings.database_url == f"sqlite:///{folder.as_posix()}/.casework/shop.db"
    assert (settings.policy, settings.staff, settings.temporal_cli, settings.lang) == (None, None, None, "en")
    assert not settings.home.exists()


def test_the_environment_wins_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text(
        "CASEWORK_STAFF=finance.1\nCASEWORK_LANG=zh\nCASEWORK_POLICY=my.toml\nTEMPORAL_ADDRESS=x\n", encoding="utf-8"
    )
    monkeypatch.setenv("CASEWORK_STAFF", "finance.3")
    settings = Settings()
    assert (settings.staff, settings.lang, settings.policy) == ("finance.3", "zh", folder / "my.toml")


def test_an_empty_variable_counts_as_not_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "DATABASE_URL", "POLICY", "STAFF", "LANG", "TEMPORAL_CLI"):
        monkeypatch.setenv(f"CASEWORK_{name}", "")
    assert Settings().home == folder / ".casework"


def test_the_database_is_in_the_home_unless_it_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASEWORK_HOME", "elsewhere")
    assert Settings().database_url == f"sqlite:///{folder.as_posix()}/elsewhere/shop.db"
    monkeypatch.setenv("CASEWORK_DATABASE_URL", "postgresql+psycopg://shop@localhost/shop")
    assert Settings().database_url == "postgresql+psycopg://shop@localhost/shop"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LANG", "de", "CASEWORK_LANG: its value is no known language; allowed are zh and en."),
        ("STAFF", "张三", "CASEWORK_STAFF: its value is no staff id; allowed are letters"),
        ("HOME", "a-file", "CASEWORK_HOME: its value is a file; allowed is a folder"),
        ("DATABASE_URL", "mysql://u:secret@h/d", "CASEWORK_DATABASE_URL: its value is no URL of a known database"),
        ("DATABASE_URL", "postgresql+psycopg2://u:secret@h/d", "CASEWORK_DATABASE_URL: its value is no URL of a known"),
        ("DATABASE_URL", "postgresql://u:secret@h:port/d", "CASEWORK_DATABASE_URL: its value is no URL of a known"),
        ("DATABASE_URL", "postgresql", "CASEWORK_DATABASE_URL: its value is no URL of a known database"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    (folder / "a-file").touch()
    monkeypatch.setenv(f"CASEWORK_{name}", value)
    with pytest.raises(SettingsError) as refused:
        Settings()
    assert str(refused.value).startswith(sentence)
    assert str(refused.value).endswith(".")
    assert "secret" not in str(refused.value)


def test_a_file_that_is_not_utf_8_is_refused(folder: Path) -> None:
    (folder / ".env").write_bytes("CASEWORK_STAFF=张三".encode("gb18030"))
    with pytest.raises(SettingsError, match=r"\.env is not UTF-8"):
        Settings()


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "ZH_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_GB", "LC_MESSAGES": "zh_CN", "LC_ALL": ""}, "zh"),
        ({}, "en"),
    ],
)
def test_the_language_follows_the_locale(locale: dict[str, str], language: str) -> None:
    assert language_of_locale(locale) == language


def test_the_language_that_is_set_wins_over_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    assert Settings().lang == "zh"
    monkeypatch.setenv("CASEWORK_LANG", "EN")
    assert Settings().lang == "en"
