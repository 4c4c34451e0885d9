"""The fixed names in Temporal, in one place: what scripts, the Temporal UI and other programs rely on.

Imports nothing but the standard library, so that commands that need only a name start fast.
"""

from typing import Final, Literal

SearchAttributeType = Literal["Keyword", "KeywordList", "Datetime", "Int"]

TASK_QUEUE: Final = "casework"
NAMESPACE: Final = "default"
"""The embedded server's namespace; on a cluster Temporal's own settings name another."""

WORKFLOW_TYPES: Final[dict[str, str]] = {
    "refund-before-shipping": "RefundBeforeShipping",
    "return-after-shipping": "ReturnAfterShipping",
    "gift-approval": "GiftApproval",
    "bulk-order": "BulkOrder",
    "problem-parcel": "ProblemParcel",
}
"""Workflow type by flow, where a flow's name is the beginning of its case ids."""
PARCEL_PATROL: Final = "ParcelPatrol"
"""The workflow type of the patrol, which is no case."""

SUBMIT: Final = "submit"
"""The update that acts on a case and answers with its view."""
CASE_QUERY: Final = "case"
STATE_QUERY: Final = "case_state"
"""Answers with all that a case knows: for programs that ask the flow's table themselves."""

ASK_OPENER: Final = "ask_opener"
ANSWER: Final = "answer"
REASSIGN: Final = "reassign"
REMIND: Final = "remind"
COMMENT: Final = "comment"
"""The signals that every flow takes beside its own triggers (`state_machines/asides.py`)."""

CASE_STATE: Final = "CaseState"
CASE_WAITING_FOR: Final = "CaseWaitingFor"
CASE_ASSIGNEE: Final = "CaseAssignee"
CASE_OPENED_BY: Final = "CaseOpenedBy"
CASE_OUTCOME: Final = "CaseOutcome"
CASE_DUE: Final = "CaseDue"
CASE_AMOUNT: Final = "CaseAmount"
ORDER_ID: Final = "OrderId"

SEARCH_ATTRIBUTES: Final[dict[str, SearchAttributeType]] = {
    CASE_STATE: "Keyword",
    CASE_WAITING_FOR: "KeywordList",
    CASE_ASSIGNEE: "Keyword",
    CASE_OPENED_BY: "Keyword",
    CASE_OUTCOME: "Keyword",
    CASE_DUE: "Datetime",
    CASE_AMOUNT: "Int",
    ORDER_ID: "Keyword",
}
"""Search attributes of every case by name; the development server has room for 10 Keyword and 3 of each other
type. They hold no personal data: the server does not encrypt them."""

PATROL_ID: Final = "parcel-patrol"
"""The patrol's workflow id and its Schedule's; to the runs that the Schedule starts Temporal adds the time."""
PATROL_QUERY: Final = "patrol"


def is_case_id(workflow_id: str) -> bool:
    """Whether a workflow of this id is a case: the patrol, which opens cases too, is none."""
    return any(workflow_id.startswith(f"{flow}-") for flow in WORKFLOW_TYPES)
