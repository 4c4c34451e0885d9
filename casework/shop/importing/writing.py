"""Writes understood rows to the shop: new, changed or unchanged; forward only; open cases told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Literal, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.parts import parts
from casework.reading import looks_rounded
from casework.shop import flags
from casework.shop.amounts import accounts, left_to_ship, line_rows
from casework.shop.bulk import hold_for_review
from casework.shop.coming_back import clear_refunded
from casework.shop.courier import out_without_parcel
from casework.shop.importing.reading import BadRow
from casework.shop.importing.rows import SHOP_ZONE, ChatIn, CourierIn, GiftIn, LineIn, OrderIn, ScanIn
from casework.shop.notices import tell_cases
from casework.shop.orders import lock_orders
from casework.shop.outside import on_shelf_alone, send_off
from casework.shop.pieces import is_being_sent_again, pieces_of_lines
from casework.shop.platform import reconcile
from casework.shop.states import is_later
from casework.shop.tables import ChatRow, GiftRow, LineRow, OrderRow, ParcelRow, ScanRow, ShipmentRow

Result = Literal["new", "changed", "unchanged"]
RowIn = OrderIn | LineIn | CourierIn | GiftIn | ChatIn
InT = TypeVar("InT")

BATCH = 500
"""Rows looked up at a time."""
LEFT = ("shipped", "finished")


class Importer:
    """One import in one transaction: write every file, then `finish`."""

    def __init__(self, session: Session, *, shift: timedelta, at: datetime) -> None:
        """Times of the files are moved by `shift`; `at` is when the import happens."""
        self._session = session
        self._shift = shift
        self._at = at
        self._touched: set[str] = set()
        self._gone: set[str] = set()
        self._changed: set[str] = set()
        self._leaving: defaultdict[str, set[int]] = defaultdict(set)

    def write(
        self, rows: Sequence[tuple[int, RowIn]], incomplete: Mapping[str, Sequence[int]]
    ) -> Iterator[tuple[int, Result | BadRow]]:
        """Write one file's rows; what came of each, by its line in the file.

        `incomplete` are the lines of the file that were refused, by order.
        """
        yield from self._orders(_only(rows, OrderIn))
        yield from self._lines(_only(rows, LineIn), incomplete)
        yield from self._gifts(_only(rows, GiftIn))
        yield from self._parcels(_only(rows, CourierIn))
        yield from self._chats(_only(rows, ChatIn))

    def finish(self) -> None:
        """What follows from the rows: parcels, refunds by the platform, and news for the open cases."""
        orders = self._lock(self._touched)
        for order_id in sorted(self._touched):
            order = orders[order_id]
            self._follow(order)
            if order.platform_refund_fen or order.state == "closed":
                if reconcile(self._session, order, at=self._at):
                    self._gone.add(order_id)
                # the sum may be an old one: of which line it was may be new
                clear_refunded(self._session, order_id, self._at)
        for order_id in sorted(self._changed):
            to_ship = {line.number for line in left_to_ship(self._session, order_id)}
            hold_for_review(self._session, order_id, to_ship, at=self._at)
        for order_id in sorted(self._gone | self._changed):
            news = "order_gone" if order_id in self._gone else "order_changed"
            tell_cases(self._session, order_id, news, at=self._at)

    # --- orders ---

    def _orders(self, rows: list[tuple[int, OrderIn]]) -> Iterator[tuple[int, Result | BadRow]]:
        known = self._lock(row.id for _, row in rows)
        once, again = _first_of_each(rows, lambda row: f"order {row.id}")
        yield from again
        for number, row in once:
            order = known.get(row.id)
            try:
                result = self._insert_order(row) if order is None else self._update_order(order, row)
            except BadRow as refused:
                yield number, refused
                continue
            if result != "unchanged":
                self._touched.add(row.id)
            yield number, result
        self._session.flush()

    def _insert_order(self, row: OrderIn) -> Result:
        self._session.add(
            OrderRow(
                id=row.id,
                state=row.state,
                created_at=row.created_at + self._shift,
                paid_at=self._moved(row.paid_at),
                shipped_at=self._moved(row.shipped_at),
                confirmed_at=self._moved(row.confirmed_at),
                goods_fen=row.goods_fen or 0,
                postage_fen=row.postage_fen,
                total_fen=row.total_fen if row.total_fen is not None else row.paid_fen,
                paid_fen=row.paid_fen,
                platform_refund_fen=row.refund_fen,
                settled_fen=row.settled_fen,
                platform_memo=row.memo or "",
                memo=row.memo or "",
                own_flag=flags.own_flag(row.memo or ""),
                **row.texts,
            )
        )
        self._session.flush()
        self._add_parcels(row)
        return "new"

    def _update_order(self, order: OrderRow, row: OrderIn) -> Result:
        if is_later(order.state, row.state):
            # an older export than the one the shop knows
            return "unchanged"
        changes: dict[str, object] = {
            "state": row.state,
            "created_at": row.created_at + self._shift,
            "postage_fen": row.postage_fen,
            **{name: text for name, text in row.texts.items() if name != "changed_address"},
        }
        maybe: dict[str, object | None] = {
            "paid_at": self._moved(row.paid_at),
            "shipped_at": self._moved(row.shipped_at),
            "confirmed_at": self._moved(row.confirmed_at),
            "goods_fen": row.goods_fen,
            "total_fen": row.total_fen,
            "settled_fen": row.settled_fen,
            "platform_memo": row.memo,
            "changed_address": row.texts.get("changed_address") or None,
        }
        # what the export does not say, or no longer says, stays as it was
        changes |= {name: value for name, value in maybe.items() if value is not None}
        # a closed trade shows 0.00 paid; the sum refunded only grows
        changes["paid_fen"] = max(order.paid_fen, row.paid_fen) if row.state == "closed" else row.paid_fen
        if row.refund_fen is not None:
            changes["platform_refund_fen"] = max(order.platform_refund_fen or 0, row.refund_fen)
        elif row.state == "closed" and order.state != "closed":
            # an older export does not say how much: a trade that closes after payment goes back whole
            changes["platform_refund_fen"] = changes["paid_fen"]
        if (changes["paid_fen"], row.postage_fen) != (order.paid_fen, order.postage_fen):
            refunded = accounts(self._session, order.id).total_fen
            if refunded and refunded > int(str(changes["paid_fen"])):
                raise BadRow("买家实际支付金额: less than has been refunded already")
        different = {name for name, value in changes.items() if getattr(order, name) != value}
        if "state" in different and row.state in {"closed", "shipped", "finished", "partly_shipped"}:
            self._gone.add(order.id)
        if "total_fen" in different:
            # the platform has another price by now: what a bulk discount had lowered it from says nothing any more
            order.list_fen = None
        if different & {
            "address",
            "changed_address",
            "receiver_name",
            "paid_fen",
            "postage_fen",
            "total_fen",
            "state",
        }:
            self._changed.add(order.id)
        for name in different:
            setattr(order, name, changes[name])
        if "platform_memo" in different:
            flags.compose_memo(self._session, order)
            # the platform's memo says what the order's own flag is; one set by hand since stays otherwise
            flags.set_own_flag(self._session, order.id, flags.own_flag(order.platform_memo), at=self._at)
        new_parcels = self._add_parcels(row)
        return "changed" if different or new_parcels else "unchanged"

    def _add_parcels(self, row: OrderIn) -> bool:
        """Parcels that the shop does not know yet; what is in them follows from the lines."""
        if not row.waybills:
            return False
        shipped = self._session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == row.id))
        # the warehouse may have reported it in other capitals
        known = {waybill.upper() for waybill in shipped}
        new = [waybill for waybill in row.waybills if waybill.upper() not in known]
        for waybill in new:
            self._session.add(
                ShipmentRow(
                    order_id=row.id, waybill=waybill, company=row.company, shipped_at=self._moved(row.shipped_at)
                )
            )
        if new:
            self._session.flush()
            # goods that came back and are sent again leave with a new waybill; those that left without one get theirs
            gone = [line for line in line_rows(self._session, row.id) if line.state in LEFT]
            self._leaving[row.id].update(line.number for line in self._in_no_parcel(row.id, gone))
        return bool(new)

    # --- lines ---

    def _lines(
        self, rows: list[tuple[int, LineIn]], incomplete: Mapping[str, Sequence[int]]
    ) -> Iterator[tuple[int, Result | BadRow]]:
        by_order: defaultdict[str, list[tuple[int, LineIn]]] = defaultdict(list)
        for number, row in rows:
            by_order[row.order_id].append((number, row))
        orders = self._lock(by_order)
        known: defaultdict[str, dict[int, LineRow]] = defaultdict(dict)
        for batch in parts(sorted(orders), BATCH):
            for line in self._session.scalars(select(LineRow).where(LineRow.order_id.in_(batch))):
                known[line.order_id][line.number] = line
        for order_id, its_rows in by_order.items():
            order = orders.get(order_id)
            if order is None:
                yield from ((number, BadRow(_not_in_shop(order_id))) for number, _ in its_rows)
                continue
            yield from self._lines_of(order, its_rows, known[order_id], incomplete.get(order_id, ()))
        self._session.flush()

    def _lines_of(
        self,
        order: OrderRow,
        rows: Sequence[tuple[int, LineIn]],
        known: Mapping[int, LineRow],
        refused: Sequence[int],
    ) -> Iterator[tuple[int, Result | BadRow]]:
        # lines have no id: they are counted from 1 in file order, refused ones too (data.md)
        places = {number: place for place, number in enumerate(sorted([*refused, *(n for n, _ in rows)]), start=1)}
        complete = not refused
        for number, row in rows:
            line = known.get(places[number])
            try:
                result = (
                    self._insert_line(order, places[number], row)
                    if line is None
                    else self._update_line(order, line, row)
                )
            except BadRow as error:
                complete = False
                yield number, error
                continue
            if result != "unchanged":
                self._touched.add(order.id)
            yield number, result
        if complete and not order.lines_known:
            order.lines_known = True
            self._touched.add(order.id)

    def _insert_line(self, order: OrderRow, place: int, row: LineIn) -> Result:
        if order.lines_known:
            if accounts(self._session, order.id).total_fen:
                raise BadRow(f"order {order.id} has one more line than before, and money was refunded already")
            self._changed.add(order.id)
        self._session.add(
            LineRow(
                order_id=order.id,
                number=place,
                title=row.title or "",
                sku=row.sku or row.outer_sku,
                properties=row.properties or "",
                price_fen=row.price_fen,
                quantity=row.quantity,
                state=row.state,
            )
        )
        if row.state in LEFT:
            self._leaving[order.id].add(place)
        return "new"

    def _update_line(self, order: OrderRow, line: LineRow, row: LineIn) -> Result:
        if is_later(line.state, row.state):
            return "unchanged"
        # what the export does not say stays as it was; another system's code is not one of the shop's
        known_sku = line.sku if row.sku is None else row.sku
        maybe = {"title": row.title, "sku": known_sku or row.outer_sku, "properties": row.properties}
        changes: dict[str, object] = {
            **{name: text for name, text in maybe.items() if text is not None},
            "price_fen": row.price_fen,
            "quantity": row.quantity,
            "state": row.state,
        }
        different = {name for name, value in changes.items() if getattr(line, name) != value}
        if different & {"price_fen", "quantity"} and accounts(self._session, order.id).total_fen:
            raise BadRow(
                f"line {line.number} of order {order.id} has another price or quantity, and money was refunded"
            )
        if "state" in different:
            if row.state in LEFT and line.state not in LEFT:
                self._leaving[order.id].add(line.number)
            if row.state == "closed" or row.state in LEFT:
                self._gone.add(order.id)
        if different - {"state", "title"}:
            self._changed.add(order.id)
        for name in different:
            setattr(line, name, changes[name])
        return "changed" if different else "unchanged"

    # --- what follows for an order ---

    def _in_no_parcel(self, order_id: str, lines: Sequence[LineRow]) -> list[LineRow]:
        """Of these lines, those that leave with a new waybill: they are in no parcel that is out, or on the shelf."""
        if not lines:
            return []
        out = {line.number for line in out_without_parcel(self._session, order_id)}
        if is_being_sent_again(self._session, order_id):
            # the waybill may be the replacement's: what lies on the shelf leaves by the warehouse's word alone
            where = pieces_of_lines(self._session, order_id, lines)
            on_shelf = {number for number, pieces in where.items() if pieces.shelf}
            return [
                line
                for line in lines
                if line.number in out or (line.place == "unshipped" and line.number not in on_shelf)
            ]
        leaves = out.union(on_shelf_alone(self._session, order_id))
        return [line for line in lines if line.place == "unshipped" or line.number in leaves]

    def _follow(self, order: OrderRow) -> None:
        """The order's state carries its lines along, and what leaves goes into its newest parcel."""
        lines = line_rows(self._session, order.id)
        leaving = self._leaving[order.id]
        if order.state in {"paid", "shipped", "finished", "closed"}:
            for line in lines:
                if is_later(order.state, line.state):
                    if order.state in LEFT and line.state not in LEFT:
                        leaving.add(line.number)
                    line.state = order.state
        left = [line for line in lines if line.number in leaving and line.state in LEFT]
        sent = self._in_no_parcel(order.id, left)
        if not sent:
            return
        if any(line.place == "unshipped" for line in sent):
            self._gone.add(order.id)
        parcel = self._session.scalar(
            select(ShipmentRow)
            .where(ShipmentRow.order_id == order.id, ShipmentRow.back_at.is_(None))
            .order_by(ShipmentRow.id.desc())
            .limit(1)
        )
        if parcel is None:
            # it left without a waybill: nothing that a courier could be asked about
            for line in sent:
                line.place = "shipped"
            self._session.flush()
        else:
            send_off(
                self._session,
                order,
                sent,
                waybill=parcel.waybill,
                company=parcel.company,
                shipped_at=order.shipped_at,
                at=self._at,
            )

    # --- gifts, parcels, chats ---

    def _gifts(self, rows: list[tuple[int, GiftIn]]) -> Iterator[tuple[int, Result | BadRow]]:
        once, again = _first_of_each(rows, lambda row: f"gift {row.sku}")
        yield from again
        for number, row in once:
            gift = self._session.get(GiftRow, row.sku)
            if gift is None:
                self._session.add(
                    GiftRow(
                        sku=row.sku,
                        name=row.name,
                        cost_fen=row.cost_fen,
                        value_fen=row.value_fen,
                        stock=row.stock,
                        imported_stock=row.stock,
                    )
                )
                self._session.flush()
                yield number, "new"
                continue
            told = (gift.name, gift.cost_fen, gift.value_fen, gift.imported_stock)
            if told == (row.name, row.cost_fen, row.value_fen, row.stock):
                yield number, "unchanged"
                continue
            gift.name, gift.cost_fen, gift.value_fen = row.name, row.cost_fen, row.value_fen
            if row.stock != gift.imported_stock:
                gift.stock = gift.imported_stock = row.stock
            yield number, "changed"

    def _parcels(self, rows: list[tuple[int, CourierIn]]) -> Iterator[tuple[int, Result | BadRow]]:
        parcels: dict[str, ParcelRow] = {}
        scans: defaultdict[tuple[str, datetime], list[ScanRow]] = defaultdict(list)
        for batch in parts(sorted({row.waybill for _, row in rows}), BATCH):
            for parcel in self._session.scalars(select(ParcelRow).where(ParcelRow.waybill.in_(batch))):
                parcels[parcel.waybill] = parcel
            for scan in self._session.scalars(select(ScanRow).where(ScanRow.waybill.in_(batch)).order_by(ScanRow.id)):
                scans[scan.waybill, scan.at].append(scan)
        # of several answers about one parcel, as a log of them has, the last one says how it is
        last = {row.waybill: number for number, row in rows}
        for number, row in rows:
            result: Result = "unchanged"
            parcel = parcels.get(row.waybill)
            if parcel is None:
                parcel = parcels[row.waybill] = ParcelRow(waybill=row.waybill, courier=row.courier, state=row.state)
                self._session.add(parcel)
                self._session.flush()
                result = "new"
            elif last[row.waybill] == number:
                # what an answer does not say stays as it was
                now = (row.courier or parcel.courier, row.state or parcel.state)
                result = "changed" if now != (parcel.courier, parcel.state) else "unchanged"
                parcel.courier, parcel.state = now
            by_time: defaultdict[datetime, list[ScanIn]] = defaultdict(list)
            for scan in row.scans:
                by_time[scan.at + self._shift].append(scan)
            for at, told in by_time.items():
                if self._add_scans(row.waybill, at, told, scans[row.waybill, at]) and result != "new":
                    result = "changed"
            yield number, result

    def _add_scans(self, waybill: str, at: datetime, told: Sequence[ScanIn], known: list[ScanRow]) -> bool:
        """Keep the scans of one moment that an answer tells, newest first; whether any was new.

        `known` are those that the shop has of this moment, in the same order, and is brought up to date. A new one goes
        where the answer has it among the known ones: before the one that follows there, or behind the one before it.
        """
        now, new = list(known), list[ScanRow]()
        follows: ScanRow | None = None
        for place, scan in reversed(list(enumerate(told))):
            same = next((one for one in now if _is_same(scan, one)), None)
            if same is None:
                same = ScanRow(waybill=waybill, at=at, code=scan.code, status=scan.status, text=scan.text)
                before = [one for one in known if any(_is_same(other, one) for other in told[:place])]
                now.insert(now.index(follows) if follows else now.index(before[-1]) + 1 if before else 0, same)
                new.append(same)
            elif same in new:  # told twice: the newest of them may have the answer's code
                same.code = same.code or scan.code
            follows = same
        if not new:
            return False
        if now[: len(known)] != known:
            # their order is that of their ids
            self._session.flush()
            now = [ScanRow(waybill=waybill, at=at, code=one.code, status=one.status, text=one.text) for one in now]
            for one in known:
                self._session.delete(one)
            self._session.flush()
            known.clear()
        self._session.add_all(now[len(known) :])
        known[:] = now
        return True

    def _chats(self, rows: list[tuple[int, ChatIn]]) -> Iterator[tuple[int, Result | BadRow]]:
        known = self._lock(row.order_id for _, row in rows)
        once, again = _first_of_each(rows, lambda row: f"a conversation about order {row.order_id}")
        yield from again
        for number, row in once:
            if row.order_id not in known:
                yield (
                    number,
                    BadRow(_not_in_shop(row.order_id)),
                )
                continue
            chat_id = chat_id_of(row.order_id)
            messages: list[object] = [
                {"at": (at + self._shift).isoformat(), "from": who, "text": text} for at, who, text in row.messages
            ]
            registered = self._moved_day(row.buyer_registered_on)
            chat = self._session.get(ChatRow, chat_id)
            if chat is None:
                self._session.add(
                    ChatRow(id=chat_id, order_id=row.order_id, buyer_registered_on=registered, messages=messages)
                )
                self._session.flush()
                yield number, "new"
            elif (chat.buyer_registered_on, chat.messages) == (registered, messages):
                yield number, "unchanged"
            else:
                chat.buyer_registered_on, chat.messages = registered, messages
                yield number, "changed"

    # --- shared ---

    def _lock(self, order_ids: Iterable[str]) -> dict[str, OrderRow]:
        self._session.flush()
        found: dict[str, OrderRow] = {}
        for batch in parts(sorted(set(order_ids)), BATCH):
            found.update(lock_orders(self._session, batch))
        return found

    def _moved(self, moment: datetime | None) -> datetime | None:
        return None if moment is None else moment + self._shift

    def _moved_day(self, day: date | None) -> date | None:
        if day is None:
            return None
        return (datetime.combine(day, time(), tzinfo=SHOP_ZONE) + self._shift).date()


def _first_of_each(
    rows: Sequence[tuple[int, InT]], what: Callable[[InT], str]
) -> tuple[list[tuple[int, InT]], list[tuple[int, BadRow]]]:
    """The first row of each thing in a file, and the refusals of those that tell of it again; `what` names it."""
    first: dict[str, tuple[int, InT]] = {}
    again: list[tuple[int, BadRow]] = []
    for number, row in rows:
        named = what(row)
        if named in first:
            again.append((number, BadRow(f"{named} is in the file twice")))
        else:
            first[named] = (number, row)
    return list(first.values()), again


def _not_in_shop(order_id: str) -> str:
    rounded = "; its last digits are zeros, as a spreadsheet makes them" if looks_rounded(order_id) else ""
    return f"order {order_id} is not in the shop: import its order list with it, or before{rounded}"


def _is_same(told: ScanIn, known: ScanRow) -> bool:
    """Whether the shop has this scan. One without a code of its own had the answer's, when it was the newest."""
    same_words = (told.status, told.text) == (known.status, known.text)
    return same_words and (told.code == known.code or not told.own_code)


def chat_id_of(order_id: str) -> str:
    """By which id the conversation about an order stands."""
    return f"chat-{order_id}"


def _only(rows: Iterable[tuple[int, RowIn]], kind: type[InT]) -> list[tuple[int, InT]]:
    return [(number, row) for number, row in rows if isinstance(row, kind)]
