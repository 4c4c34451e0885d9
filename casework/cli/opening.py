"""`casework start`: opens a case of any flow, each of its fields read as the flow wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from casework.cli.cases import flow_meant, whole_lines
from casework.cli.errors import FAILED, Stop, bad_input
from casework.cli.plain import plain_start
from casework.cli.running import Desk, print_json, run_async, sentence, sentences
from casework.client import NoAnswer, PreparedStart, prepare_start
from casework.opening.completing import complete_parcel, order_of_parcel
from casework.reading import read_field, read_fields, read_id, read_time
from casework.shop.errors import BadFile, BadRequest
from casework.shop.importing import keep_chat
from state_machines.table import Flow

Given = Mapping[str, str | bool | list[str] | None]
"""A field's option: its text, whether it was named, or each of its texts; None where it was not given."""


def start_case(
    flow_text: str,
    order: str | None,
    given: Given,
    settings: Sequence[str],
    *,
    chat: Path | None,
    by: str | None,
    print_only: bool,
    as_json: bool,
) -> None:
    """`casework start`."""
    with sentences():
        desk = Desk()
        flow = flow_meant(flow_text)
        known = flow.start_type.model_fields
        for name, value in {**given, "chat_id": chat}.items():
            if value is not None and name not in known:
                option = "chat" if name == "chat_id" else name.replace("_", "-")
                raise bad_input(f"--{option} does not belong here: a {flow.label.en} takes none.")
        order_id = read_id(order) if order is not None else _order_of_parcel(desk, flow, given)
        whole = whole_lines(desk, order_id)
        fields: dict[str, Any] = {"order_id": order_id, "by": desk.who(by)}
        for name, value in given.items():
            if name == "platform_deadline" and isinstance(value, str):
                fields[name] = read_time(name, value, desk.zone).isoformat()
            elif isinstance(value, str):
                fields[name] = read_field(name, value, flow.start_type, desk.zone, whole)
            elif value is not None:
                fields[name] = value
        fields |= read_fields(settings, flow.start_type, desk.zone, whole)
        if isinstance(fields.get("waybill"), str):
            fields["waybill"] = read_id(fields["waybill"])
        with desk.shop.reading() as session:
            complete_parcel(session, flow.start_type, fields)
        if chat is not None:
            fields["chat_id"] = _kept(desk, chat, order_id)
        prepared = prepare_start(desk.shop, flow.name, fields)
    if print_only:
        print(plain_start(desk.settings.home, prepared))
        return
    run_async(_start(desk, prepared, as_json=as_json))


def _order_of_parcel(desk: Desk, flow: Flow[Any], given: Given) -> str:
    """The order of the parcel that is named, where no order is."""
    waybill = given.get("waybill")
    if not isinstance(waybill, str):
        or_waybill = ", or the parcel with --waybill" if "waybill" in flow.start_type.model_fields else ""
        raise bad_input(f"Which order? Name it with --order{or_waybill}.")
    try:
        with desk.shop.reading() as session:
            return order_of_parcel(session, read_id(waybill))
    except BadRequest as refused:
        raise bad_input(f"{refused} with --order.") from None


def _kept(desk: Desk, chat: Path, order_id: str) -> str:
    """The conversation stays in the shop; the case is told its id."""
    try:
        return keep_chat(desk.shop, chat, order_id)
    except BadFile as error:
        raise bad_input(sentence(error)) from None


async def _start(desk: Desk, prepared: PreparedStart, *, as_json: bool) -> None:
    client = await desk.client()
    case_id = await client.start_prepared(prepared)
    if not as_json:
        print(case_id, flush=True)  # it is open now, whatever comes
    try:
        view = await client.view_at_rest(case_id)  # so that the next command finds it where it waits
    except NoAnswer:
        if as_json:
            print_json({"case_id": case_id})
        raise Stop(
            FAILED, f"{case_id} was taken in, but no worker answered: it begins as soon as casework up runs."
        ) from None
    if as_json:
        print_json(view)
