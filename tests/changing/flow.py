"""The worked example of docs/changing-a-flow.md: finance's silence no longer pays a large refund, it is an alarm.

Loaded by workflow workers, so it imports nothing of the tests.
"""

from __future__ import annotations

from typing import Any

from temporalio import workflow

from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING, RefundCase
from state_machines.roles import Automatic
from state_machines.table import Attempt, Flow, Guard, Move, guard, move
from workflows.defining import case_workflow
from workflows.refund_before_shipping import RefundBeforeShipping

# --- docs: name
LARGE_WAITS = "large-refunds-wait"
"""The change since which finance's silence does not pay a large refund."""
# --- docs: end

# --- docs: row
LARGE_FEN = 500_000


@guard("金额超过 5,000.00 且按新规则", "more than 5,000.00, and the case goes by large-refunds-wait")
def large_waits(attempt: Attempt[RefundCase]) -> bool:
    """A large refund waits for somebody, where the case goes by the change."""
    return attempt.case.amount_fen > LARGE_FEN and attempt.case.has_adopted(LARGE_WAITS)


ROW = move("finance_silent", "awaiting_finance", "awaiting_finance", Automatic.CLOCK, large_waits)
# --- docs: end


@guard("金额超过 5,000.00", "more than 5,000.00")
def large(attempt: Attempt[RefundCase]) -> bool:
    """The same without a name: what open cases have done already, they would now do otherwise."""
    return attempt.case.amount_fen > LARGE_FEN


def with_row(row: list[Move[RefundCase]]) -> Flow[RefundCase]:
    """The table with one more row, before the one by which silence pays."""
    moves = list(REFUND_BEFORE_SHIPPING.moves)
    place = next(n for n, one in enumerate(moves) if one.trigger == "finance_silent")
    return REFUND_BEFORE_SHIPPING.changed(moves=[*moves[:place], *row, *moves[place:]])


def _row(condition: Guard[RefundCase]) -> list[Move[RefundCase]]:
    return move("finance_silent", "awaiting_finance", "awaiting_finance", Automatic.CLOCK, condition)


CHANGED = with_row(ROW)
UNNAMED = with_row(_row(large))


@case_workflow(CHANGED)
class OpenCasesToo(RefundBeforeShipping):
    """The new row is for every case that has not been at it yet."""

    changes = (*RefundBeforeShipping.changes, LARGE_WAITS)

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """As before."""
        return await self.run_case()

    # --- docs: open cases too
    async def consult_finance_silent(self, _: Attempt[RefundCase]) -> None:
        """Open cases take the row too, unless their run has been here before."""
        self.adopts(LARGE_WAITS)

    # --- docs: end


@case_workflow(CHANGED)
class NewCasesOnly(RefundBeforeShipping):
    """The new row is for cases that are opened from now on."""

    changes = (*RefundBeforeShipping.changes, LARGE_WAITS)

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """As before."""
        return await self.run_case()


@case_workflow(UNNAMED)
class WithoutAName(RefundBeforeShipping):
    """The mistake: the row is there for cases that have gone by the old one."""

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """As before."""
        return await self.run_case()
