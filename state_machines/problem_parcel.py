"""Flow 5, problem parcel (问题件): find out where a parcel is, and make it good if it does not arrive.

Opened when a buyer asks, by the patrol, or on a courier's exception. The case in the manual: delivery point withdrawn,
the buyer is offered pickup at the next point up or transfer to EMS, chooses EMS, signed next day. From the after-sales
manual; who must prove delivery, and silence, from platform rules and law.

It may also be about a parcel on its way to us, which a return looks for: then nobody asks the buyer to have received
it, nothing is sent again, and its end is told to the return.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from casework.case import Case, CaseFigures, Start
from casework.messages import Courier, Fen, Message, MessageWithReason, Reference, Text, Ticket, Waybill
from casework.parcels import Followed, ParcelReport
from casework.policy import ProblemParcelPolicy
from casework.rules.parcels import Priority, Verdict
from state_machines.common import (
    approval,
    cancelling_moves,
    cancelling_states,
    cancelling_triggers,
    news_from_shop,
    within_agent_limit,
    within_supervisor_limit,
)
from state_machines.roles import Automatic, Label, Role
from state_machines.table import (
    Attempt,
    Deadline,
    Flow,
    Move,
    clock,
    decision,
    end,
    fact,
    guard,
    move,
    outcome,
    wait,
    work,
)

SYSTEM, CLOCK = Automatic.SYSTEM, Automatic.CLOCK
AGENT, SUPERVISOR = Role.AFTERSALE_AGENT, Role.AFTERSALE_SUPERVISOR
SPECIALIST, FINANCE = Role.PARCEL_SPECIALIST, Role.FINANCE_MANAGER

Cause = Literal["asked", "overdue", "signed_unconfirmed", "exception"]
Finding = Literal[
    "moving",
    "signed",
    "lost",
    "damaged",
    "returning",
    "station_withdrawn",
    "out_of_area",
    "wrong_address",
    "unreachable",
]
Choice = Literal["pickup", "forward", "redeliver", "reship", "refund"]
Signer = Literal["buyer", "family", "neighbour", "locker", "station", "other"]


class ParcelStart(Start):
    """What a problem parcel is opened with. Whether it is a return's parcel the shop says: who awaits the waybill."""

    waybill: Waybill
    courier: Courier
    cause: Cause


class ParcelFigures(CaseFigures):
    """The policy for this flow, as it was when the case opened."""

    flow: ProblemParcelPolicy


class ParcelCase(Case[ParcelFigures]):
    """What a problem parcel knows. `amount_fen` is the paid value of the parcel. Times are aware."""

    OWNED_BY: ClassVar[Role | None] = Role.PARCEL_SPECIALIST

    waybill: str
    courier: str
    cause: Cause
    following: Followed | None = None
    """The waybill under which the goods go now; None before the parcel is registered."""
    earlier: list[str] = Field(default_factory=list[str])
    """The waybills under which the same goods went before."""
    shipment: str | None = None
    """The shipment that took the place of the one that the case is about: the goods were sent again."""
    way_back: bool = False
    """It is a return on its way to us."""
    return_case: str | None = None
    """The return that awaits it."""
    return_over: bool = False
    """That return had ended when it was to be told what became of the parcel."""
    priority: Priority = "usual"
    report: ParcelReport | None = None
    """How the parcel stood when the case last looked."""
    verdict: Verdict = "unknown"
    """What that look came to, until the case has moved on."""
    troubled: bool = False
    """Something was wrong with it: the buyer did not only ask."""
    answered_at: datetime | None = None
    """When the courier last answered the specialist: delay is counted anew from then."""
    scan_when_asked: datetime | None = None
    """Which scan was the newest when the specialist was told to ask the courier."""
    denied_at: datetime | None = None
    """When the buyer said that nothing came: what was signed until then is no receipt."""
    finding: Finding | None = None
    courier_ticket: str | None = None
    said_lost: bool = False
    """A person said that it is lost, or cannot show that it was delivered."""
    presumed_lost: bool = False
    """The clock took it as lost."""
    damaged: bool = False
    came_back: bool = False
    """The parcel is with us again."""
    choice: Choice | None = None
    address_id: str | None = None
    station: str | None = None
    claim_fen: int | None = None
    """What was claimed from the courier; None: nothing yet."""
    refunded_by_others: bool = False
    """The money for it, or a part of it, is not in a refund that this case has opened: others see to it."""
    proof: dict[str, str] = Field(default_factory=dict[str, str])
    """What showed that the parcel was delivered: signer, place, photo."""


class CourierAnswers(Message):
    """What the courier says where the parcel is, or what is wrong with it."""

    finding: Finding = Field(
        description="moving, signed, lost, damaged, returning, station_withdrawn, out_of_area, wrong_address or "
        "unreachable"
    )
    courier_ticket: Ticket | None = Field(default=None, description="the courier's ticket, up to 64 characters")


class BuyerChooses(Message):
    """What the buyer wants to be done with a parcel that cannot be delivered."""

    choice: Choice = Field(description="pickup, forward, redeliver, reship or refund")
    address_id: Reference | None = Field(default=None, description="the corrected address, required for redeliver")
    station: Text | None = Field(default=None, description="where it is picked up, text of 1 to 500 characters")

    @model_validator(mode="after")
    def _redelivered_where(self) -> Self:
        if self.choice == "redeliver" and self.address_id is None:
            raise ValueError("address_id is missing: redeliver needs the reference of the corrected address")
        return self


class OnItsWay(Message):
    """The goods are on their way under another waybill."""

    courier: Courier = Field(description="the courier's code, such as ems")
    waybill: Waybill = Field(description="the new waybill, 6 to 32 letters, digits or hyphens")


class ChooseRemedy(Message):
    """How the loss is made good, and what is claimed from the courier for it."""

    claim_fen: Fen | None = Field(
        default=None, description="whole fen claimed from the courier, default the paid value"
    )


class ProofFound(Message):
    """What shows that the parcel was delivered."""

    signer: Signer | None = Field(
        default=None, description="who signed: buyer, family, neighbour, locker, station or other"
    )
    place: Text | None = Field(default=None, description="where it was left, text of 1 to 500 characters")
    photo: Reference | None = Field(default=None, description="reference of a photo")

    @model_validator(mode="after")
    def _some_proof(self) -> Self:
        if self.signer is None and self.place is None and self.photo is None:
            raise ValueError("signer, place and photo are missing: at least one of them is the proof")
        return self


class ParcelReturned(Message):
    """The parcel is here again."""

    waybill: Waybill | None = Field(default=None, description="the waybill, 6 to 32 letters, digits or hyphens")


# --- guards: pure, each tested by itself ---


@guard("查无此件或已办结", "there is no such parcel, or it is settled")
def nothing_to_follow(attempt: Attempt[ParcelCase]) -> bool:
    """The shop knows no such parcel of the order, or nobody needs to look for it any more."""
    report = attempt.case.report
    return report is not None and (not report.known or report.settled)


@guard("买家仅询问且运输正常", "the buyer only asked, and it is on time")
def only_asked_and_on_time(attempt: Attempt[ParcelCase]) -> bool:
    """Nothing was ever wrong, and the courier, asked now, says that it moves; a courier that is silent says nothing."""
    case = attempt.case
    return case.cause == "asked" and not case.troubled and case.verdict == "moving"


@guard("店铺显示交易成功", "the shop shows the trade finished")
def trade_finished(attempt: Attempt[ParcelCase]) -> bool:
    """The buyer, or the platform, has confirmed receipt."""
    return attempt.case.report is not None and attempt.case.report.trade_finished


@guard("商品行已退款或订单已关闭", "the lines are refunded or closed")
def order_over(attempt: Attempt[ParcelCase]) -> bool:
    """There is nothing left of what the parcel holds that the buyer has paid for."""
    return attempt.case.report is not None and attempt.case.report.order_over


@guard("退回本店的退货件", "a return on its way to us")
def is_way_back(attempt: Attempt[ParcelCase]) -> bool:
    """The buyer sent it, and a return awaits it."""
    return attempt.case.way_back


@guard("非退货件", "not a return")
def not_way_back(attempt: Attempt[ParcelCase]) -> bool:
    """The opposite of `is_way_back`."""
    return not attempt.case.way_back


@guard("有买家未否认的签收扫描", "a signed scan that the buyer has not denied")
def signed_and_not_denied(attempt: Attempt[ParcelCase]) -> bool:
    """3, 301 to 304, newer than the buyer's word that nothing came."""
    return attempt.case.verdict == "signed"


@guard("异常、超期或久无扫描", "an exception, overdue, or no scan for too long, since the courier's last answer")
def something_wrong(attempt: Attempt[ParcelCase]) -> bool:
    """An exception scan newer than the courier's last answer, or delay counted anew from it."""
    return attempt.case.verdict == "problem"


@guard("包裹退回中", "the parcel is going back")
def is_returning(attempt: Attempt[ParcelCase]) -> bool:
    """The courier brings it back to its sender."""
    return attempt.case.verdict == "returning"


@guard("快递已转寄,新单号已知", "the courier forwarded it under a new waybill")
def is_forwarded(attempt: Attempt[ParcelCase]) -> bool:
    """The newest scan names another courier and waybill."""
    return attempt.case.verdict == "forwarded"


@guard("在途", "finding: moving")
def found_moving(attempt: Attempt[ParcelCase]) -> bool:
    """The courier says that it moves."""
    return _finding(attempt) in (None, "moving")


@guard("已签收", "finding: signed")
def found_signed(attempt: Attempt[ParcelCase]) -> bool:
    """The courier says that it was signed for."""
    return _finding(attempt) in (None, "signed")


@guard("丢失或破损", "finding: lost or damaged")
def found_lost_or_damaged(attempt: Attempt[ParcelCase]) -> bool:
    """It will not arrive, or not whole."""
    return _finding(attempt) in (None, "lost", "damaged")


@guard("退回", "finding: returning")
def found_returning(attempt: Attempt[ParcelCase]) -> bool:
    """It is on its way back to its sender."""
    return _finding(attempt) in (None, "returning")


@guard("网点撤销、超区、地址错误或联系不上", "finding: station withdrawn, out of area, wrong address or unreachable")
def found_undeliverable(attempt: Attempt[ParcelCase]) -> bool:
    """It cannot be delivered as it is: the buyer chooses."""
    return _finding(attempt) in (None, "station_withdrawn", "out_of_area", "wrong_address", "unreachable")


@guard("催问后有新扫描", "a scan came in since the courier was asked")
def scanned_since_asked(attempt: Attempt[ParcelCase]) -> bool:
    """The newest scan is another one than when the specialist was told to ask."""
    case = attempt.case
    scan = case.report.scan_at if case.report is not None else None
    return scan is not None and (case.scan_when_asked is None or scan > case.scan_when_asked)


@guard("选择自提", "choice: pickup")
def chose_pickup(attempt: Attempt[ParcelCase]) -> bool:
    """The buyer fetches it."""
    return _choice(attempt) in (None, "pickup")


@guard("选择转寄", "choice: forward")
def chose_forward(attempt: Attempt[ParcelCase]) -> bool:
    """Another courier brings it."""
    return _choice(attempt) in (None, "forward")


@guard("选择重派,已给更正地址", "choice: redeliver, with the corrected address")
def chose_redeliver(attempt: Attempt[ParcelCase]) -> bool:
    """The courier tries again."""
    return _choice(attempt) in (None, "redeliver")


@guard("选择退款", "choice: refund")
def chose_refund(attempt: Attempt[ParcelCase]) -> bool:
    """The buyer wants the money back."""
    return _choice(attempt) in (None, "refund")


@guard("选择补发", "choice: reship")
def chose_reship(attempt: Attempt[ParcelCase]) -> bool:
    """The buyer wants the goods."""
    return _choice(attempt) in (None, "reship")


@guard("有货", "in stock")
def goods_in_stock(attempt: Attempt[ParcelCase]) -> bool:
    """The same goods are there to be sent again."""
    return attempt.case.report is not None and attempt.case.report.in_stock


def _finding(attempt: Attempt[ParcelCase]) -> Finding | None:
    """None where it is only asked what may be sent: then every finding may."""
    return attempt.message.finding if isinstance(attempt.message, CourierAnswers) else None


def _choice(attempt: Attempt[ParcelCase]) -> Choice | None:
    """None where it is only asked what may be sent: then every choice may."""
    return attempt.message.choice if isinstance(attempt.message, BuyerChooses) else None


# --- what a case remembers of its moves ---


def remember(moved: Move[ParcelCase], attempt: Attempt[ParcelCase]) -> None:
    """What the courier and the buyer said, and from when on delay, scans and signatures count anew."""
    case, message = attempt.case, attempt.message
    case.verdict = "unknown"
    if moved.dest != "tracking":
        case.troubled = True
    if moved.dest == "investigating":
        case.scan_when_asked = case.report.scan_at if case.report is not None else None
    match message:
        case CourierAnswers():
            case.finding, case.answered_at = message.finding, attempt.at
            case.courier_ticket = message.courier_ticket or case.courier_ticket
            case.said_lost, case.presumed_lost = message.finding == "lost", False
            case.damaged = message.finding == "damaged"
        case BuyerChooses():
            case.choice, case.address_id, case.station = message.choice, message.address_id, message.station
        case OnItsWay():
            follow_on(case, Followed(courier=message.courier, waybill=message.waybill, since=attempt.at))
        case ProofFound():
            case.proof = message.model_dump(include={"signer", "place", "photo"}, exclude_none=True)
        case ChooseRemedy():
            case.claim_fen = case.amount_fen if message.claim_fen is None else message.claim_fen
        case _:
            pass
    match moved.trigger:
        case "find_signed":
            # what was said of its loss before is overtaken: no deadline may pay by it
            case.said_lost = case.presumed_lost = case.damaged = False
        case "find_forwarded" if case.report is not None and case.report.forwarding is not None:
            follow_on(case, case.report.forwarding)
        case "declare_lost" | "no_proof":
            case.said_lost = True
        case "presume_lost" | "proof_overdue" if moved.dest == "choosing_remedy":
            case.presumed_lost = True
        case "buyer_denies":
            case.denied_at = attempt.at
        case "parcel_returned":
            case.came_back = True
        case "parcel_reshipped":
            # other goods: nothing that was said of the first ones is true of these
            case.shipment = case.following.waybill if case.following is not None else None
            case.came_back = case.said_lost = case.presumed_lost = case.damaged = False
            case.earlier, case.claim_fen = [], None
        case _:
            pass


def follow_on(case: ParcelCase, parcel: Followed) -> None:
    """From now on the goods go under another waybill; the old one stays known, and what it showed no longer counts."""
    if case.following is not None and case.following.waybill != parcel.waybill:
        case.earlier.append(case.following.waybill)
    case.following = parcel
    case.watch_at = None  # it is looked at at once
    if case.report is not None:
        case.report = case.report.model_copy(update={"code": None, "scan_at": None, "forwarding": None, "back": False})


# --- the table ---

MOVING = ("tracking", "investigating", "investigation_late", "asking_buyer", "forwarding", "awaiting_pickup")
"""The waits in which the parcel may still reach its receiver."""
LOOKED_FOR = (*MOVING, "awaiting_return", "choosing_remedy")
OPEN = (*LOOKED_FOR, "awaiting_supervisor", "reshipping", "confirming_receipt", "disputing_signature")
"""Every wait."""
POLL = "poll"
"""Every wait polls so often: the courier is asked, the order read, the receipt time put off."""

PROBLEM_PARCEL: Flow[ParcelCase] = Flow(
    name="problem-parcel",
    workflow="ProblemParcel",
    label=Label("问题件", "problem parcel"),
    case_type=ParcelCase,
    start_type=ParcelStart,
    figures_type=ParcelFigures,
    opened_by=(AGENT, SUPERVISOR, SPECIALIST),
    remember=remember,
    states=[
        work("registering", "登记包裹", "registering the parcel"),
        # no deadline: it may run for months, and looks by itself
        wait("tracking", "跟踪物流", "tracking", deadline=None, expects=(), watch=POLL),
        wait(
            "investigating",
            "向快递查件",
            "investigating",
            deadline=Deadline("investigation_overdue", "investigation"),
            expects=(SPECIALIST,),
            watch=POLL,
        ),
        wait(
            "investigation_late",
            "查件逾期",
            "investigation late",
            deadline=Deadline("presume_lost", "presume_lost"),
            # the supervisor is told
            expects=(SUPERVISOR, SPECIALIST),
            watch=POLL,
        ),
        wait(
            "asking_buyer",
            "待买家选择",
            "asking the buyer",
            deadline=Deadline("buyer_silent", "choice", reminds_buyer="parcel.choose_reminder"),
            expects=(AGENT, SPECIALIST),
            watch=POLL,
        ),
        wait(
            "forwarding",
            "转寄中",
            "forwarding",
            deadline=Deadline("forwarding_overdue", "forwarding"),
            expects=(SPECIALIST,),
            watch=POLL,
        ),
        wait(
            "awaiting_pickup",
            "待买家自提",
            "awaiting pickup",
            deadline=Deadline("pickup_overdue", "pickup", reminds_buyer="parcel.pickup_reminder"),
            expects=(SPECIALIST,),
            watch=POLL,
        ),
        wait(
            "awaiting_return",
            "待包裹退回",
            "awaiting the return",
            deadline=Deadline("return_overdue", "return_"),
            expects=(Role.RETURNS_CLERK,),
            watch=POLL,
        ),
        wait(
            "choosing_remedy",
            "选择补救",
            "choosing the remedy",
            deadline=Deadline("remedy_overdue", "remedy"),
            expects=(AGENT,),
            watch=POLL,
        ),
        wait(
            "awaiting_supervisor",
            "待主管审批",
            "awaiting the supervisor",
            deadline=Deadline("supervisor_silent", "supervisor"),
            expects=(SUPERVISOR, FINANCE),
            watch=POLL,
        ),
        wait(
            "reshipping",
            "补发中",
            "sending again",
            deadline=Deadline("reshipping_overdue", "reshipping"),
            expects=(Role.WAREHOUSE,),
            watch=POLL,
        ),
        wait(
            "confirming_receipt",
            "确认收货",
            "confirming receipt",
            deadline=Deadline(
                "receipt_presumed", "receipt", reminders="receipt_reminder", reminds_buyer="parcel.received_reminder"
            ),
            expects=(AGENT, SPECIALIST),
            watch=POLL,
        ),
        wait(
            "disputing_signature",
            "核实签收",
            "disputing the signature",
            deadline=Deadline("proof_overdue", "proof"),
            expects=(SPECIALIST,),
            watch=POLL,
        ),
        work("opening_refund", "转退款", "opening the refund"),
        *cancelling_states(),
        end("not_applicable", "不适用", "not applicable"),
        end("reassured", "运输正常", "reassured"),
        end("delivered", "已送达", "delivered"),
        end("closed", "订单已结束", "closed"),
        end("loss_reported", "丢件已告知退货工单", "loss reported"),
        end("refund_opened", "已转退款", "refund opened"),
    ],
    triggers=[
        outcome("register", "登记", "register"),
        outcome("find_normal", "运输正常", "find it normal"),
        outcome("find_confirmed", "交易成功", "find it confirmed"),
        outcome("find_signed", "发现签收", "find it signed"),
        outcome("find_problem", "发现异常", "find a problem"),
        outcome("find_returning", "发现退回", "find it returning"),
        outcome("find_forwarded", "发现转寄", "find it forwarded"),
        news_from_shop("order_gone", "订单已变", "order gone"),
        decision("courier_answers", "快递答复", "courier answers", CourierAnswers),
        clock("investigation_overdue", "查件超时", "investigation overdue"),
        decision("declare_lost", "认定丢件", "declare it lost", MessageWithReason, four_eyes=True),
        clock("presume_lost", "推定丢件", "presume it lost"),
        decision("buyer_chooses", "买家选择", "buyer chooses", BuyerChooses, speaks_for_buyer=True),
        clock("buyer_silent", "买家未选择", "buyer silent"),
        fact("parcel_forwarded", "已转寄", "parcel forwarded", OnItsWay),
        clock("forwarding_overdue", "转寄超时", "forwarding overdue"),
        fact("picked_up", "已自提", "picked up"),
        clock("pickup_overdue", "自提超时", "pickup overdue"),
        decision("choose_reship", "选择补发", "choose to send again", ChooseRemedy, speaks_for_buyer=True),
        decision("choose_refund", "选择退款", "choose the refund", ChooseRemedy, speaks_for_buyer=True),
        clock("remedy_overdue", "补救超时", "remedy overdue"),
        approval(),
        decision("reject", "驳回", "reject", MessageWithReason, four_eyes=True),
        clock("supervisor_silent", "主管未审批", "supervisor silent"),
        fact("parcel_reshipped", "已补发", "parcel sent again", OnItsWay),
        decision("find_out_of_stock", "发现缺货", "find it out of stock"),
        clock("reshipping_overdue", "补发超时", "sending again overdue"),
        outcome("open_refund", "转退款", "open the refund"),
        fact("buyer_confirms", "买家确认收货", "buyer confirms", speaks_for_buyer=True),
        clock("receipt_presumed", "视为收货", "receipt presumed"),
        decision("buyer_denies", "买家称未收到", "buyer denies", speaks_for_buyer=True),
        decision("proof_found", "找到签收凭证", "proof found", ProofFound),
        decision("no_proof", "无签收凭证", "no proof"),
        clock("proof_overdue", "举证超时", "proof overdue"),
        fact("parcel_returned", "包裹已退回", "parcel returned", ParcelReturned),
        clock("return_overdue", "退回超时", "return overdue"),
        *cancelling_triggers(),
    ],
    moves=[
        move("register", "registering", "not_applicable", SYSTEM, nothing_to_follow),
        move("register", "registering", "tracking", SYSTEM),
        move("find_normal", "tracking", "reassured", SYSTEM, only_asked_and_on_time),
        move("find_confirmed", "confirming_receipt", "delivered", SYSTEM, trade_finished),
        move("order_gone", OPEN, "closed", SYSTEM, order_over),
        move("find_signed", LOOKED_FOR, "delivered", SYSTEM, (signed_and_not_denied, is_way_back)),
        move("find_signed", LOOKED_FOR, "confirming_receipt", SYSTEM, signed_and_not_denied),
        move("find_problem", "tracking", "investigating", SYSTEM, something_wrong),
        move("find_returning", "tracking", "awaiting_return", SYSTEM, is_returning),
        move("find_forwarded", "tracking", "tracking", SYSTEM, is_forwarded),
        *(
            row
            for late in ("investigating", "investigation_late")
            for row in (
                move("courier_answers", late, "tracking", SPECIALIST, found_moving),
                # not in the specification's table: we are the receiver, so there is no buyer whose receipt is to be
                # confirmed
                move("courier_answers", late, "delivered", SPECIALIST, (found_signed, is_way_back)),
                move("courier_answers", late, "confirming_receipt", SPECIALIST, found_signed),
                move("courier_answers", late, "choosing_remedy", SPECIALIST, found_lost_or_damaged),
                move("courier_answers", late, "awaiting_return", SPECIALIST, found_returning),
                move("courier_answers", late, "asking_buyer", SPECIALIST, found_undeliverable),
            )
        ),
        move("investigation_overdue", "investigating", "investigation_late", CLOCK),
        move("declare_lost", "investigation_late", "choosing_remedy", SUPERVISOR),
        move("presume_lost", "investigation_late", "tracking", CLOCK, scanned_since_asked),
        move("presume_lost", "investigation_late", "choosing_remedy", CLOCK),
        move("buyer_chooses", "asking_buyer", "awaiting_pickup", (AGENT, SPECIALIST), chose_pickup),
        move("buyer_chooses", "asking_buyer", "forwarding", (AGENT, SPECIALIST), chose_forward),
        move("buyer_chooses", "asking_buyer", "tracking", (AGENT, SPECIALIST), chose_redeliver),
        move("buyer_chooses", "asking_buyer", "opening_refund", (AGENT, SPECIALIST), chose_refund),
        move(
            "buyer_chooses",
            "asking_buyer",
            "reshipping",
            (AGENT, SPECIALIST),
            # not in the specification's table, as in choose_reship: what the buyer sent to us is not sent again
            (chose_reship, goods_in_stock, within_agent_limit, not_way_back),
        ),
        move("buyer_chooses", "asking_buyer", "choosing_remedy", (AGENT, SPECIALIST), chose_reship),
        move("buyer_silent", "asking_buyer", "awaiting_pickup", CLOCK),
        move("parcel_forwarded", "forwarding", "tracking", SPECIALIST),
        move("forwarding_overdue", "forwarding", "investigating", CLOCK),
        # not in the specification's table: what was fetched is with us, who are the receiver
        move("picked_up", "awaiting_pickup", "delivered", SPECIALIST, is_way_back),
        move("picked_up", "awaiting_pickup", "confirming_receipt", SPECIALIST),
        move("pickup_overdue", "awaiting_pickup", "awaiting_return", CLOCK),
        move(
            "choose_reship",
            "choosing_remedy",
            "reshipping",
            AGENT,
            (goods_in_stock, within_agent_limit, not_way_back),
        ),
        move("choose_reship", "choosing_remedy", "awaiting_supervisor", AGENT, (goods_in_stock, not_way_back)),
        move("approve", "awaiting_supervisor", "reshipping", SUPERVISOR, within_supervisor_limit),
        move("approve", "awaiting_supervisor", "reshipping", FINANCE),
        move("reject", "awaiting_supervisor", "choosing_remedy", (SUPERVISOR, FINANCE)),
        move("supervisor_silent", "awaiting_supervisor", "opening_refund", CLOCK),
        move("choose_refund", "choosing_remedy", "opening_refund", AGENT),
        move("remedy_overdue", "choosing_remedy", "opening_refund", CLOCK),
        move("parcel_reshipped", "reshipping", "tracking", Role.WAREHOUSE),
        move("find_out_of_stock", "reshipping", "opening_refund", Role.WAREHOUSE),
        move("reshipping_overdue", "reshipping", "reshipping", CLOCK),
        move("open_refund", "opening_refund", "loss_reported", SYSTEM, is_way_back),
        move("open_refund", "opening_refund", "refund_opened", SYSTEM),
        move("buyer_confirms", OPEN, "delivered", (AGENT, SPECIALIST)),
        move("receipt_presumed", "confirming_receipt", "delivered", CLOCK),
        move("buyer_denies", "confirming_receipt", "disputing_signature", AGENT),
        move("proof_found", "disputing_signature", "confirming_receipt", SPECIALIST),
        move("no_proof", "disputing_signature", "choosing_remedy", SPECIALIST),
        # proving delivery is the seller's burden
        move("proof_overdue", "disputing_signature", "choosing_remedy", CLOCK),
        move("parcel_returned", (*MOVING, "awaiting_return"), "choosing_remedy", Role.RETURNS_CLERK),
        move("return_overdue", "awaiting_return", "investigating", CLOCK),
        *cancelling_moves(["registering", *OPEN, "opening_refund"], (SUPERVISOR,)),
    ],
)
