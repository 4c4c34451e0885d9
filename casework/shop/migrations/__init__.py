"""The shop's migrations, run from the program: users need no Alembic and no `alembic.ini`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def configuration() -> Config:
    """Alembic's configuration: where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run what is missing, in the caller's transaction; `to` an older revision than the newest only in tests."""
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, to)
