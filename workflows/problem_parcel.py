"""Flow 5, problem parcel: what is done in each state. The table says what may happen: see
`state_machines/problem_parcel.py`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from activities.cases import GoodsAtEnd
from activities.courier import AskCourier, ClaimStep, CourierActivities, CourierStep
from activities.parcels import (
    CallOff,
    FollowStep,
    ParcelActivities,
    ParcelStep,
    RegisterStep,
    ReserveStep,
    TakeReturned,
    TellReturn,
    TurnedUp,
)
from casework.changes import (
    ASKS_OF_UNTOLD,
    ASKS_WHO_ELSE,
    CALLS_OFF_ONLY_LOST,
    CALLS_OFF_RETURNS,
    CHOOSES_WHAT_IS_FREE,
    CLAIMS_WHAT_IS_OUT,
    KNOWS_WHAT_IS_HERE,
    LEAVES_TO_OTHERS,
    READS_WHAT_CAME,
)
from casework.money import LineQuantity, listed
from casework.parcels import Followed, about_the_money
from casework.rules.parcels import GOING_BACK, HANDED_OVER, counted_from, proves_receipt, verdict
from casework.templates import Post
from casework.templates.problem_parcel import (
    MONEY_SEEN_TO,
    ONLY_TO_A_RECEIVER,
    REFUND_UNDER_WAY,
    REFUSE_IT,
    RETURN_GOES_ON,
    RETURN_OVER,
    SEEN_TO_ALREADY,
    UNDELIVERABLE,
)
from state_machines.problem_parcel import (
    PROBLEM_PARCEL,
    BuyerChooses,
    Choice,
    ChooseRemedy,
    OnItsWay,
    ParcelCase,
    ParcelReturned,
)
from state_machines.return_after_shipping import RETURN_AFTER_SHIPPING
from state_machines.roles import Label, Role
from state_machines.table import Attempt
from workflows.case import CaseWorkflow
from workflows.defining import case_workflow
from workflows.received import Refused
from workflows.steps import ASKED_AGAIN, MOST_WAITS, Outcome, RefusedForGood

ASKING_TIMEOUT = timedelta(minutes=2)
"""For how long a courier is asked in one look, also where the worker is away meanwhile."""

FOUND = {
    "signed": "find_signed",
    "returning": "find_returning",
    "forwarded": "find_forwarded",
    "problem": "find_problem",
    "moving": "find_normal",
}
"""By what a look comes to, what it fires, where the state makes something of it."""
TAKEN_FOR_RECEIVED = ("receipt_presumed", "find_confirmed")
"""What ends a case although the buyer has said nothing: in time, or where the trade is finished, perhaps by itself."""
OF_ONE_PARCEL = frozenset({"parcel_returned", "picked_up", "parcel_forwarded"})
"""Facts that are about one parcel: kept ones are not of goods that were sent again later."""


@case_workflow(PROBLEM_PARCEL)
class ProblemParcel(CaseWorkflow[ParcelCase]):
    """Follow a parcel until it has arrived, or its loss is made good."""

    changes = (
        *CaseWorkflow.changes,
        LEAVES_TO_OTHERS,
        ASKS_WHO_ELSE,
        CHOOSES_WHAT_IS_FREE,
        CALLS_OFF_RETURNS,
        CALLS_OFF_ONLY_LOST,
        ASKS_OF_UNTOLD,
        READS_WHAT_CAME,
        CLAIMS_WHAT_IS_OUT,
        KNOWS_WHAT_IS_HERE,
    )

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """Run to an end; answers with the case view."""
        return await self.run_case()

    def opened(self, resolved: dict[str, Any]) -> None:
        """The waybill as the shop writes it, and what is in the parcel, also where a return awaits it."""
        case = self.case
        case.waybill, case.return_case = resolved["waybill"], resolved["return_case"]
        case.way_back = case.return_case is not None
        case.lines = [LineQuantity.model_validate(line) for line in resolved["inside"]]

    # --- one method per state ---

    async def registering(self) -> Outcome:
        """Record the parcel, say how urgent it is, name who looks for it."""
        case = self.case
        registered = await self.in_shop(
            ParcelActivities.register_parcel,
            RegisterStep(**self._parcel_step().model_dump(), big_parcel_fen=case.figures.flow.big_parcel_fen),
            "register the parcel",
        )
        case.report = registered.report
        case.amount_fen, case.priority = registered.value_fen, registered.priority
        case.assignee = registered.specialist
        case.following = Followed(courier=case.courier, waybill=case.waybill, since=registered.since)
        if not registered.report.known:
            return Outcome("register", f"order {case.order_id} has no parcel {case.waybill}")
        if registered.followed_by is not None:
            return Outcome("register", f"{registered.followed_by} follows its goods already")
        return Outcome("register", "it is settled" if registered.report.settled else None)

    def tracking(self) -> list[Post]:
        """It is on its way; the buyer hears where new."""
        case, parcel = self.case, self._following
        match self._came_by():
            case "find_forwarded" | "parcel_forwarded":
                return self.to_buyer("parcel.forwarded", waybill=parcel.waybill, courier=parcel.courier)
            case "parcel_reshipped":
                return self.to_buyer("parcel.sent_again", waybill=parcel.waybill, courier=parcel.courier)
            case "buyer_chooses":
                return self.to_buyer("parcel.redelivering", waybill=case.waybill)
            case _:
                return []

    def investigating(self) -> list[Post]:
        """The specialist asks the courier; big parcels and key regions first."""
        case, parcel = self.case, self._following
        urgent = case.priority == "high"
        return [
            self.to_staff(
                "parcel.investigate",
                Role.PARCEL_SPECIALIST,
                waybill=parcel.waybill,
                courier=parcel.courier,
                urgent_zh="【优先】" if urgent else "",
                urgent_en="Urgent. " if urgent else "",
                why=self._last_word(),
                due=case.local_time(case.due) if case.due else "",
            )
        ]

    def investigation_late(self) -> list[Post]:
        """The courier has not answered: the supervisor is told."""
        return []

    def asking_buyer(self) -> list[Post]:
        """The buyer says what is to be done with a parcel that cannot be delivered."""
        why = UNDELIVERABLE[self.case.finding or "unreachable"]
        return self.to_buyer("parcel.choose", waybill=self._following.waybill, why_zh=why.zh, why_en=why.en)

    def forwarding(self) -> list[Post]:
        """Another courier takes the parcel over; the specialist learns its new waybill."""
        return self.to_buyer("parcel.forwarding", waybill=self._following.waybill)

    def awaiting_pickup(self) -> list[Post]:
        """The parcel is kept for the buyer."""
        station = self.case.station
        return self.to_buyer(
            "parcel.pickup",
            waybill=self._following.waybill,
            station_zh=station or "派送网点",
            station_en=station or "the station",
        )

    def awaiting_return(self) -> list[Post]:
        """The parcel comes back; the returns clerk takes it in."""
        return []

    def choosing_remedy(self) -> list[Post]:
        """Send the goods again, or give the money back."""
        case = self.case
        if case.way_back or self._came_by() in ("reject", "buyer_chooses"):
            return []
        if case.report is not None and not self._left():  # it ships again, or is refunded: the buyer misses nothing
            return []
        return self.to_buyer("parcel.lost", waybill=self._following.waybill)

    def awaiting_supervisor(self) -> list[Post]:
        """The parcel is worth more than the agent's limit."""
        return []

    def reshipping(self) -> list[Post]:
        """The warehouse sends the goods again, but those that other cases have, which a task names.

        What is sent was reserved: what other cases have released since then was not.
        """
        asked = self.case.report.asked if self.case.report is not None else []
        # a report in an older history does not say what was asked for
        lines = listed(asked or self._free())
        with_others = self._with_others()
        return [
            self.to_staff("parcel.send_again", Role.WAREHOUSE, lines=lines),
            *([self._left_to("parcel.rest_with_others", with_others)] if with_others else []),
            *self.to_buyer("parcel.sending_again"),
        ]

    def confirming_receipt(self) -> list[Post]:
        """The buyer is asked whether the parcel is there: an agent, a locker or a station is not the buyer."""
        case, waybill = self.case, self._following.waybill
        if self._came_by() == "proof_found":
            return self.to_buyer("parcel.proof", waybill=waybill, proof=", ".join(case.proof.values()))
        last = case.report.last if case.report is not None else None
        if last is not None and last.state in HANDED_OVER and not proves_receipt(last.code):
            return self.to_buyer("parcel.left_with_agent", waybill=waybill)
        return self.to_buyer("parcel.received", waybill=waybill)

    def disputing_signature(self) -> list[Post]:
        """The specialist asks the courier for proof: proving delivery is the seller's burden."""
        return []

    async def opening_refund(self) -> Outcome:
        """Give the money back: by a return that asks for no goods, or the return that awaits this parcel is told.

        What another open case has claimed is left to it, and a task names it.
        """
        case = self.case
        if case.way_back:
            await self._tell_return("parcel.way_back_here" if case.came_back else "parcel.way_back_lost")
            what = "has ended, which a task says" if case.return_over else "is told"
            return Outcome("open_refund", f"{case.return_case} {what}, nothing is opened")
        await self._read()
        if case.claim_fen is None and not self._is_here(since=CLAIMS_WHAT_IS_OUT) and (case.damaged or self._is_lost()):
            case.claim_fen = case.amount_fen
            await self._claim(case.claim_fen)
        if self._waiting_in_vain() and self.adopts(CALLS_OFF_RETURNS):
            await self._call_off_returns(self._waiting_in_vain())
        with_others = self._with_others()
        if self.adopts(ASKS_WHO_ELSE) and (with_others or not self._left()):
            return await self._refund_the_rest(with_others)
        return await self._open_refund_of(self._left())

    async def _call_off_returns(self, returns: list[str]) -> None:
        """The buyer is not asked to send back what was lost, and has the money for it from here: once.

        Its own table gives a return that waits for goods no way to the money without them. Temporal's own cancel ends
        it, by a row that it has, and releases the lines. One that does not end in time keeps them, which a task says.
        """
        await self.put_on_record("call off the returns that wait in vain")
        for one in returns:
            with suppress(ApplicationError):  # it has just ended by itself
                await workflow.get_external_workflow_handle(one).cancel()
        for _ in range(MOST_WAITS):
            await self._read()
            if set(returns).isdisjoint(self._with_others().values()):
                break
            await workflow.sleep(ASKED_AGAIN, summary=f"{', '.join(returns)} called off")
        called_off = ", ".join(one for one in returns if one not in self._with_others().values())
        if called_off:
            waybill = self._following.waybill
            await self._post(
                [self.to_staff("parcel.returns_called_off", Role.AFTERSALE_AGENT, waybill=waybill, returns=called_off)]
            )

    async def _refund_the_rest(self, with_others: dict[int, str]) -> Outcome:
        """Lines that other cases have claimed are left to these, which a task says; the rest, if any, is refunded."""
        case = self.case
        if with_others:
            await self._post([self._left_to("parcel.refund_with_others", with_others)])
        rest = self._free()
        opened = await self._open_refund_of(rest) if rest else Outcome("open_refund", "nothing is opened")
        if not case.lines and self.adopts(ASKS_OF_UNTOLD):
            await self._ask_to_open(RETURN_AFTER_SHIPPING, f"nobody has told what was in {self._following.waybill}")
        case.refunded_by_others = True
        said = [f"line {line} is left to {whose}" for line, whose in with_others.items()]
        return Outcome("open_refund", "; ".join([*said, *([opened.why] if opened.why else [])]))

    async def _open_refund_of(self, lines: list[LineQuantity]) -> Outcome:
        """Open a return of these lines that asks for no goods."""
        case, here = self.case, self._is_here(since=CLAIMS_WHAT_IS_OUT)
        fields: dict[str, Any] = {
            "lines": [one.model_dump() for one in lines],
            "cause": "transit_damage" if case.damaged or self._is_lost() else "no_reason",
            "goods": "already_back" if here else "lost",
            "said_lost": case.said_lost and not here,
        }
        child = await self.open_case(RETURN_AFTER_SHIPPING, fields)
        case.refunded_by_others = child is None
        return Outcome("open_refund", None if child is not None else "a task asks to open the refund by hand")

    def _left_to(self, template: str, with_others: dict[int, str]) -> Post:
        """A task for the specialist that names the lines which other cases have, and these cases."""
        lines = ", ".join(
            f"{listed([one])} ({with_others[one.line]})" for one in self._left() if one.line in with_others
        )
        return self.to_staff(template, Role.PARCEL_SPECIALIST, waybill=self._following.waybill, lines=lines)

    async def cancelling(self) -> Outcome:
        """Called off: nothing is sent again, and what came back ships as any other order."""
        await self.give_away(ParcelActivities.give_up_parcel, self._calling_off, "give the parcel up")
        return Outcome("undo")

    def goods_at_end(self) -> GoodsAtEnd:
        """Called off, what came back ships as any other order; and so does what was not sent again with the rest of it,
        as another case had it then. What the buyer does not get any more goes into stock. Where it lies here, and he
        says that he has it, he is asked.
        """
        case = self.case
        match case.outcome:
            case "delivered" if self._came_by() in TAKEN_FOR_RECEIVED and self._may_be_here():
                return GoodsAtEnd.SHIP  # it is here: nobody has received it
            case "delivered" if case.shipment is not None and not case.way_back:
                return GoodsAtEnd.SHIP
            case "delivered" if self._came_by() == "buyer_confirms" and not case.way_back:
                return GoodsAtEnd.ASK
            case "refund_opened" if self._is_here(since=CLAIMS_WHAT_IS_OUT) and not self._left() and not case.way_back:
                return GoodsAtEnd.SHIP
            case "cancelled" if not case.way_back:
                return GoodsAtEnd.SHIP
            case _:
                return GoodsAtEnd.STAY

    def ending_parameters(self) -> dict[str, str]:
        """The parcel that it was about in the end; one that the buyer may still be brought is to be refused.

        A return on its way to us may have ended before: then nothing goes on with it.
        """
        case, told = self.case, {"waybill": self._following.waybill}
        if case.outcome == "loss_reported":
            then = RETURN_OVER if case.return_over else RETURN_GOES_ON
            return {**told, "then_zh": then.zh, "then_en": then.en}
        if case.outcome == "refund_opened":
            then = MONEY_SEEN_TO if case.refunded_by_others else REFUND_UNDER_WAY
            if case.lines and not self._left():
                then = SEEN_TO_ALREADY
            return {**told, "then_zh": then.zh, "then_en": then.en}
        if case.outcome != "closed":
            return told
        out = self._is_out() and not (case.came_back or self._may_be_here() or case.way_back)
        refuse = REFUSE_IT if out else Label("。", ".")
        return {**told, "refuse_zh": refuse.zh, "refuse_en": refuse.en}

    # --- polling the courier and the shop ---

    async def watch(self) -> Outcome | None:
        """Ask the courier, have receipt put off, read the order; what is seen moves the case, where a row says so."""
        await self._ask_and_read()
        case = self.case
        if case.report is not None and case.report.order_over:
            return Outcome("order_gone", "the shop shows the lines refunded or the order closed")
        if case.report is not None and case.report.trade_finished and case.state == "confirming_receipt":
            return Outcome("find_confirmed")
        found = FOUND.get(case.verdict)
        if found == "find_forwarded" and self.flow.rows(case.state, found) and not await self._follow_by_itself():
            self._judge(forwarding_known=False)  # somebody else's parcel: all the rest that the scan says still counts
            found = FOUND.get(case.verdict)
        if found is None or not self.flow.rows(case.state, found):
            return None
        return Outcome(found, self._last_word() if found == "find_problem" else None)

    async def _ask_and_read(self) -> None:
        """Ask the courier, if nobody has a moment ago, and read how the parcel stands."""
        case, parcel = self.case, self._following
        if case.state != "registering":
            await self._ask(
                AskCourier(
                    order_id=case.order_id,
                    courier=parcel.courier,
                    waybill=parcel.waybill,
                    at=workflow.now(),
                    poll_min=case.figures.flow.poll_min,
                )
            )
        await self._read()

    async def _read(self) -> None:
        """Read how the parcel stands by the courier's last word, and what that comes to."""
        case, parcel = self.case, self._following
        report = await self.in_shop(ParcelActivities.look_at_parcel, self._parcel_step(), "how the parcel stands")
        if self._following.waybill != parcel.waybill:
            return  # it goes under another waybill since: this was about the old one
        case.report = report
        if not report.order_over:
            case.amount_fen = report.value_fen
        self._judge(forwarding_known=report.forwarding is not None and report.forwarding.waybill not in case.earlier)

    def _judge(self, *, forwarding_known: bool) -> None:
        """What the last report comes to."""
        case, parcel, figures = self.case, self._following, self.case.figures.flow
        report = case.report
        if report is None:
            return
        begin = counted_from(parcel.since, case.answered_at)
        case.verdict = verdict(
            report.last,
            forwarding_known=forwarding_known,
            begin=begin,
            overdue_from_start=case.way_back or case.cause == "overdue",
            answered_at=case.answered_at,
            denied_at=case.denied_at,
            cycle=figures.delivery_cycle(report.region, parcel.courier),
            grace=figures.overdue_grace,
            no_scan=figures.no_scan,
            fresh=figures.poll_min,
            at=workflow.now(),
        )
        # it is with us again: the signature is our own. Where it is waited for still, and another case took it in, the
        # table's row counts: the case would go on waiting without an end
        awaited = bool(self.flow.rows(case.state, "parcel_returned"))
        if case.verdict == "signed" and not case.way_back and (case.came_back or (not awaited and self._is_here())):
            case.verdict = "unknown"

    async def _ask(self, request: AskCourier) -> None:
        """Outside the shop, so an activity; a courier that cannot be asked just now means nothing."""
        with suppress(ActivityError, RefusedForGood):
            await self.outside(
                CourierActivities.ask_courier, request, f"where is {request.waybill}", in_all=ASKING_TIMEOUT
            )

    # --- what is checked with, or written to, the shop when a message is accepted ---

    async def consult_order_gone(self, _: Attempt[ParcelCase]) -> None:
        """The news counts only if the shop, read again, agrees."""
        await self._read()
        if self.case.report is not None and not self.case.report.order_over:
            raise Refused("the shop does not show the lines refunded or the order closed")

    async def consult_presume_lost(self, _: Attempt[ParcelCase]) -> None:
        """Look once more before the parcel is taken as lost."""
        await self._ask_and_read()

    async def consult_receipt_presumed(self, _: Attempt[ParcelCase]) -> None:
        """What has turned up is taken in before the buyer is taken to have it: the last look may be hours ago."""
        if self._turned_up() is not None and self.adopts(KNOWS_WHAT_IS_HERE):
            await self._read()

    async def consult_buyer_chooses(self, attempt: Attempt[ParcelCase]) -> None:
        """Are the goods there to be sent again, and does nobody else give the money back for all of them?"""
        await self._read()
        self._refuse_if_seen_to(cast("BuyerChooses", attempt.message).choice)

    async def consult_choose_reship(self, _: Attempt[ParcelCase]) -> None:
        """Are the goods there to be sent again, and does nobody else give the money back for all of them?"""
        await self._read()
        self._refuse_if_seen_to("reship")

    async def consult_choose_refund(self, _: Attempt[ParcelCase]) -> None:
        """What is it worth by now, and does nobody else give the money back for all of it?"""
        await self._read()
        self._refuse_if_seen_to("refund")

    async def consult_approve(self, _: Attempt[ParcelCase]) -> None:
        """Hours may have passed since it was chosen: does still nobody else give the money back for all of it?"""
        if self.adopts(ASKS_WHO_ELSE):
            await self._read()
            self._refuse_if_seen_to("reship")

    async def effect_buyer_chooses(self, attempt: Attempt[ParcelCase]) -> None:
        """Reserve what is to be sent again; refused where it has sold out since."""
        await self._reserve_if_sent_again(attempt)

    async def effect_choose_reship(self, attempt: Attempt[ParcelCase]) -> None:
        """Reserve what is to be sent again, and claim from the courier."""
        await self._reserve_if_sent_again(attempt)
        await self._claim_by(attempt)

    async def effect_choose_refund(self, attempt: Attempt[ParcelCase]) -> None:
        """Claim from the courier."""
        await self._claim_by(attempt)

    async def effect_approve(self, attempt: Attempt[ParcelCase]) -> None:
        """Reserve what is to be sent again."""
        await self._reserve_if_sent_again(attempt)

    async def after_buyer_chooses(self) -> None:
        """Tell the courier what the buyer wants of it."""
        match self.case.choice:
            case "forward":
                await self._request("forward", "转寄", "forward")
            case "redeliver":
                await self._request("redeliver", "重派", "deliver once more")
            case _:
                pass

    async def effect_parcel_forwarded(self, attempt: Attempt[ParcelCase]) -> None:
        """The new waybill is this order's from now on; another order's is refused."""
        await self._follow(cast("OnItsWay", attempt.message), sent_again=False)

    async def effect_parcel_reshipped(self, attempt: Attempt[ParcelCase]) -> None:
        """The goods have left again: a parcel of the order like any other, of which nothing has been said yet."""
        await self._follow(cast("OnItsWay", attempt.message), sent_again=True)
        case = self.case
        for kept in [one for one in case.kept if one.trigger in OF_ONE_PARCEL]:
            self.leave_unused(kept, "it was said of the parcel before, not of the goods that were sent again")

    async def effect_parcel_returned(self, attempt: Attempt[ParcelCase]) -> None:
        """The goods are here again; a waybill that this case does not follow is refused."""
        case, given = self.case, cast("ParcelReturned", attempt.message).waybill
        if not self._follows(given):
            raise Refused(f"waybill: {given} is not the parcel that this case follows")
        if not case.way_back:  # what a return awaits, the return takes in
            await self.in_shop(
                ParcelActivities.take_returned,
                TakeReturned(**self.step_fields(), waybill=self._shipment, memo=self.memo("包裹已退回")),
                "the parcel is back",
            )
            if self.adopts(READS_WHAT_CAME):
                await self._read()

    async def effect_find_out_of_stock(self, _: Attempt[ParcelCase]) -> None:
        """There are none: nothing is sent again."""
        await self.in_shop(ParcelActivities.say_out_of_stock, self.step(), "out of stock")

    async def effect_buyer_confirms(self, _: Attempt[ParcelCase]) -> None:
        """A reshipment under way is called off; one that has left is to be stopped."""
        await self._call_off()
        case = self.case
        if case.shipment is not None and self._is_out():
            await self._post(
                [self.to_staff("parcel.stop_reshipment", Role.PARCEL_SPECIALIST, waybill=self._following.waybill)]
            )

    async def after_order_gone(self) -> None:
        """A moving parcel is to be brought back; nothing is sent again, and what came back stays with us."""
        case = self.case
        here = case.came_back or self._may_be_here()
        await self._call_off(into_stock=here and not case.way_back)
        if self._is_out() and not self._is_here() and not case.way_back:
            await self._post([self.to_staff("parcel.recover", Role.PARCEL_SPECIALIST, waybill=self._following.waybill)])

    async def after_find_signed(self) -> None:
        """A return on its way to us has come: its case and the returns clerk are told."""
        await self._tell_return_if_here()

    async def after_courier_answers(self) -> None:
        """A return on its way to us has come: its case and the returns clerk are told."""
        await self._tell_return_if_here()

    async def after_picked_up(self) -> None:
        """A return on its way to us was fetched: its case and the returns clerk are told."""
        await self._tell_return_if_here()

    # --- shared by the above ---

    def _refuse_if_seen_to(self, choice: Choice) -> None:
        """What the platform or another case sees to, as the shop last said, is not seen to here as well."""
        report = self.case.report
        if report is None or not self.adopts(LEAVES_TO_OTHERS):
            return
        if report.order_over:
            # the next poll, which would see it, may be hours away; whoever asks now is not to wait for it
            self.bring_news("order_gone")
            raise Refused("the shop shows the lines refunded or the order closed: there is nothing left to make good")
        asks = choice == "refund" or (choice == "reship" and self.adopts(ASKS_WHO_ELSE))
        if not asks or report.claimed_by is None or self.case.way_back:
            return
        if choice == "refund" and self._waiting_in_vain() and self.adopts(CALLS_OFF_RETURNS):
            return
        if self._free() and self.adopts(CHOOSES_WHAT_IS_FREE) and self.adopts(ASKS_WHO_ELSE):
            return
        raise Refused(about_the_money(report.claimed_by))

    @property
    def _following(self) -> Followed:
        case = self.case
        return case.following or Followed(courier=case.courier, waybill=case.waybill)

    def _left(self) -> list[LineQuantity]:
        """What is in the parcel and is not refunded, as the shop last said."""
        return self.case.lines if self.case.report is None else self.case.report.left

    def _with_others(self) -> dict[int, str]:
        """By line that is left, the case that has claimed it, where that is another's, as the shop last said."""
        return {} if self.case.report is None else self.case.report.with_others

    def _free(self) -> list[LineQuantity]:
        """What of the parcel's goods is left, and no other case has."""
        with_others = self._with_others()
        return [one for one in self._left() if one.line not in with_others]

    def _waiting_in_vain(self) -> list[str]:
        """The open returns that wait for the buyer to send back what never came, as the shop last said.

        What came back to us is taken in by them, as anything else that comes in.
        """
        case = self.case
        if case.report is None or case.way_back:
            return []
        if (case.came_back and self.adopts(CALLS_OFF_ONLY_LOST)) or (not case.came_back and self._is_here()):
            return []
        return case.report.awaited_by if case.came_back or case.damaged or self._is_lost() else []

    @property
    def _shipment(self) -> str:
        """The waybill under which the shop knows the shipment whose goods these are."""
        case = self.case
        return case.shipment or case.waybill

    def to_buyer(self, template: str, **parameters: str) -> list[Post]:
        """A message to the buyer of the order: again, where the case comes to say it again."""
        if self.case.way_back and template in ONLY_TO_A_RECEIVER:
            return []
        return self.once_more(super().to_buyer(template, **parameters))

    def to_staff(self, template: str, role: Role, **parameters: str) -> Post:
        """A task for a role: again, where the case comes to give it again."""
        return super().to_staff(template, role, **parameters).again(self.case.version)

    def _came_by(self) -> str:
        """What moved the case into its state."""
        moves = [line for line in self.case.trail if line.is_move]
        return moves[-1].trigger if moves else ""

    def _is_out(self) -> bool:
        """The parcel is still on its way, as far as the courier's last word says."""
        last = self.case.report.last if self.case.report is not None else None
        return last is None or last.state not in HANDED_OVER | GOING_BACK

    def _is_lost(self) -> bool:
        """A person, or the clock, took it as lost."""
        case = self.case
        return case.said_lost or case.presumed_lost

    def _last_word(self) -> str:
        """The courier's last word and its age, by its code: what it wrote may hold something of the buyer's."""
        last = self.case.report.last if self.case.report is not None else None
        if last is None:
            return "the courier has told of no scan"
        told = self.case.local_time(last.answered_at)
        return f"the newest scan is {last.code} of {self.case.local_time(last.at)}, as the courier said {told}"

    def _parcel_step(self) -> ParcelStep:
        case = self.case
        return ParcelStep(
            **self.step_fields(),
            courier=case.courier,
            waybill=self._shipment,
            following=self._following.waybill,
            way_back=case.way_back,
            shop_province=case.figures.shop.province,
            remote_provinces=list(case.figures.flow.remote_provinces),
            denied_at=case.denied_at,
            turned_up=self._turned_up(),
        )

    def _turned_up(self) -> TurnedUp | None:
        """The parcel is here, as a fact says that the case has kept, although nobody waits for it any more."""
        case = self.case
        if case.way_back or self.flow.rows(case.state, "parcel_returned"):
            return None  # the return takes it in, or this state does
        if not any(one.trigger == "parcel_returned" and self._follows(one.payload.get("waybill")) for one in case.kept):
            return None
        return TurnedUp(waybill=self._shipment, memo=self.memo("包裹已退回"))

    def _may_be_here(self) -> bool:
        """The parcel is with us although the case has not waited for it: a kept fact says so, or another case took it
        in.
        """
        report = self.case.report
        return self._turned_up() is not None or (report is not None and report.back)

    def _is_here(self, *, since: str = KNOWS_WHAT_IS_HERE) -> bool:
        """The goods are with us, whether the case has waited for them or not.

        `since`: the change by which a case that asks here counts what has turned up.
        """
        turned_up = self._turned_up() is not None
        if since == CLAIMS_WHAT_IS_OUT:
            # asked also of what came back: so it is in the histories of cases that were opened before
            turned_up = turned_up and self.adopts(since)
        if self.case.came_back or (turned_up and self.adopts(since)):
            return True
        return self._may_be_here() and self.adopts(KNOWS_WHAT_IS_HERE)

    def _follows(self, waybill: str | None) -> bool:
        """Whether this is a waybill of the goods that the case follows; not to name one is to mean that."""
        own = {self._shipment, self._following.waybill, *self.case.earlier}
        return waybill is None or waybill.upper() in {one.upper() for one in own}

    def _calling_off(self, *, into_stock: bool = False) -> CallOff:
        return CallOff(**self.step_fields(), into_stock=into_stock, turned_up=self._turned_up())

    def _courier_step(self) -> CourierStep:
        parcel = self._following
        return CourierStep(
            **self.step_fields(),
            courier=parcel.courier,
            waybill=parcel.waybill,
            address_id=self.case.address_id,
        )

    async def _request(self, what: str, zh: str, en: str) -> None:
        method = CourierActivities.forward if what == "forward" else CourierActivities.redeliver
        parcel = self._following
        try:
            agreed = await self.outside(method, self._courier_step(), f"{what} {parcel.waybill}")
        except RefusedForGood:
            agreed = False
        if not agreed:
            await self._post(self.once_more([self._call_courier(zh, en)]))

    def _call_courier(self, zh: str, en: str) -> Post:
        """A person asks the courier, who does not take the request."""
        waybill = self._following.waybill
        return self.to_staff("parcel.not_redelivered", Role.PARCEL_SPECIALIST, waybill=waybill, what_zh=zh, what_en=en)

    async def _claim_by(self, attempt: Attempt[ParcelCase]) -> None:
        claimed = cast("ChooseRemedy", attempt.message).claim_fen
        await self._claim(self.case.amount_fen if claimed is None else claimed)

    async def _claim(self, amount_fen: int) -> None:
        step = ClaimStep(**self._courier_step().model_dump(), amount_fen=amount_fen)
        try:
            await self.outside(CourierActivities.claim, step, "claim from the courier")
        except RefusedForGood:
            await self._post([self._call_courier("理赔", "pay for").again("claim")])

    async def _reserve_if_sent_again(self, attempt: Attempt[ParcelCase]) -> None:
        if attempt.move is None or attempt.move.dest != "reshipping":
            return
        step = ReserveStep(**self.step_fields(), waybill=self._shipment)
        done = await self.in_shop(ParcelActivities.reserve_goods, step, "reserve the goods")
        if done.refused is not None:
            raise Refused(done.refused)
        await self._read()

    async def _call_off(self, *, into_stock: bool = False) -> None:
        step = self._calling_off(into_stock=into_stock)
        await self.in_shop(ParcelActivities.call_off_reshipment, step, "call off the reshipment")

    async def _follow_by_itself(self) -> bool:
        """The courier forwarded it: follow the waybill that its scan names, unless that is another order's parcel."""
        case = self.case
        parcel = case.report.forwarding if case.report is not None else None
        if parcel is None:
            return False
        done = await self.in_shop(
            ParcelActivities.follow_parcel,
            FollowStep(**self.step_fields(), parcel=parcel, sent_again=False),
            f"follow {parcel.waybill}",
        )
        return done.refused is None

    async def _follow(self, message: OnItsWay, *, sent_again: bool) -> None:
        parcel = Followed(courier=message.courier, waybill=message.waybill, since=workflow.now())
        done = await self.in_shop(
            ParcelActivities.follow_parcel,
            FollowStep(**self.step_fields(), parcel=parcel, sent_again=sent_again, turned_up=self._turned_up()),
            f"follow {message.waybill}",
        )
        if done.refused is not None:
            raise Refused(done.refused)

    async def _tell_return_if_here(self) -> None:
        if self.case.way_back and self.case.state == "delivered":
            await self._tell_return("parcel.way_back_arrived")

    async def _tell_return(self, template: str) -> None:
        """A task under the return, to who receives goods or decides; where it has ended, one that says so."""
        case, return_case, waybill = self.case, cast("str", self.case.return_case), self._following.waybill
        lost = template == "parcel.way_back_lost"
        role, whose = Role.RETURNS_CLERK, Role.RETURNS_CLERK
        if lost:
            role, whose = Role.STORE_MANAGER, Role.AFTERSALE_SUPERVISOR
        too_late = f"{template}_too_late"
        goes_on = await self.in_shop(
            ParcelActivities.tell_return,
            TellReturn(
                **self.step_fields(),
                return_case=return_case,
                tasks=[self.to_staff(template, role, waybill=waybill)],
                if_over=[self.to_staff(too_late, whose, waybill=waybill, return_case=return_case)],
            ),
            f"tell {return_case}",
        )
        # in a history from an older version there is no answer: it went by the return
        case.return_over = goes_on is False
