"""Goods that come back undelivered: marked, on the shelf to ship again, into stock, and who is told of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, as_typed, listed
from casework.rules.parcels import HANDED_OVER
from casework.shop import outbox
from casework.shop.amounts import accounts, line_rows, pieces_left
from casework.shop.bulk import hold_for_review, reviewer_of, was_ended
from casework.shop.claims import claimed_lines
from casework.shop.courier import cases_stopping, out_without_parcel, parcel_state, parcels_of
from casework.shop.flags import wish_flag
from casework.shop.goods_tasks import (
    IN_DISPUTE,
    OF_LAPSED_RETURN,
    OF_MALICIOUS_ORDER,
    ROLES,
    SAID_TO_BE_RECEIVED,
    TAKE_IN,
)
from casework.shop.known_flows import (
    DISPUTED,
    LAPSED,
    REFUNDED,
    RETURN,
    RETURNED_TO_BUYER,
    SENT_BACK,
    WITHDRAWN,
)
from casework.shop.losses import followed_by_cases, made_good, not_awaited, same_goods, waybills_followed_by
from casework.shop.lying_here import lines_named, name_what_lies_here, renew_tasks, tasks_about
from casework.shop.orders import lock_order
from casework.shop.pieces import LinePieces, pieces_of_lines, pieces_owed, still_in
from casework.shop.records import came_from, lines_of
from casework.shop.shelf import AFTER_REVIEW, SHIP_AGAIN, TO_SHIP_AGAIN, clear_shelf
from casework.shop.shipments import has_come_back, lines_in, pieces_in, shelve
from casework.shop.steps import first_time
from casework.shop.stock import move_stock
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    LedgerRow,
    LineRow,
    OrderRow,
    ReturnedLineRow,
    ReturnRow,
    ShipmentRow,
)
from state_machines.roles import Role

HAS_SENT_BACK = CaseRow.outcome.in_(SENT_BACK) | ((CaseRow.outcome == REFUNDED) & ReturnedLineRow.accepted.is_not(None))
"""Whether a return has ended so that what it had taken in of a line, and not accepted, is on its way to the buyer."""


@dataclass(frozen=True, slots=True)
class GoodsBack:
    """Whether all the lines are back, what is still out, and why a parcel was not marked (None if it was).

    Still out are waybills, and `line 2` for a line that left without one.
    """

    all_back: bool
    still_out: list[str]
    refused: str | None


def is_out(session: Session, order_id: str, lines: Sequence[LineQuantity]) -> bool:
    """Whether something of these lines has left and is not back."""
    own = {one.line for one in lines}
    return any(row.number in own and row.place == "shipped" for row in line_rows(session, order_id))


def mark_left(session: Session, *, order_id: str, lines: Sequence[LineQuantity]) -> None:
    """The warehouse says that these lines have left; the waybill, if there is one, comes later.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    own = {one.line for one in lines}
    for row in line_rows(session, order_id):
        if row.number in own and row.place == "unshipped":
            row.place = "shipped"
    session.flush()


def mark_goods_back(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    at: datetime,
    waybill: str | None = None,
) -> GoodsBack:
    """Parcels of these lines have come back: the one named, or all of them; once per key.

    A waybill that is no parcel of these lines is refused, and nothing is changed. Other lines in a parcel ship again,
    as `ship_again` says; these wait for the case's end. Pieces in whose place others have left go into stock. The
    returns clerk is asked to tell the other cases that have had the parcel stopped, and the returns of what is in it.
    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    own = {one.line for one in lines}
    parcels = parcels_of(session, order_id, own, back_too=True)
    if waybill is not None:
        parcels = [parcel for parcel in parcels if _same_waybill(parcel.waybill, waybill)]
        if not parcels:
            return _how_far_back(session, order_id, own, refused="waybill: it is no parcel of these lines")
    if first_time(session, key, at):
        inside: set[int] = set(own) if waybill is None else set()
        here = [parcel for parcel in parcels if parcel.back_at is None]
        for parcel in here:
            parcel.back_at = at
            inside |= lines_in(session, parcel)
        session.flush()
        for parcel in here:
            # others have left in their place: nobody gets these any more
            replaced = made_good(session, order_id, parcel.waybill).sent_again
            useless = [LineQuantity(line=line, quantity=pieces) for line, pieces in replaced.items()]
            take_back_into_stock(session, case_id, order, useless, at)
        came = _mark_lines_back(session, order_id, inside, at)
        others = {line for parcel in here for line in lines_in(session, parcel)} - own
        taken_in = {parcel.waybill.upper() for parcel in here}
        ship_again(session, key=key, case_id=case_id, order_id=order_id, numbers=others, at=at, taken_in=taken_in)
        # policy.md, shop.flag_profile: goods came back = purple
        wish_flag(session, case_id, order_id, "purple", at=at)
        for parcel in here:
            _tell_who_had_it_stopped(session, key, case_id, parcel, came, at)
            _tell_returns(session, key, case_id, parcel, at)
    return _how_far_back(session, order_id, own, refused=None)


def tell_of_what_is_here(session: Session, *, key: str, case_id: str, order_id: str, at: datetime) -> None:
    """A return that begins is told, by a task, of the parcels with its lines that have come back; once per key.

    `at` is aware.
    """
    if not first_time(session, f"{key}/told", at):  # told once more, it would lose the task that it has
        return
    own = {line for _, line in claimed_lines(session, case_id)}
    for parcel in parcels_of(session, order_id, own, back_too=True):
        if parcel.back_at is not None:
            _tell_return(session, key, case_id, parcel, at)


def cancel_take_in(session: Session, case_id: str, at: datetime) -> None:
    """The returns clerk is not to take in any more what a task names, for a return: it has, or ends, or there is more
    by now. `at` is aware.
    """
    outbox.cancel_tasks(session, case_id, Role.RETURNS_CLERK, at=at, template=TAKE_IN)


def ship_again(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    numbers: Collection[int],
    at: datetime,
    taken_in: Collection[str] = (),
) -> None:
    """Of these lines, what came back and the buyer still wants goes to the shelf: the warehouse gets a task.

    Not what another case has claimed; nor what a return has kept from the buyer, nor anything of an order that was
    ended as malicious, which tasks name. Nor what the open case of its own parcel sees to, unless that was just
    `taken_in` (waybills in capitals) by somebody who was waiting for it. Where the order is under review, whole lines
    are held for it, and the task says so. What is here, or on the shelf, beyond what the buyer still wants goes into
    stock. `at` is aware; the caller locks the order.
    """
    rows = [row for row in line_rows(session, order_id) if row.number in numbers]
    if not _something_is_here(session, order_id, rows):
        return
    kept = _ask_about_kept_goods(session, case_id, order_id, numbers, at)
    not_ours = _claimed_by_others(session, order_id, case_id).union(kept)
    rows = [row for row in rows if row.number not in not_ours]
    clear_shelf(session, case_id, order_id, rows, at)
    rows = [row for row in rows if row.place != "unshipped"]
    if not rows:
        return
    left_alone = followed_by_cases(session, order_id) - set(taken_in)
    where = pieces_of_lines(session, order_id, rows, excluding=left_alone)
    owed = pieces_owed(session, order_id, rows, at, beyond_shelf=True)
    ended = was_ended(session, order_id)
    done = accounts(session, order_id)
    whole, part, useless = list[LineQuantity](), list[LineQuantity](), list[LineQuantity]()
    stays = set[int]()
    for row in rows:
        left, pieces = pieces_left(row, done), where[row.number]
        wanted = min(pieces.here, owed[row.number])
        if pieces.here > wanted:
            useless.append(LineQuantity(line=row.number, quantity=pieces.here - wanted))
        if ended:
            stays |= {row.number} if wanted else set()
        elif wanted and (wanted == left or not pieces.elsewhere):
            row.place = "unshipped"
            whole.append(LineQuantity(line=row.number, quantity=wanted))
        elif wanted:
            row.place = "shipped"  # other pieces of it are out: as before, it has left
            part.append(LineQuantity(line=row.number, quantity=wanted))
    move_stock(session, rows, useless, case_id=case_id, at=at)
    # all of it is on the shelf, or in stock
    gone = {one.line for one in (*whole, *part)} | {one.line for one in useless if not ended}
    shelve(session, order_id, gone, at, excluding=left_alone)
    session.flush()
    renew_tasks(session, order_id, at)
    if stays:
        _name(session, OF_MALICIOUS_ORDER, case_id, order_id, stays, at)
    hold_for_review(session, order_id, [one.line for one in whole], at=at)
    again = [*whole, *part]
    if again:
        reviewer = reviewer_of(session, order_id)
        template = SHIP_AGAIN if reviewer is None else AFTER_REVIEW
        outbox.give_task(
            session,
            key=f"{key}/{template}",
            case_id=case_id,
            role=Role.WAREHOUSE,
            template=template,
            parameters={"order_id": order_id, "lines": listed(again), "case_id": reviewer or case_id},
            at=at,
        )


def let_stay(
    session: Session,
    *,
    case_id: str,
    order_id: str,
    numbers: Collection[int],
    at: datetime,
    said_to_be_received: bool = False,
) -> None:
    """A case ends, and nothing of these lines ships: what the buyer does not get any more goes into stock, and tasks
    name what a return has kept from the buyer, what is of an order that was ended as malicious, and the rest where the
    buyer says that he has it (`said_to_be_received`).

    `at` is aware; the caller locks the order.
    """
    kept = _ask_about_kept_goods(session, case_id, order_id, numbers, at)
    free = set(numbers) - _claimed_by_others(session, order_id, case_id).union(kept)
    _clear_useless(session, case_id, order_id, free, at)
    if was_ended(session, order_id):
        _name(session, OF_MALICIOUS_ORDER, case_id, order_id, free, at)
    elif said_to_be_received:
        _name(session, SAID_TO_BE_RECEIVED, case_id, order_id, free, at)


def _name(session: Session, template: str, case_id: str, order_id: str, numbers: Collection[int], at: datetime) -> None:
    """A task of the order names what lies here of these lines, but what the open case of its parcel sees to."""
    name_what_lies_here(
        session,
        template,
        case_id=case_id,
        about={"order_id": order_id},
        numbers=numbers,
        at=at,
        excluding=followed_by_cases(session, order_id),
    )


def _ask_about_kept_goods(
    session: Session, case_id: str, order_id: str, numbers: Collection[int], at: datetime
) -> Collection[int]:
    """What a return has kept of these lines from the buyer does not ship by itself: which lines these are.

    The buyer wanted the money, or the platform decides. The agent gets a task that names all of it, in the place of the
    one before; of an order that was ended as malicious the supervisor does. What the buyer does not get any more goes
    into stock. Neither is done with what another case has claimed, or the open case of its parcel follows.
    """
    kept = _kept_from_buyer(session, order_id, numbers)
    free = kept.keys() - _claimed_by_others(session, order_id, case_id) if kept else set[int]()
    if not free:
        return kept.keys()
    _clear_useless(session, case_id, order_id, free, at)
    by_return = defaultdict[tuple[str, str], list[int]](list)
    for line in free:
        by_return[kept[line].case_id, kept[line].outcome or ""].append(line)
    ended, left_alone = was_ended(session, order_id), followed_by_cases(session, order_id)
    for (return_id, outcome), lines in by_return.items():
        if ended:
            _name(session, OF_MALICIOUS_ORDER, return_id, order_id, lines, at)
            continue
        template = IN_DISPUTE if outcome == DISPUTED else OF_LAPSED_RETURN
        about = {"order_id": order_id, "case_id": return_id}
        name_what_lies_here(
            session, template, case_id=return_id, about=about, numbers=lines, at=at, excluding=left_alone
        )
    return kept.keys()


def clear_refunded(session: Session, order_id: str, at: datetime) -> None:
    """The platform has refunded something: what of it is to ship again, or lies here and a task names it, goes into
    stock, and the task is taken back.

    What an open case has stays with that one. `at` is aware; the caller locks the order.
    """
    session.flush()
    tasks = tasks_about(session, order_id, [*TO_SHIP_AGAIN, *ROLES])
    if not tasks:
        return
    case_id = tasks[0].case_id  # what moves into stock is noted with a case: the one that has asked last
    clear_shelf(session, case_id, order_id, line_rows(session, order_id), at)
    named = {line for task in tasks if task.template in ROLES for line in lines_named(task)}
    free = named - _claimed_by_others(session, order_id, None)
    _clear_useless(session, case_id, order_id, free, at)
    renew_tasks(session, order_id, at)  # the shelf's pieces, too, may have been named


def nobody_waits_for(
    session: Session, case_id: str, order_id: str, lines: Sequence[LineQuantity]
) -> list[LineQuantity]:
    """Of these lines of a parcel's case that is over, those that no other case has claimed, and that are refunded whole
    unless the trade is closed.
    """
    order = lock_order(session, order_id)
    waited_for = _claimed_by_others(session, order_id, case_id)
    if order.state != "closed":
        done = accounts(session, order_id)
        waited_for |= {row.number for row in line_rows(session, order_id) if pieces_left(row, done)}
    return [one for one in lines if one.line not in waited_for]


def take_into_stock(
    session: Session, *, key: str, case_id: str, order_id: str, lines: Sequence[LineQuantity], at: datetime
) -> None:
    """Goods that came back, as their parcels say, and that nobody gets any more, go into stock; once per key.

    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if first_time(session, key, at):
        take_back_into_stock(session, case_id, order, lines, at)


def take_back_into_stock(
    session: Session,
    case_id: str,
    order: OrderRow,
    lines: Sequence[LineQuantity],
    at: datetime,
    *,
    excluding: Collection[str] = (),
) -> None:
    """Of these lines, the pieces that came back go into stock, and what another case has put there does not again.

    A return that the case of a parcel has opened is about what was in that parcel, and not in another. Nothing that
    came by the waybills `excluding` (in capitals) does. `at` is aware.
    """
    numbers = {one.line for one in lines}
    rows = [row for row in line_rows(session, order.id) if row.number in numbers]
    if not _something_is_here(session, order.id, rows):
        return
    clear_shelf(session, case_id, order.id, rows, at)
    only = waybills_followed_by(session, order.id, came_from(session, case_id)) or None
    where = pieces_of_lines(session, order.id, rows, only=only, excluding=excluding)
    pieces = {one.line: one.quantity for one in lines if one.line in where}
    _move_into_stock(session, case_id, order.id, rows, pieces, where, at, only=only, excluding=excluding)


def _clear_useless(session: Session, case_id: str, order_id: str, numbers: Collection[int], at: datetime) -> None:
    """What is here of these lines, no open case of its parcel follows, and the buyer does not get any more, goes into
    stock.
    """
    rows = [row for row in line_rows(session, order_id) if row.number in numbers]
    if not _something_is_here(session, order_id, rows):
        return
    left_alone = followed_by_cases(session, order_id)
    where = pieces_of_lines(session, order_id, rows, excluding=left_alone)
    owed = pieces_owed(session, order_id, rows, at, beyond_shelf=True)
    useless = {line: pieces.here - owed[line] for line, pieces in where.items()}
    _move_into_stock(session, case_id, order_id, rows, useless, where, at, excluding=left_alone)


def _move_into_stock(
    session: Session,
    case_id: str,
    order_id: str,
    rows: Sequence[LineRow],
    wanted: Mapping[int, int],
    where: Mapping[int, LinePieces],
    at: datetime,
    *,
    only: Collection[str] | None = None,
    excluding: Collection[str] = (),
) -> None:
    """Of so many pieces by line, those that are here, as `where` says of the same waybills."""
    pieces = [
        LineQuantity(line=line, quantity=quantity)
        for line, most in wanted.items()
        if (quantity := min(most, where[line].here)) > 0
    ]
    move_stock(session, rows, pieces, case_id=case_id, at=at)
    emptied = {one.line for one in pieces if one.quantity == where[one.line].here}
    shelve(session, order_id, emptied, at, only=only, excluding=excluding)
    session.flush()
    renew_tasks(session, order_id, at)


def _kept_from_buyer(session: Session, order_id: str, numbers: Collection[int]) -> dict[int, CaseRow]:
    """By line, the return that has ended with its goods staying with us, where that is not decided since."""
    kept = dict[int, CaseRow]()
    returns = select(CaseRow).where(CaseRow.order_id == order_id, CaseRow.flow == RETURN)
    for case in session.scalars(returns.order_by(CaseRow.opened_at)):
        for line in {one["line"] for one in case.lines}.intersection(numbers):
            before = kept.get(line)
            if case.outcome == DISPUTED or (case.outcome == LAPSED and (before is None or before.outcome == LAPSED)):
                kept[line] = case
            elif before is not None and _decides(session, case, before):
                del kept[line]
    return {line: case for line, case in kept.items() if not _platform_has_decided(session, case, line)}


def _decides(session: Session, later: CaseRow, kept: CaseRow) -> bool:
    """Whether a later return decides about what an earlier one has kept: the buyer keeps the goods, or that one had
    lapsed, was reopened by the later, and that has paid or sent them to the buyer. Any other is another piece's.
    """
    if later.outcome == WITHDRAWN:
        return True
    if kept.outcome != LAPSED or later.outcome not in (REFUNDED, RETURNED_TO_BUYER):
        return False
    returns = [session.get(ReturnRow, (one.case_id, one.run_id)) for one in (later, kept)]
    return len({row.requested_at for row in returns if row is not None}) == 1


def _platform_has_decided(session: Session, ended: CaseRow, line: int) -> bool:
    """Whether the platform has paid for so many pieces of a line as the dispute of a return is about, since."""
    if ended.outcome != DISPUTED or ended.closed_at is None:
        return False
    about = sum(one["quantity"] for one in ended.lines if one["line"] == line)
    paid = select(func.coalesce(func.sum(LedgerRow.quantity), 0)).where(
        LedgerRow.order_id == ended.order_id,
        LedgerRow.line == line,
        LedgerRow.source == "platform",
        LedgerRow.at >= ended.closed_at,
    )
    return session.scalars(paid).one() >= about


def _mark_lines_back(session: Session, order_id: str, inside: set[int], at: datetime) -> set[int]:
    """What was inside is back, as far as no other parcel holds a part of it that may still come: these lines."""
    lost = not_awaited(session, order_id, at)
    for parcel in parcels_of(session, order_id, inside):
        if parcel.waybill.upper() not in lost:
            inside = inside - lines_in(session, parcel)
    rows = [row for row in line_rows(session, order_id) if row.number in inside and row.place == "shipped"]
    for row in rows:
        row.place = "back"
    session.flush()
    return {row.number for row in rows}


def _tell_who_had_it_stopped(
    session: Session, key: str, case_id: str, parcel: ShipmentRow, came: set[int], at: datetime
) -> None:
    """Each other case that awaits something of this parcel is to be told of this one: another may be on its way."""
    inside = came & lines_in(session, parcel)
    for waiting in cases_stopping(session, parcel.order_id, inside):
        if waiting != case_id:
            own = inside & {line for _, line in claimed_lines(session, waiting)}
            _tell(session, key, waiting, parcel, "stopped_parcel_is_here", own, at)


def _tell_returns(session: Session, key: str, case_id: str, parcel: ShipmentRow, at: datetime) -> None:
    """Each other open return of something in this parcel is to take it in."""
    waiting = (
        select(ClaimRow.case_id)
        .join(CaseRow, CaseRow.case_id == ClaimRow.case_id)
        .where(
            ClaimRow.order_id == parcel.order_id,
            ClaimRow.case_id != case_id,
            ClaimRow.line.in_(lines_in(session, parcel)),
            CaseRow.flow == RETURN,
            CaseRow.closed_at.is_(None),
        )
        .distinct()
    )
    for one in sorted(session.scalars(waiting)):
        _tell_return(session, key, one, parcel, at)


def _tell_return(session: Session, key: str, waiting: str, parcel: ShipmentRow, at: datetime) -> None:
    """An open return takes in what it waits for of what is in this parcel: the buyer, who never had it, cannot send it.

    Not where the buyer may have so many pieces as it waits for: then those may be meant.
    """
    claimed = {line for _, line in claimed_lines(session, waiting)}
    if not any(pieces for line, pieces in still_in(session, parcel).items() if line in claimed):
        return
    had, here = _had_by_buyer(session, parcel.order_id, at), Counter[int]()
    # all that is here at once: with the first that comes in, a return waits for no more
    for one in parcels_of(session, parcel.order_id, claimed, back_too=True):
        here.update(still_in(session, one) if one.back_at is not None else {})
    awaited = _awaited_by(session, waiting)
    own = [
        LineQuantity(line=line, quantity=min(pieces, here[line]))
        for line, pieces in sorted(awaited.items())
        if line in claimed and here.get(line) and pieces > had[line]
    ]
    if own:
        cancel_take_in(session, waiting, at)
        _tell(session, key, waiting, parcel, TAKE_IN, {one.line for one in own}, at, pieces=as_typed(own))


def _had_by_buyer(session: Session, order_id: str, at: datetime) -> Counter[int]:
    """By line, how many pieces the buyer may have: those in parcels that are not back, nor known to be on their way,
    and those that came by a parcel that is back, and that a return has sent to him.
    """
    had = Counter[int]()
    numbers = {row.number for row in line_rows(session, order_id)}
    for parcel in parcels_of(session, order_id, numbers):
        states = {parcel_state(session, waybill, at) for waybill in same_goods(session, order_id, parcel.waybill)}
        if states == {None} or not states.isdisjoint(HANDED_OVER):
            had.update({one.line: one.quantity for one in pieces_in(session, parcel)})
    sent_back = (
        select(ReturnedLineRow)
        .join(CaseRow, (CaseRow.case_id == ReturnedLineRow.case_id) & (CaseRow.run_id == ReturnedLineRow.run_id))
        .where(ReturnedLineRow.order_id == order_id, HAS_SENT_BACK)
    )
    for row in session.scalars(sent_back):
        had[row.line] += max(0, row.from_parcels - (row.accepted or 0))
    return had


def _awaited_by(session: Session, waiting: str) -> Counter[int]:
    """By line, how many pieces an open return has been asked for and has not taken in."""
    awaited = Counter({one.line: one.quantity for one in lines_of(session, waiting)})
    taken_in = (
        select(ReturnedLineRow.line, ReturnedLineRow.received)
        .join(CaseRow, (CaseRow.case_id == ReturnedLineRow.case_id) & (CaseRow.run_id == ReturnedLineRow.run_id))
        .where(ReturnedLineRow.case_id == waiting, CaseRow.closed_at.is_(None))
    )
    for line, received in session.execute(taken_in):
        awaited[line] -= received
    return awaited


def _tell(
    session: Session,
    key: str,
    waiting: str,
    parcel: ShipmentRow,
    template: str,
    own: set[int],
    at: datetime,
    **more: str,
) -> None:
    """The returns clerk is to tell a case that waits for these lines that they are here."""
    parameters = {
        "order_id": parcel.order_id,
        "lines": ", ".join(map(str, sorted(own))),
        "case_id": waiting,
        "waybill": parcel.waybill,
        **more,
    }
    outbox.give_task(
        session,
        key=f"{waiting}/{key}/{parcel.id}/{template}",
        case_id=waiting,
        role=Role.RETURNS_CLERK,
        template=template,
        parameters=parameters,
        at=at,
    )


def _how_far_back(session: Session, order_id: str, own: set[int], *, refused: str | None) -> GoodsBack:
    out = {row.number for row in line_rows(session, order_id) if row.number in own and row.place == "shipped"}
    unknown = [row.number for row in out_without_parcel(session, order_id) if row.number in out]
    still_out = [parcel.waybill for parcel in parcels_of(session, order_id, out)]
    return GoodsBack(not out, still_out + [f"line {number}" for number in unknown], refused)


def _same_waybill(known: str, given: str) -> bool:
    """Whether a person means this parcel: spaces and capitals say nothing."""
    return known.upper() == "".join(given.split()).upper()


def _claimed_by_others(session: Session, order_id: str, case_id: str | None) -> set[int]:
    query = select(ClaimRow.line).where(ClaimRow.order_id == order_id, ClaimRow.case_id.is_distinct_from(case_id))
    return set(session.scalars(query))


def _something_is_here(session: Session, order_id: str, rows: Sequence[LineRow]) -> bool:
    """Whether something of these lines may have come back: of most orders nothing more is asked."""
    return bool(rows) and (any(row.place == "back" for row in rows) or has_come_back(session, order_id))
