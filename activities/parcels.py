"""Steps on the shop's parcels: register, look, follow, send again, take back. One transaction each."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from activities.defining import uninterrupted
from activities.steps import Done, OrderStep, post_all, writing_for
from casework.money import listed
from casework.parcels import Followed, ParcelReport, Registered
from casework.rules.parcels import priority_of
from casework.shop import coming_back, following, outbox, parcels, records, reshipments
from casework.shop.database import Database
from casework.shop.errors import BadRequest
from casework.shop.orders import lock_order
from casework.shop.steps import first_time
from casework.templates import Post
from state_machines.roles import Role


class TurnedUp(BaseModel):
    """The parcel is here again, with a memo, while its case sees to the remedy, and waits for it no more."""

    waybill: str
    memo: str


class ParcelStep(OrderStep):
    """One step on a parcel: the waybill that its case is about, and the one under which its goods go now."""

    courier: str
    waybill: str
    following: str
    way_back: bool
    shop_province: str
    remote_provinces: list[str]
    denied_at: datetime | None = None
    """When the buyer said that nothing came (aware): what was signed until then is no receipt."""
    turned_up: TurnedUp | None = None


class RegisterStep(ParcelStep):
    """Register a parcel; from `big_parcel_fen` on it has priority."""

    big_parcel_fen: int


class FollowStep(OrderStep):
    """From now on the goods go under another waybill; `sent_again`: other goods, which the warehouse has sent."""

    parcel: Followed
    sent_again: bool
    turned_up: TurnedUp | None = None


class ReserveStep(OrderStep):
    """Reserve what is to be sent again of a parcel; None: told by a Casework that did not say of which."""

    waybill: str | None = None


class CallOff(OrderStep):
    """Nothing is sent again; `into_stock`: what came back stays with us."""

    into_stock: bool = False
    turned_up: TurnedUp | None = None


class TakeReturned(OrderStep):
    """The parcel is here again, with a memo."""

    waybill: str
    memo: str


class TellReturn(OrderStep):
    """Tasks that stand under the return which awaits the parcel; `if_over`: those of this case, where it has ended."""

    return_case: str
    tasks: list[Post]
    if_over: list[Post] = Field(default_factory=list[Post])


class ParcelActivities:
    """Steps on parcels."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def register_parcel(self, step: RegisterStep) -> Registered:
        """Record that the case follows the parcel, unless another open one does; how urgent is it, who looks for it?"""
        with writing_for(self._database, step) as session:
            # two cases of the same goods may begin at once: the first to get here has them
            lock_order(session, step.order_id)
            report = _read(session, step)
            follower = following.other_follower(session, step.order_id, step.waybill)
            if follower is not None:
                report = report.model_copy(update={"settled": True})
            since = parcels.left_at(session, step.order_id, step.waybill, way_back=step.way_back)
            value = report.value_fen
            specialist: str | None = None
            if report.known and not report.settled:
                following.follow(
                    session,
                    case_id=step.case_id,
                    run_id=step.run_id,
                    order_id=step.order_id,
                    parcel=Followed(courier=step.courier, waybill=step.waybill, since=since),
                    how="way_back" if step.way_back else "opened",
                )
                specialist = parcels.specialist_for(session, step.waybill, step.at)
        return Registered(
            report=report,
            value_fen=value,
            priority=priority_of(value, report.region, big_parcel_fen=step.big_parcel_fen),
            specialist=specialist,
            since=since,
            followed_by=follower,
        )

    @uninterrupted
    def look_at_parcel(self, step: ParcelStep) -> ParcelReport:
        """Have the trade's receipt put off where it is near, tell the warehouse what it is not to send any more, and
        read how the parcel stands.
        """
        with writing_for(self._database, step) as session:
            _take_in(session, step, step.turned_up)
            if not step.way_back:
                parcels.put_off_receipt(session, step.order_id, step.waybill, step.at)
                _tell_warehouse(session, step)
            return _read(session, step)

    @uninterrupted
    def follow_parcel(self, step: FollowStep) -> Done:
        """Follow the new waybill; refused where it is another order's parcel, or another open case's."""
        try:
            with writing_for(self._database, step) as session:
                _take_in(session, step, step.turned_up)
                following.follow(
                    session,
                    case_id=step.case_id,
                    run_id=step.run_id,
                    order_id=step.order_id,
                    parcel=step.parcel,
                    how="reshipped" if step.sent_again else "forwarded",
                )
                if step.sent_again:
                    reshipments.send_again(
                        session,
                        key=step.round_key("sent_again"),
                        case_id=step.case_id,
                        order_id=step.order_id,
                        lines=step.lines,
                        parcel=step.parcel,
                        at=step.at,
                    )
        except BadRequest as refused:
            return Done(refused=str(refused))
        return Done()

    @uninterrupted
    def reserve_goods(self, step: ReserveStep) -> Done:
        """Reserve the goods that are to be sent again, but those that another case has the money for; refused where
        there are none.
        """
        with writing_for(self._database, step) as session:
            refused = reshipments.reserve(
                session,
                key=step.round_key("reshipment"),
                case_id=step.case_id,
                run_id=step.run_id,
                order_id=step.order_id,
                waybill=step.waybill,
                lines=step.lines,
                at=step.at,
            )
        return Done(refused=refused)

    @uninterrupted
    def call_off_reshipment(self, step: CallOff) -> bool:
        """Call off what the warehouse was to send; False: nothing was under way."""
        with writing_for(self._database, step) as session:
            _take_in(session, step, step.turned_up)
            # first: what is to be sent again is not there to go into stock
            was_under_way = reshipments.call_off_reshipment(session, case_id=step.case_id, at=step.at)
            if step.into_stock:
                coming_back.take_into_stock(
                    session,
                    key=step.key("into_stock"),
                    case_id=step.case_id,
                    order_id=step.order_id,
                    lines=coming_back.nobody_waits_for(session, step.case_id, step.order_id, step.lines),
                    at=step.at,
                )
            return was_under_way

    @uninterrupted
    def say_out_of_stock(self, step: OrderStep) -> None:
        """The warehouse has none of these goods: what it was to send is called off."""
        with writing_for(self._database, step) as session:
            # done again, nothing would be asked for any more, and all of the parcel would count as sold out
            if first_time(session, step.round_key("out_of_stock"), step.at):
                wanted = reshipments.asked_to_send(session, step.case_id)
                reshipments.call_off_reshipment(session, case_id=step.case_id, at=step.at)
                reshipments.say_out_of_stock(session, step.order_id, wanted or step.lines, step.at)

    @uninterrupted
    def take_returned(self, step: TakeReturned) -> None:
        """The parcel came back: its goods are here, purple flag, memo."""
        with writing_for(self._database, step) as session:
            parcels.take_returned(
                session,
                key=step.round_key("returned"),
                case_id=step.case_id,
                order_id=step.order_id,
                waybill=step.waybill,
                lines=step.lines,
                memo=step.memo,
                at=step.at,
            )

    @uninterrupted
    def give_up_parcel(self, step: CallOff) -> None:
        """Called off: nothing is sent again by this case; goods that came back ship as any others when it ends."""
        with writing_for(self._database, step) as session:
            _take_in(session, step, step.turned_up)
            reshipments.call_off_reshipment(session, case_id=step.case_id, at=step.at)

    @uninterrupted
    def tell_return(self, step: TellReturn) -> bool:
        """Put tasks under the return that awaits the parcel, each once for this case; False: that return has ended."""
        with writing_for(self._database, step) as session:
            goes_on = records.is_open(session, step.return_case)
            for task in step.tasks if goes_on else ():
                text = task.text()
                outbox.post(
                    session,
                    key=f"{step.return_case}/{step.key(task.purpose)}",
                    case_id=step.return_case,
                    to="staff",
                    recipient=task.role,
                    template=task.template,
                    parameters=task.parameters,
                    text_zh=text.zh,
                    text_en=text.en,
                    at=step.at,
                )
            post_all(session, step, () if goes_on else step.if_over)
        return goes_on


def _take_in(session: Session, step: OrderStep, turned_up: TurnedUp | None) -> None:
    """What has turned up is taken in as any other parcel that came back; once, by whatever step."""
    if turned_up is not None:
        parcels.take_returned(
            session,
            key=step.key(f"turned_up/{turned_up.waybill}"),
            case_id=step.case_id,
            order_id=step.order_id,
            waybill=turned_up.waybill,
            lines=step.lines,
            memo=turned_up.memo,
            at=step.at,
        )


def _tell_warehouse(session: Session, step: ParcelStep) -> None:
    """Where what the warehouse is to send is not what it was told, a new task takes the old one's place."""
    changed = reshipments.changed_since_asked(session, case_id=step.case_id, order_id=step.order_id, at=step.at)
    if changed is None:
        return
    role, template = (
        (Role.WAREHOUSE, "parcel.send_less") if changed.lines else (Role.AFTERSALE_SUPERVISOR, "parcel.send_nothing")
    )
    task = Post(
        purpose=f"staff.{template}.{changed.mark}",
        template=template,
        to="staff",
        role=role,
        parameters={"order_id": step.order_id, "lines": listed(changed.lines), "waybill": step.waybill},
    )
    post_all(session, step, [task])


def _read(session: Session, step: ParcelStep) -> ParcelReport:
    return parcels.read_parcel(
        session,
        case_id=step.case_id,
        run_id=step.run_id,
        order_id=step.order_id,
        waybill=step.waybill,
        following=step.following,
        lines=step.lines,
        way_back=step.way_back,
        shop_province=step.shop_province,
        remote_provinces=step.remote_provinces,
        at=step.at,
        denied_at=step.denied_at,
    )
