"""What fields and their values are called: each in both languages, and as the headings of a batch know them."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from casework.batch.headings import field_named, start_fields
from casework.fields import FIELDS, OURS_ALONE, VALUES, VALUES_OF, in_words
from casework.messages import COMMON_FIELDS, REFERENCES, given_in
from state_machines.flows import FLOWS
from state_machines.return_after_shipping import PassInspection, ReturnStart

SHANGHAI = ZoneInfo("Asia/Shanghai")
MODELS: list[type[BaseModel]] = [
    *(flow.start_type for flow in FLOWS.values()),
    *(trigger.message for flow in FLOWS.values() for trigger in flow.triggers.values()),
]


def values_in(annotation: Any) -> set[str]:
    """The texts that a field of few values takes."""
    if get_origin(annotation) is Literal:
        return {one for one in get_args(annotation) if isinstance(one, str)}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {str(one.value) for one in annotation}
    return set[str]().union(*(values_in(one) for one in get_args(annotation)))


def test_every_field_of_every_start_and_message_has_a_name_and_so_has_every_value() -> None:
    fields = {name: field for model in MODELS for name, field in model.model_fields.items()}
    assert set(FIELDS) == set(fields) - COMMON_FIELDS - {*REFERENCES, "order_id", "from_case"}
    for model in MODELS:
        for name, field in model.model_fields.items():
            values = values_in(field.annotation)
            assert values <= set(VALUES), name
            assert (name in VALUES_OF) or not values, name


def test_a_field_is_called_as_a_batchs_heading_is() -> None:
    for name in set(start_fields()) & set(FIELDS):
        if not name.endswith("_fen") and name not in ("goods", "seller_pays_postage"):
            assert field_named(FIELDS[name].zh) == name


def test_what_was_given_is_told_in_words() -> None:
    start = ReturnStart.model_validate(
        {
            "order_id": "330001",
            "by": "aftersale.1",
            "note": "n",
            "cause": "quality",
            "defect": "hole",
            "description": "hole",
            "photos": ["p.jpg"],
            "opened": True,
            "platform_deadline": "2026-11-20T10:00:00Z",
        }
    )
    assert in_words(given_in(start), "en", SHANGHAI) == [
        ("cause", "quality"),
        ("defect", "a hole"),
        ("description", "hole"),
        ("opened and cannot be restored", "yes"),
        ("the platform's deadline", "2026-11-20 18:00"),
    ]
    taken = PassInspection.model_validate(
        {
            "by": "returns.1",
            "lines": [{"line": 1, "accepted_quantity": 2}, {"line": 3, "accepted_quantity": 0}],
            "gift_back": False,
            "invoice_back": None,
        }
    )
    assert in_words(given_in(taken), "zh", SHANGHAI) == [
        ("订单行", "第 1 行 2 件; 第 3 行 0 件"),
        ("赠品已退回", "否"),
        ("发票已退回", "无"),
    ]
    assert in_words({"postage_fen": 1250, "of a later version": {"a": 1}}, "en", SHANGHAI) == [
        ("postage that the buyer advanced (yuan)", "12.50"),
        ("of a later version", "{'a': 1}"),
    ]


def test_what_we_know_of_a_buyer_and_reckon_among_ourselves_is_for_nobody_else() -> None:
    given = {"signs": ["young_account"], "buyer_purchases": 0, "cost_fen": 100, "days": 3}
    assert in_words(given, "en", SHANGHAI) == [("days", "3")]
    assert FIELDS.keys() >= OURS_ALONE
