"""The shop's record of every case: opened once, closed once; closing releases whatever is still held."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from temporalio.exceptions import ApplicationError

from activities.defining import uninterrupted
from activities.steps import CaseStep, OrderStep, post_all, writing_for
from casework.case import CaseView
from casework.opening import BadStart, examine_start, open_in_shop
from casework.policy import Policy
from casework.shop import coming_back, handing_over, records
from casework.shop.claims import CLAIMING, claimed_lines
from casework.shop.database import Database
from casework.shop.errors import BadRequest, CaseOver
from casework.shop.fencing import FencingToken
from casework.shop.known_flows import RETURN
from casework.shop.orders import lock_order
from casework.shop.releasing import release_case
from casework.shop.steps import first_time
from casework.templates import Post
from state_machines.flows import FLOWS


class GoodsAtEnd(StrEnum):
    """What becomes of what came back of a case's lines meanwhile, and waited for its end: the flow says."""

    NONE = "none"
    """The case has none, or the shop does not know: nothing is asked."""
    STAY = "stay"
    """It stays here, if there is any; tasks name what a return has kept, or is of an order ended as malicious."""
    ASK = "ask"
    """It stays, and a task names what of it nobody else sees to: the buyer says that he has it."""
    SHIP = "ship"
    """It ships again, as far as the buyer is still to have it; what a return has kept stays."""


class OpenCase(BaseModel):
    """A case that begins: its start as it was given, its own clock's time (aware), and the case that opened it."""

    case_id: str
    run_id: str
    flow: str
    start: dict[str, Any]
    from_case: str | None
    at: datetime
    changes: list[str] = Field(default_factory=list[str])
    """The changes of its flow that the code which opens it knows."""


class Opened(BaseModel):
    """The policy's figures for the case, who is involved already, and what the shop resolved of the start.

    `changes` are those that the case goes by: said again in the answer, they are on record, and a replay by newer code
    is told the same.
    """

    figures: dict[str, Any]
    involved: list[str]
    resolved: dict[str, Any]
    changes: list[str] = Field(default_factory=list[str])


class CloseCase(CaseStep):
    """A case that has ended, as it is to be remembered."""

    view: CaseView
    moment: FencingToken
    posts: list[Post] = Field(default_factory=list[Post])
    """What the buyer is told at the end."""
    goods: GoodsAtEnd = GoodsAtEnd.NONE


class HandOver(OrderStep):
    """A case is to be opened by another: its flow and its start; `involved` have a part in the one that opens it."""

    flow: str
    start: dict[str, Any]
    involved: list[str]


class TakeBack(OrderStep):
    """What was handed over to that case is taken back: its id is taken, and stays so."""

    to_case: str


class HandedOver(BaseModel):
    """The id of the case that is to be opened, and whether it is open already; or why it cannot be opened."""

    case_id: str = ""
    open_already: bool = False
    ends_soon: bool = False
    """An open case of that id is about to end, because the one that hands over has its lines."""
    not_ours: bool = False
    """The case of that id that is open already was not opened by this one: it may be about fewer pieces."""
    refused: str | None = None


class CaseActivities:
    """Opens and closes the shop's record of a case."""

    def __init__(self, database: Database, policy: Policy) -> None:
        """`policy` is the one in force now; a case goes by what was in force when it opened."""
        self._database = database
        self._policy = policy

    @uninterrupted
    def open_case(self, request: OpenCase) -> Opened:
        """Examine the start against the shop and record the case.

        Raises:
            ApplicationError: not retryable, a sentence that names the field, if the start is refused.

        """
        try:
            with self._database.writing() as session:
                opened = open_in_shop(
                    session,
                    self._policy,
                    flow_name=request.flow,
                    case_id=request.case_id,
                    run_id=request.run_id,
                    given=request.start,
                    from_case=request.from_case,
                    at=request.at,
                )
        except (BadStart, CaseOver) as refused:
            raise ApplicationError(str(refused), type="BadStart", non_retryable=True) from None
        return Opened(
            figures=opened.figures, involved=opened.involved, resolved=opened.resolved, changes=request.changes
        )

    @uninterrupted
    def hand_over(self, request: HandOver) -> HandedOver:
        """Name the case that is to be opened, and give it what this one holds and has claimed of its lines.

        Where that case is open already, it has what it has, and nothing is handed over. Where it is open and this one
        has lines that it needs, it is about to end without them.
        """
        if request.flow not in FLOWS:
            return HandedOver(refused=f"there is no flow {request.flow}")
        try:
            with writing_for(self._database, request) as session:
                examined = examine_start(
                    session, flow_name=request.flow, given=request.start, from_case=request.case_id
                )
                if records.is_open(session, examined.case_id):
                    wants = {(request.order_id, one.line) for one in examined.lines} if request.flow in CLAIMING else ()
                    ends_soon = not set(claimed_lines(session, request.case_id)).isdisjoint(wants)
                    others = records.came_from(session, examined.case_id) != request.case_id
                    return HandedOver(
                        case_id=examined.case_id,
                        open_already=not ends_soon,
                        ends_soon=ends_soon,
                        not_ours=others and request.flow in CLAIMING,
                    )
                handing_over.hand_over(
                    session,
                    from_case=request.case_id,
                    run_id=request.run_id,
                    to_case=examined.case_id,
                    order_id=request.order_id,
                    lines=examined.lines,
                    involved=request.involved,
                    claiming=request.flow in CLAIMING,
                )
        except (BadStart, BadRequest) as refused:
            return HandedOver(refused=str(refused))
        return HandedOver(case_id=examined.case_id)

    @uninterrupted
    def take_back(self, request: TakeBack) -> None:
        """What was handed over to a case that cannot be opened is this one's again."""
        with writing_for(self._database, request) as session:
            handing_over.take_back(
                session, from_case=request.case_id, to_case=request.to_case, order_id=request.order_id
            )

    @uninterrupted
    def close_case(self, request: CloseCase) -> None:
        """Every ending releases holds, claims and flag wishes, and leaves the record of the case in the shop."""
        with self._database.writing() as session:
            goes_on = records.is_open_in_another_run(session, request.case_id, request.run_id)
            if not goes_on:
                release_case(session, request.case_id, flag_kept=None, at=request.at, version=request.moment.version)
            post_all(session, request, request.posts)
            recorded = records.close_record(
                session,
                case_id=request.case_id,
                run_id=request.run_id,
                view=request.view.model_dump(mode="json"),
                outcome=request.view.outcome or request.view.state,
                at=request.at,
                moment=request.moment,
            )
            if not recorded or goes_on:
                return
            if request.view.flow == RETURN:
                coming_back.cancel_take_in(session, request.case_id, request.at)
            # where goods are, and whose, follows from how it has ended too; while a parcel's case is open, nobody else
            # asks what becomes of what it follows
            if request.goods is not GoodsAtEnd.NONE:
                _see_to_goods(session, request)


def _see_to_goods(session: Session, request: CloseCase) -> None:
    """What came back of the case's lines meanwhile waits for it no more."""
    case_id, order_id = request.case_id, request.view.order_id
    # Temporal may discard an end, and have the case take another way with as many events
    this_end = f"{case_id}/{request.run_id}/end/{request.moment.events}/{request.view.outcome}"
    lock_order(session, order_id)
    # done again, it would let go of what has come back since, under a task that the warehouse has had
    if not first_time(session, this_end, request.at):
        return
    own = {one.line for one in records.lines_of(session, case_id)}
    match request.goods:
        case GoodsAtEnd.SHIP:
            coming_back.ship_again(
                session, key=this_end, case_id=case_id, order_id=order_id, numbers=own, at=request.at
            )
        case GoodsAtEnd.STAY | GoodsAtEnd.ASK:
            coming_back.let_stay(
                session,
                case_id=case_id,
                order_id=order_id,
                numbers=own,
                at=request.at,
                said_to_be_received=request.goods is GoodsAtEnd.ASK,
            )
        case GoodsAtEnd.NONE:
            pass
