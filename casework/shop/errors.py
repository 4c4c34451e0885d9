"""What the shop refuses, each with one plain sentence."""

from __future__ import annotations

from collections.abc import Sequence


class UnknownOrder(Exception):
    """The shop has no order of this id."""

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__(f"the shop has no order {order_id}")


class BadRequest(Exception):
    """What was asked does not fit the shop: the field, and one sentence that says why."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


class Held(Exception):
    """The lines may not ship: open cases hold them."""

    def __init__(self, order_id: str, case_ids: Sequence[str]) -> None:
        self.case_ids = list(case_ids)
        super().__init__(f"order {order_id} is held by {', '.join(case_ids)}")


class PaymentUnavailable(Exception):
    """The payment could not be made just now; it may work later."""


class PaymentRefused(Exception):
    """The payment was refused for good."""


class SchemaNotReady(Exception):
    """The database has not the tables that this program works with."""


class BadFile(Exception):
    """A file that is not an export, or not a whole one: one sentence that names it. Nothing of the call is imported."""

    def __init__(self, name: str, sentence: str) -> None:
        self.name = name
        self.sentence = sentence
        super().__init__(f"{name}: {sentence}")


class CaseOver(Exception):
    """A step of a case that has ended in the shop: it does nothing any more."""

    def __init__(self, case_id: str) -> None:
        super().__init__(f"{case_id} is over: this step comes too late")
