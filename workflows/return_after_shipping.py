"""Flow 2, return after shipping: what is done in each state. The table says what may happen: see
`state_machines/return_after_shipping.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from temporalio import workflow

from activities.cases import GoodsAtEnd
from activities.returns import (
    AssessStep,
    ReceiveStep,
    RestockStep,
    ReturnActivities,
    ReturnStep,
    SettleReturnStep,
    UndoStep,
    WayBackStep,
    WaybillStep,
)
from casework.changes import ASKS_WHAT_CAME_IN
from casework.dues import ReturnDue
from casework.money import LineQuantity, listed
from casework.rules.returns import evidence_missing, gift_deduction_fen
from casework.shop.claimants import PARCEL_CASES
from casework.templates import Post, yuan
from casework.templates.return_after_shipping import EVIDENCE, EXPLAINED, GROUNDS, parts_of_refund
from state_machines.problem_parcel import PROBLEM_PARCEL
from state_machines.return_after_shipping import (
    RETURN_AFTER_SHIPPING,
    AddEvidence,
    BuyerShips,
    PassInspection,
    ReceiveGoods,
    ReturnCase,
)
from state_machines.roles import Label, Role
from state_machines.table import Attempt
from workflows.defining import case_workflow
from workflows.paying import PayingWorkflow
from workflows.received import Refused
from workflows.steps import Outcome

MOST_NAMED = 20
"""So many lines are named in a task; of more, their number."""


@case_workflow(RETURN_AFTER_SHIPPING)
class ReturnAfterShipping(PayingWorkflow[ReturnCase]):
    """Take goods back that the buyer has, or will have, and give the money back."""

    changes = (*PayingWorkflow.changes, ASKS_WHAT_CAME_IN)

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """Run to an end; answers with the case view."""
        return await self.run_case()

    def opened(self, resolved: dict[str, Any]) -> None:
        """When the buyer first asked: now, or with the case that this one reopens or goes on with."""
        first = resolved.get("requested_at")
        self.case.requested_at = datetime.fromisoformat(first) if first else self.case.opened_at

    def due(self) -> ReturnDue:
        """The goods that are taken back, less a missing gift, and the postage that falls to the shop."""
        case = self.case
        return ReturnDue(
            lines=case.refunded_lines,
            fault=case.for_fault,
            gift_deduction_fen=case.gift_deduction_fen,
            return_postage_fen=case.return_postage_fen,
        )

    def more_is_due(self, why: str) -> Outcome:
        """More than was decided on: finance decides."""
        return Outcome("find_amount_risen", why)

    def ending_parameters(self) -> dict[str, str]:
        """By which parcel the goods went back to the buyer."""
        sent = self.case.sent_back
        return {"courier": sent.courier, "waybill": sent.waybill} if sent is not None else {}

    # --- one method per state ---

    async def assessing(self) -> Outcome:
        """How does the order stand? Claim its lines; the rules say where the request goes."""
        case = self.case
        case.standing = await self.in_shop(
            ReturnActivities.assess_return,
            AssessStep(
                **self.step_fields(),
                due=self.due(),
                requested_at=case.requested_at or case.opened_at,
                goods=case.goods,
            ),
            "judge by the rules, claim the lines",
        )
        case.amount_fen = case.standing.refundable_fen
        return Outcome("assess", self._why())

    def collecting_evidence(self) -> list[Post]:
        """The buyer is told what is still missing."""
        missing = [EVIDENCE[one] for one in self.case.missing_evidence]
        return self.to_buyer(
            "return.evidence_wanted",
            missing_zh="、".join(one.zh for one in missing),
            missing_en=" and ".join(one.en for one in missing),
        )

    def asking_supplier(self) -> list[Post]:
        """The agent asks the supplier whether it is a fault."""
        return self.to_buyer("return.being_judged")

    def awaiting_supervisor(self) -> list[Post]:
        """The amount is over the automatic limit, or the fault is not admitted."""
        return self.to_buyer("return.being_judged")

    def awaiting_manager(self) -> list[Post]:
        """The amount is over the supervisor's limit, the supervisor was silent, or the buyer insists."""
        return []

    def explaining(self) -> list[Post]:
        """The buyer is told why not."""
        why = _joined([GROUNDS[one] for one in self.case.grounds()]) or EXPLAINED
        return self.once_more(self.to_buyer("return.refused", why_zh=why.zh, why_en=why.en))

    def awaiting_parcel(self) -> list[Post]:
        """The buyer is told until when to send what back, and beforehand who pays the postage."""
        case = self.case
        letter = self.to_buyer(
            f"return.send_back.{case.postage_payer}",
            until=case.local_time(case.due) if case.due is not None else "",
            cap=yuan(case.figures.flow.return_postage_cap_fen),
        )
        return self.once_more(letter)

    def returning(self) -> list[Post]:
        """The goods are on their way."""
        return []

    def tracing_return(self) -> list[Post]:
        """They have not come in; a problem parcel looks for them."""
        return []

    def inspecting(self) -> list[Post]:
        """The goods are here."""
        return self.to_buyer("return.received")

    def inspection_late(self) -> list[Post]:
        """Nobody has looked at them yet."""
        return []

    async def restocking(self) -> Outcome:
        """What the inspection took goes into stock; what is due for it is read again."""
        await self.in_shop(
            ReturnActivities.restock_return,
            RestockStep(**self.step_fields(), accepted=self.case.accepted or []),
            "put the goods into stock",
        )
        await self._read_again()
        return Outcome("restock")

    def awaiting_finance(self) -> list[Post]:
        """The refund is over the clerk's limit, or the goods were lost or not looked at."""
        return []

    async def refunding(self) -> Outcome:
        """Pay, once."""
        return await self.pay()

    async def settling(self) -> Outcome:
        """Tell the buyer the amount and how it was reckoned; what was not taken goes back to the buyer."""
        case = self.case
        here = case.goods != "with_buyer"
        posts, memo = (await self._told_of_payment()) if case.money_sent else self._told_of_platform()
        rest = self._not_accepted()
        if rest and case.money_sent:
            posts.append(self.to_staff("return.send_rest_back", Role.WAREHOUSE, lines=_listed(rest)))
        if case.came_in and case.accepted is None:  # nobody has looked, and with this the case has no use for it
            posts.append(self.to_staff("return.look_at_paid_goods", Role.RETURNS_CLERK, lines=_listed(case.came_in)))
        await self.in_shop(
            ReturnActivities.settle_return,
            SettleReturnStep(
                **self.step_fields(posts),
                due=self.due(),
                came_back_before=case.lines if not case.received and (here or not case.money_sent) else [],
                memo=self.memo(memo),
            ),
            "settle the return",
        )
        return Outcome("settle")

    def confirming(self) -> list[Post]:
        """The buyer checks what has come."""
        return []

    def sending_back(self) -> list[Post]:
        """The goods go back to the buyer."""
        return self.to_buyer("return.goods_come_back")

    async def cancelling(self) -> Outcome:
        """Called off: release everything; goods that are here go back to the buyer."""
        posts = [self.to_staff("return.send_all_back", Role.RETURNS_CLERK)] if self.case.goods_came_in else []
        await self.give_away(
            ReturnActivities.undo_return,
            lambda: UndoStep(**self.step_fields(posts), memo=self.memo("退货工单已撤销")),
            "call the return off",
        )
        return Outcome("undo")

    def goods_at_end(self) -> GoodsAtEnd:
        """A parcel that came back undelivered meanwhile ships again, but what was taken in, which is sent back.

        Of goods of which only a fact says so that no state has used, the shop does not know; nor of those that a refund
        has taken in.
        """
        case = self.case
        match case.outcome:
            case "lapsed" | "platform_dispute":
                return GoodsAtEnd.STAY  # the buyer wanted the money, or the platform says whose they are
            case "not_applicable":
                return GoodsAtEnd.STAY  # it did not begin, but a parcel's case may have handed it lines
            case "refunded" if case.goods == "already_back":
                return GoodsAtEnd.SHIP  # not what it has had, but another piece of the line may
            case _:
                # what a parcel's case has opened it for, it has from its beginning
                unknown = case.goods == "already_back" and not self._is_of_parcel()
                return GoodsAtEnd.NONE if unknown or (case.came_in and not case.received) else GoodsAtEnd.SHIP

    # --- what is checked with, or written to, the shop when a message is accepted, or the clock fires ---

    async def read_news(self, _: Attempt[ReturnCase]) -> None:
        """The news counts only if the shop, read again, agrees."""
        await self._read_again(for_news=True)
        if self.case.standing is None or not self.case.standing.refunded:
            raise Refused("the shop does not show the lines refunded")

    async def consult_buyer_ships(self, attempt: Attempt[ReturnCase]) -> None:
        """A waybill of another order is refused."""
        await self._refuse_waybill_of_another(cast("BuyerShips", attempt.message).waybill)

    async def effect_buyer_ships(self, attempt: Attempt[ReturnCase]) -> None:
        """The shop knows by which parcel the goods come back."""
        message = cast("BuyerShips", attempt.message)
        await self.in_shop(
            ReturnActivities.note_way_back,
            WayBackStep(**self.step_fields(), waybill=message.waybill, courier=message.courier),
            "note the way back",
        )

    async def after_buyer_ships(self) -> None:
        """The postage advanced may be due too."""
        await self._read_again()

    async def consult_receive_goods(self, attempt: Attempt[ReturnCase]) -> None:
        """Not more than was asked for comes in, and no parcel of another order."""
        message = cast("ReceiveGoods", attempt.message)
        asked = {one.line: one.quantity for one in self.case.lines}
        for one in message.lines or ():
            if one.line not in asked:
                raise Refused(f"lines: line {one.line} is not asked to go back")
            if one.quantity > asked[one.line]:
                raise Refused(f"lines: {one.quantity} pieces of line {one.line} came in, {asked[one.line]} were asked")
        if message.waybill is not None:
            await self._refuse_waybill_of_another(message.waybill)
        if message.waybill is not None and message.lines is None and self.adopts(ASKS_WHAT_CAME_IN):
            against = await self.in_shop(
                ReturnActivities.what_speaks_against,
                WaybillStep(**self.step_fields(), waybill=message.waybill),
                "what can it have brought",
            )
            if against is not None:
                raise Refused(f"lines: {against}")

    async def effect_receive_goods(self, attempt: Attempt[ReturnCase]) -> None:
        """Record what came in, with a purple flag and a memo; a parcel of ours does not bring what was not in it."""
        message = cast("ReceiveGoods", attempt.message)
        received = [LineQuantity(line=one.line, quantity=one.quantity) for one in message.lines or self.case.lines]
        refused = await self.in_shop(
            ReturnActivities.receive_return,
            ReceiveStep(
                **self.step_fields(),
                received=received,
                waybill=message.waybill,
                named=message.lines is not None,
                memo=self.memo(f"收到退货 {_listed(received)}"),
            ),
            "the goods have come in",
        )
        if refused is not None:
            raise Refused(refused)

    async def after_receive_goods(self) -> None:
        """Less may have come in than was asked."""
        await self._read_again()

    async def effect_add_evidence(self, attempt: Attempt[ReturnCase]) -> None:
        """All that was missing must be there now."""
        case, message = self.case, cast("AddEvidence", attempt.message)
        missing = evidence_missing(
            case.cause,
            photos=message.photos or case.photos,
            description=message.description or case.description,
            appraisal=message.appraisal or case.appraisal,
        )
        if missing:
            raise Refused(f"{' and '.join(missing)}: still missing")

    async def after_add_evidence(self) -> None:
        """With a fault, the postage may be due too."""
        await self._read_again()

    async def effect_pass_inspection(self, attempt: Attempt[ReturnCase]) -> None:
        """Every line received is decided on, with no more pieces than came in; what a missing gift costs is read."""
        case, message = self.case, cast("PassInspection", attempt.message)
        received = {one.line: one.quantity for one in case.received}
        taken = {one.line: one.accepted_quantity for one in message.lines}
        if taken.keys() != received.keys():
            raise Refused(f"lines: what came in is {_listed(case.received)}; every line of it is decided on")
        for line, pieces in taken.items():
            if pieces > received[line]:
                raise Refused(f"lines: {pieces} pieces of line {line} are accepted, {received[line]} came in")
        gift = await self.in_shop(
            ReturnActivities.read_gift_of_order,
            self.step(),
            "what a missing gift costs",
        )
        if gift.value_fen and message.gift_back is None:
            raise Refused("gift_back: a gift went out with this order: true or false is wanted")
        case.gift_deduction_fen = gift_deduction_fen(
            gift.value_fen, gift_back=message.gift_back, deducted_before_fen=gift.deducted_fen
        )

    async def after_inspection_unanswered(self) -> None:
        """They count as passed in full, and stay out of stock until somebody has looked."""
        lines = _listed(self.case.received)
        await self._post(self.once_more([self.to_staff("return.look_at_goods", Role.RETURNS_CLERK, lines=lines)]))
        await self._read_again()

    async def effect_send_back(self, _: Attempt[ReturnCase]) -> None:
        """The goods leave the stock again."""
        await self.in_shop(
            ReturnActivities.take_return_out_of_stock,
            self.step(),
            "take the goods out of stock",
        )

    async def after_send_back(self) -> None:
        """What was found before is looked at again."""
        await self._read_again()

    async def after_return_overdue(self) -> None:
        """A problem parcel looks for the way back."""
        way_back = self.case.way_back
        if way_back is not None:
            await self.open_case(
                PROBLEM_PARCEL, {"waybill": way_back.waybill, "courier": way_back.courier, "cause": "asked"}
            )

    async def consult_trace_exhausted(self, _: Attempt[ReturnCase]) -> None:
        """Does the courier say that somebody at our address has signed for it?"""
        case = self.case
        if case.way_back is not None:
            case.signed_at_our_address = await self.in_shop(
                ReturnActivities.is_signed_for_by_us,
                WaybillStep(**self.step_fields(), waybill=case.way_back.waybill),
                "was it signed for at our address",
            )

    async def consult_ship_back_overdue(self, _: Attempt[ReturnCase]) -> None:
        """When did the buyer sign for the goods?"""
        await self._read_again()

    async def after_buyer_confirms(self) -> None:
        """The buyer has the money."""
        await self._finish()

    async def after_confirmation_over(self) -> None:
        """Nobody said that it had not come."""
        await self._finish()

    # --- shared by the above ---

    def _is_of_parcel(self) -> bool:
        """The case of a parcel has opened it, of what came back in that parcel, or was lost with it."""
        return (self.case.from_case or "").startswith(PARCEL_CASES)

    def _return_step(self, posts: Sequence[Post] = ()) -> ReturnStep:
        return ReturnStep(**self.step_fields(posts), due=self.due())

    async def _read_again(self, *, for_news: bool = False) -> None:
        """How the order stands now, and what is due by it: news that comes while it is paid says nothing of that."""
        case = self.case
        case.standing = await self.in_shop(ReturnActivities.read_return, self._return_step(), "read the order again")
        paying = case.money_sent or (for_news and self._is_working())
        if not case.standing.refunded and not paying:
            case.amount_fen = case.standing.refundable_fen

    async def _refuse_waybill_of_another(self, waybill: str) -> None:
        if await self.in_shop(
            ReturnActivities.is_waybill_of_another,
            WaybillStep(**self.step_fields(), waybill=waybill),
            "whose parcel is it",
        ):
            raise Refused("waybill: it is a parcel of another order")

    async def _told_of_payment(self) -> tuple[list[Post], str]:
        case = self.case
        parts = await self.in_shop(ReturnActivities.read_paid_parts, self.step(), "how the payment was made up")
        if case.paid_fen and not parts.goods_fen + parts.postage_fen + parts.return_postage_fen:
            return self._told_of_platform()  # found already paid, and not by us
        zh, en = parts_of_refund(
            goods_fen=parts.goods_fen,
            gift_fen=min(case.gift_deduction_fen, parts.gift_left_fen),
            postage_fen=parts.postage_fen,
            return_postage_fen=parts.return_postage_fen,
        )
        posts = self.to_buyer("return.refunded", amount=yuan(case.paid_fen), parts_zh=zh, parts_en=en)
        return posts, f"退货已退款 {yuan(case.paid_fen)}"

    def _told_of_platform(self) -> tuple[list[Post], str]:
        posts = self.to_buyer("return.refunded_by_platform")
        advanced = self.case.return_postage_fen
        if advanced:
            posts.append(self.to_staff("return.repay_postage", Role.REFUND_CLERK, amount=yuan(advanced)))
        return posts, "退货已由平台退款"

    def _not_accepted(self) -> list[LineQuantity]:
        """What came in and was not taken."""
        accepted = {one.line: one.quantity for one in self.case.accepted or self.case.received}
        left = [
            LineQuantity(line=one.line, quantity=one.quantity - accepted.get(one.line, 0)) for one in self.case.received
        ]
        return [one for one in left if one.quantity]

    async def _finish(self) -> None:
        await self.in_shop(ReturnActivities.finish_return, self.step(), "the refund is accepted")

    def _why(self) -> str | None:
        standing, case = self.case.standing, self.case
        if standing is None:
            return None
        if standing.nothing_due is not None:
            return standing.nothing_due
        if not standing.has_left:
            return "nothing of it was shipped"
        grounds = case.grounds() if case.goods == "with_buyer" else []
        return "; ".join(GROUNDS[one].en for one in grounds) or None


def _joined(labels: Sequence[Label]) -> Label | None:
    if not labels:
        return None
    return Label(";".join(one.zh for one in labels), "; ".join(one.en for one in labels))


def _listed(lines: Sequence[LineQuantity]) -> str:
    return listed(lines, at_most=MOST_NAMED)
