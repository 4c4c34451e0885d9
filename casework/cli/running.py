"""What commands stand on: the settings, the shop's database, a client where one is needed; and how faults become
sentences.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from casework.cli.errors import BAD_INPUT, FAILED, REFUSED, Stop, bad_input
from casework.client import CaseRefused, CaseworkClient, NoAnswer
from casework.connection import CannotListen, InvalidTemporalSettings, NoServer, connect
from casework.converter import DATA_CONVERTER
from casework.errors import BadInput
from casework.policy import Policy, PolicyError, load_policy
from casework.sentences import full_stop
from casework.server import ServerFailed
from casework.server_program import ServerNotFound
from casework.settings import Language, Settings, SettingsError
from casework.shop.database import Database
from casework.shop.errors import SchemaNotReady

ResultT = TypeVar("ResultT")


class Desk:
    """One command's surroundings. Everything is made when it is first asked for."""

    def __init__(self) -> None:
        """Reads the settings."""
        self.settings = Settings()
        self.now = datetime.now(UTC)

    @cached_property
    def policy(self) -> Policy:
        """The policy in force."""
        return load_policy(self.settings.policy)

    @cached_property
    def zone(self) -> ZoneInfo:
        """The shop's zone."""
        return ZoneInfo(self.policy.shop.timezone)

    @property
    def language(self) -> Language:
        """The language of texts for people."""
        return self.settings.lang

    @cached_property
    def shop(self) -> Database:
        """The shop's database, which must be there and of this version."""
        database = Database(self.settings.database_url)
        database.require_schema()
        return database

    @cached_property
    def made_shop(self) -> Database:
        """The shop's database, made or brought up to date if need be."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        database = Database(self.settings.database_url)
        database.migrate()
        return database

    @cached_property
    def new_shop(self) -> Database:
        """The shop's database, made or brought up to date if need be, with the sample staff if it has none."""
        from casework.shop.staff import load_sample_if_empty

        database = self.made_shop
        with database.writing() as session:
            load_sample_if_empty(session)
        return database

    async def client(self, shop: Database | None = None) -> CaseworkClient:
        """A client of the server that the settings name; `shop`: where it is not this program's (`shop`)."""
        return CaseworkClient(await connect(self.settings.home, data_converter=DATA_CONVERTER), shop or self.shop)

    def who(self, by: str | None) -> str:
        """Who acts: `--by`, else CASEWORK_STAFF."""
        staff_id = by or self.settings.staff
        if staff_id is None:
            raise bad_input(
                "Who are you? Say so with --by STAFF, or set CASEWORK_STAFF; casework staff lists everybody."
            )
        return staff_id


def sentence(error: Exception | str) -> str:
    """What the inner parts say in passing, as a sentence of its own; a field or file at its beginning stays as is."""
    text = str(error)
    if text.split(maxsplit=1)[0].isalpha():
        text = f"{text[0].upper()}{text[1:]}"
    return full_stop(text)


@contextmanager
def sentences() -> Generator[None]:
    """Faults that are known become one plain sentence and their exit code."""
    try:
        yield
    except BadInput as error:
        raise Stop(BAD_INPUT, str(error)) from error
    except CaseRefused as error:
        raise Stop(REFUSED, str(error)) from error
    except (SettingsError, PolicyError, InvalidTemporalSettings) as error:
        raise Stop(BAD_INPUT, str(error)) from error
    except (NoAnswer, NoServer, ServerFailed, ServerNotFound, CannotListen) as error:
        raise Stop(FAILED, str(error)) from error
    except SchemaNotReady as error:
        raise Stop(FAILED, sentence(error)) from error
    except RPCError as error:
        raise Stop(FAILED, f"The Temporal server refused or was lost: {error.message}.") from error
    except SQLAlchemyError as error:
        # only the database's own words: the statement and its parameters may hold personal data
        why = str(getattr(error, "orig", None) or type(error).__name__).splitlines()[0]
        raise Stop(FAILED, f"The shop's database cannot be used: {why}.") from error


def run_async(work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a command's work to its end; Ctrl-C stops it."""
    with sentences():
        return asyncio.run(work)


def print_json(value: Any) -> None:
    """One JSON document on stdout; never translated."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    print(json.dumps(value, ensure_ascii=False, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def on_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def say(sentence: str) -> None:
    """A remark beside the output, on stderr."""
    print(sentence, file=sys.stderr)
