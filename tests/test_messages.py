"""What is wrong with a message is said in plain words that begin with the field."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from casework.case import Start
from casework.messages import Message, MessageWithReason, explain
from state_machines.common import PaidByHand
from state_machines.refund_before_shipping import ParcelBack, RefundStart
from state_machines.return_after_shipping import PassInspection, ReturnStart

RETURN = {"by": "a", "order_id": "330000", "cause": "no_reason"}
PASSED = {"by": "a", "gift_back": None, "invoice_back": None}
TAKEN = {"line": 1, "accepted_quantity": 1}


@pytest.mark.parametrize(
    ("model", "given", "sentence"),
    [
        (Message, {}, "by is missing"),
        (Message, {"by": 7}, "by: text is wanted"),
        (Message, {"by": "售后"}, "by: a staff id such as aftersale.1 is wanted"),
        (Message, {"by": "a", "x": 1}, "x is a field that does not belong here"),
        (Message, {"by": "a", "version": "1"}, "version: a whole number is wanted"),
        (Message, {"by": "a", "version": -1}, "version: 0 or more is wanted"),
        (Message, {"by": "a", "version": 10**9}, "version: at most 1000000 is wanted"),
        (Message, {"by": "a", "note": 5, "version": "x"}, "note: text is wanted (and 1 more)"),
        (MessageWithReason, {"by": "a", "note": " "}, "note: text of at least 1 character is wanted"),
        (MessageWithReason, {"by": "a", "note": "n" * 501}, "note: text of at most 500 characters is wanted"),
        (PaidByHand, {"by": "a", "payment_reference": "1", "amount_fen": 1.5}, "amount_fen: a whole number is wanted"),
        (ParcelBack, {"by": "a", "waybill": "?"}, "waybill: a waybill of 6 to 32 letters, digits or hyphens is wanted"),
        (Start, {"by": "a", "order_id": "33x"}, "order_id: an order's id of 6 to 32 digits is wanted"),
        (RefundStart, {"by": "a", "order_id": "330000", "lines": 5}, "lines: a list is wanted"),
        (RefundStart, {"by": "a", "order_id": "330000", "lines": [5]}, "lines.0: a JSON object is wanted"),
        (Message, {"by": "a", "+86 138": 1}, "there is a field that does not belong here"),
        (PassInspection, {**PASSED, "lines": [TAKEN, TAKEN]}, "lines names a line twice"),
        (
            PassInspection,
            {**PASSED, "lines": [{**TAKEN, "accepted_quantity": 0}]},
            "lines takes nothing: that is fail_inspection",
        ),
        (ReturnStart, {**RETURN, "defect": "hole"}, "defect is for the cause quality"),
        (ReturnStart, {**RETURN, "appraisal": "a.pdf"}, "appraisal is for the cause counterfeit"),
        (ReturnStart, {**RETURN, "from_case": "c", "said_lost": True}, "said_lost is for goods that are lost"),
        (ReturnStart, {**RETURN, "goods": "lost"}, "goods is only for a case that another case opens"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(model: type[Message], given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(given)
    assert explain(refused.value) == sentence
