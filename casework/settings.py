"""The settings: from the environment, or a `.env` file in the working directory; each with a default that works."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "CASEWORK_"
Language = Literal["zh", "en"]
SHORTEST_SECRET = 16


class SettingsError(Exception):
    """A setting that is refused: one plain sentence that names the variable and what is allowed."""


def _folder(path: Path) -> Path:
    path = path.expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ValueError("is a file; allowed is a folder, which need not exist yet")
    return path


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _known_database(url: str) -> str:
    # nothing of the URL is repeated: it may hold a password
    if url:
        # imported late: the settings are read by programs that have no use for a database
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            driver = make_url(url).drivername
        except (ArgumentError, ValueError):
            driver = ""
        if driver not in ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg"):
            raise ValueError("is no URL of a known database; allowed are sqlite:///… and postgresql://…")
    return url


def _web_address(url: SecretStr) -> SecretStr:
    # nothing of the URL is repeated: a chat robot's holds its key
    try:
        parts = urlsplit(url.get_secret_value())
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        raise ValueError("is no address of a receiver; allowed are https://… and http://…")
    return url


def _own_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        IPv4Address(host)
        known = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    except ValueError:
        known = False
    if not known:
        raise ValueError("is no address to listen on; allowed are an IPv4 address and a port, as 127.0.0.1:9464")
    return address


def _lower(text: Any) -> Any:
    return text.strip().lower() if isinstance(text, str) else text


def language_of_locale(environment: Mapping[str, str] | None = None) -> Language:
    """The language of the user's locale (default: that of the process): Chinese where it says so, else English."""
    environment = os.environ if environment is None else environment
    # POSIX: the first of these that is not empty decides
    names = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next((name for name in names if name), "")
    return "zh" if locale.lower().startswith("zh") else "en"


class Settings(BaseSettings):
    """What Casework runs with. Variables that are empty count as not set; the environment wins over `.env`.

    Raises:
        SettingsError: one plain sentence, where a variable's value is refused.

    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    home: Annotated[Path, AfterValidator(_folder)] = Field(default=Path(".casework"), validate_default=True)
    """Where the embedded shop, the server's database and the logs are; absolute."""
    database_url: Annotated[str, AfterValidator(_known_database)] = ""
    """SQLAlchemy's URL of the shop's database; the default is SQLite in `home`."""
    policy: Annotated[Path, AfterValidator(_absolute)] | None = None
    """A policy file; None: the shipped figures alone."""
    staff: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    """The staff id that commands act as where they are not told another."""
    lang: Annotated[Language, BeforeValidator(_lower)] = Field(default_factory=language_of_locale)
    """The language of texts for people."""
    temporal_cli: Annotated[Path, AfterValidator(_absolute)] | None = None
    """A `temporal` program to take instead of looking for one."""
    webhook_url: Annotated[SecretStr, AfterValidator(_web_address)] | None = None
    """Where messages and tasks are sent to; None: to the log alone."""
    webhook_secret: SecretStr | None = Field(default=None, validate_default=True)
    """With what a message is signed."""
    webhook_template: Annotated[Path, AfterValidator(_absolute)] | None = None
    """A JSON file that says how a message's body looks, for chat robots; None: all that is known of it."""
    metrics_address: Annotated[str, AfterValidator(_own_address)] | None = None
    """Where a worker answers for its health and the shop's figures, as `127.0.0.1:9464`; None: nowhere."""
    temporal_metrics_address: Annotated[str, AfterValidator(_own_address)] | None = None
    """Where Temporal's SDK in a worker answers for its own figures; None: nowhere."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None
        except UnicodeDecodeError:
            raise SettingsError("The file .env is not UTF-8 text, which it must be.") from None

    @field_validator("webhook_secret")
    @classmethod
    def _signed(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if secret is None and info.data.get("webhook_url") is not None:
            raise ValueError("is missing, and what goes to CASEWORK_WEBHOOK_URL is signed with it")
        if secret is not None and len(secret.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"is too short; allowed are {SHORTEST_SECRET} characters or more")
        return secret

    @model_validator(mode="after")
    def _database_in_home(self) -> Self:
        if not self.database_url:
            # the model is frozen for everybody else
            object.__setattr__(self, "database_url", f"sqlite:///{(self.home / 'shop.db').as_posix()}")
        return self


_ALLOWED = {
    "staff": "is no staff id; allowed are letters, digits, dots, hyphens and underscores, at most 64",
    "lang": "is no known language; allowed are zh and en",
}


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    field = str(first["loc"][0])
    name = field if field.upper().startswith(PREFIX) else f"{PREFIX}{field}"
    why = _ALLOWED.get(field.lower().removeprefix(PREFIX.lower())) or first["msg"].removeprefix("Value error, ")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{name.upper()}: its value {why}{more}."
