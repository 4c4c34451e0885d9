"""What is kept of a run in which something was found: the histories of the cases that the findings name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import select
from temporalio.client import Client
from temporalio.service import RPCError

from casework.shop.database import Database
from casework.shop.tables import CaseRow
from chaos.audit import runs_of

HISTORIES: Final = "histories"
"""Where they are, one file per run, in the folder of what is written: `casework verify FILE` reads them."""

_NAME: Final = re.compile(r"[\w-]+")


async def keep_histories(client: Client, database: Database, findings: Sequence[str], folder: Path) -> None:
    """Write down the history of each run of the cases that a finding names by case, order or run."""
    said = {name for finding in findings for name in _NAME.findall(finding)}
    with database.reading() as session:
        rows = session.execute(select(CaseRow.case_id, CaseRow.run_id, CaseRow.order_id)).all()
    into = folder / HISTORIES
    into.mkdir(exist_ok=True)
    for case_id in sorted({row.case_id for row in rows if not said.isdisjoint(row)}):
        with suppress(RPCError):  # what Temporal does not have cannot be kept
            async for run in runs_of(client, case_id):
                (into / f"{case_id}.{run.events[0].event_time.ToMilliseconds()}.json").write_text(run.to_json())
