"""The parcel patrol: goes through all open shipments and opens a case for each parcel that needs one.

No case, and no state machine: it asks the shop for the next few shipments until there are no more. What it carries and
what it is answered stays small, however many shipments there are: it continues as new before its history grows long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from activities.patrol import LookFurther, NeedsCase, PatrolActivities
from casework import names, patrol
from casework.messages import explain, json_object
from casework.patrol import MOST_LISTED, Patrolled
from state_machines.problem_parcel import PROBLEM_PARCEL
from workflows.steps import start_abandoned

LOOK_TIMEOUT: Final = timedelta(minutes=10)
"""Couriers that answer slowly are asked for some hundred parcels."""
SIGN_OF_LIFE: Final = timedelta(minutes=1)
"""A look that has given none for so long was lost with its worker."""
LOOK_RETRIES: Final = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=30))
"""The shop's database and the courier come back: a look is tried until it is done."""


@workflow.defn(name=names.PARCEL_PATROL)
class ParcelPatrol:
    """Goes through all open shipments, in bounded batches by their ids."""

    @workflow.init
    def __init__(self, *start: Any) -> None:
        """Never raises: a bad start is told from `run`."""
        self._so_far = Patrolled()
        self._bad_start: str | None = None
        try:
            self._read_start(start)
        except ValidationError as error:
            self._bad_start = explain(error)
        except ValueError as error:
            self._bad_start = str(error)

    def _read_start(self, start: Sequence[Any]) -> None:
        if not start or start == ({},):
            return
        given = json_object(tuple(start))
        if not workflow.info().continued_run_id:
            raise ValueError("a patrol takes no input")
        self._so_far = Patrolled.model_validate(given)

    @workflow.query(name=names.PATROL_QUERY, description="How far the patrol is: shipments looked at, cases opened.")
    def query_patrol(self) -> dict[str, Any]:
        """How far it is."""
        return self._so_far.model_dump(mode="json")

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - read by __init__
        """Look at everything once; answers how many shipments were looked at, and which cases were opened.

        Raises:
            ApplicationError: not retryable, if it was started with something.

        """
        if self._bad_start is not None:
            raise ApplicationError(self._bad_start, type="BadStart", non_retryable=True)
        opened_here = 0
        more = True
        while more:
            found = await workflow.execute_activity_method(
                PatrolActivities.look_further,
                LookFurther(patrol_id=workflow.info().workflow_id, after=self._so_far.after, at=workflow.now()),
                start_to_close_timeout=LOOK_TIMEOUT,
                heartbeat_timeout=SIGN_OF_LIFE,
                retry_policy=LOOK_RETRIES,
                summary=f"shipments after {self._so_far.after}",
            )
            opened = await asyncio.gather(*(self._open(one) for one in found.needing))
            opened_here += len(found.needing)
            self._count(found.looked_at, found.unopenable, [case_id for case_id in opened if case_id is not None])
            self._so_far.after, more = found.after, found.more
            if more and (opened_here >= patrol.MOST_OPENED_A_RUN or workflow.info().is_continue_as_new_suggested()):
                workflow.continue_as_new(args=[self._so_far.model_dump(mode="json")])
        return self._so_far.model_dump(mode="json")

    def _count(self, looked_at: int, unopenable: int, opened: list[str]) -> None:
        so_far = self._so_far
        so_far.looked_at += looked_at
        so_far.unopenable += unopenable
        so_far.opened += len(opened)
        so_far.cases += opened[: MOST_LISTED - len(so_far.cases)]

    async def _open(self, parcel: NeedsCase) -> str | None:
        """Open the parcel's case and leave it behind; None where it is open already, by whomever."""
        started = await start_abandoned(PROBLEM_PARCEL, parcel.case_id, parcel.start)
        return parcel.case_id if started else None
