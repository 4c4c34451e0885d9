"""The changes since which cases do otherwise than before: each one's name, which is also its patch id, and what it is.

A newly opened case goes by those that its class lists (`changes` in `workflows/`), one from an older version asks
Temporal: see `docs/changing-a-flow.md`. A name is frozen, with what it means, once cases that are kept have been opened
with it, that is, with a release; until then its meaning may be widened.
"""

# --- every case ---
COUNTS_BYTES = "counts-bytes"
"""The change since which a comment or other side message, and a fact, is refused once the case has 1 MB."""
TELLS_CHANGES = "tells-changes"
"""The change since which a case tells the shop again if its wait has come to be about other money."""
ONE_STEP_AT_A_TIME = "one-step-at-a-time"
"""The change since which a case has one step on the shop under way at a time: see `in_shop` in `workflows/steps.py`."""
RECORDS_FIRST = "records-first"
"""The change since which a step that gives something away is in the history before it is done: see
`CaseSteps.put_on_record`."""
RECORDS_DECISIONS = "records-decisions"
"""The change since which an update, and what the clock asks for, are in the history before anything comes of them."""
TELLS_OF_RESET = "tells-of-reset"
"""The change since which a case that was reset tells the shop where it waits now."""
CONTINUES_AT_TIMER = "continues-at-timer"
"""The change since which a case with a long history continues as new at a timer of its own, with what it has not read:
see `ContinuingCase`. Before, it did at once."""
CONTINUES_AFTER_UPDATES = "continues-after-updates"
"""The change since which a case to which only updates come continues as new as soon as its history is long. Before, it
did at its next timer: the update that was just answered was not at its end yet."""
COUNTS_QUIETLY = "counts-quietly"
"""The change since which a wait that is counted again without an alarm is one like any other: nothing is overdue, and
there is a reminder."""
REFUSES_UNKNOWN = "refuses-unknown"
"""The change since which a field that nobody understands is refused inside a list too."""
SHORTENS_MOVES = "shortens-moves"
"""The change since which a move is written down shorter from 1 MB on: see `Case.shorten`."""
REMINDS_FROM_COUNT = "reminds-from-count"
"""The change since which the days of reminders count from what the wait itself counts from, not from the entry."""
TRIES_KEPT_AFTER_NEWS = "tries-kept-after-news"
"""The change since which a kept fact is tried again when news from the shop has moved nothing: what was missing for it
may have been read with that."""
STOPS_ITS_TIMER = "stops-its-timer"
"""The change since which no timer of a wait is pending while a step on the shop is under way: see
`CaseSteps.in_shop`."""

# --- a case that pays ---
ASKS_WHETHER_PAID = "asks-whether-paid"
"""The change since which a case whose payment is being repaired is not called off before the shop was asked whether it
was paid by hand."""
ASKS_BEFORE_NEWS = "asks-before-news"
"""The change since which it asks that also before it goes by the news that the order is refunded, by itself perhaps."""

# --- refund before shipping ---
OPENS_RETURN = "opens-return"
"""The change since which a refund whose parcel was not stopped opens its return itself."""
PARTS_LINES = "parts-lines"
"""The change since which lines that have not left are refunded before shipping still, where others have left."""
ENDED_ORDERS = "ended-orders"
"""The change since which nothing of an order that was ended as malicious ships because a buyer keeps it."""

# --- return after shipping ---
ASKS_WHAT_CAME_IN = "asks-what-came-in"
"""The change since which it is refused at once, and not when the fact is used, that a parcel of ours brings what was
not in it."""

# --- bulk order ---
PAYS_FOR_WHAT_LEFT = "pays-for-what-left"
"""The change since which the approved discount on an order that has left over its hold is paid although something else
than its price is not as it was reviewed: that cannot be reviewed again."""

# --- problem parcel ---
LEAVES_TO_OTHERS = "leaves-to-others"
"""The change since which nobody chooses a remedy for what the platform has refunded, or a refund for what another open
case is about."""
ASKS_WHO_ELSE = "asks-who-else"
"""The change since which every way to a remedy asks whether another open case is about the money: sending again and its
approval too, and the deadline, which refunds only what nobody else has."""
CHOOSES_WHAT_IS_FREE = "chooses-what-is-free"
"""The change since which a person may do what the deadline does: choose a remedy for what no other open case has, where
one has the rest."""
CALLS_OFF_RETURNS = "calls-off-returns"
"""The change since which the refund of a parcel that is lost, or came back to us, calls off the returns that wait for
the buyer to send back what is in it."""
CALLS_OFF_ONLY_LOST = "calls-off-only-what-is-lost"
"""The change since which it calls off none of what came back to us: the return takes that in itself."""
ASKS_OF_UNTOLD = "asks-of-untold-parcels"
"""The change since which a task asks for the refund of a parcel of which nobody has told what is in it."""
CLAIMS_WHAT_IS_OUT = "claims-only-what-is-out"
"""The change since which nothing is claimed from the courier for a lost parcel that has turned up: its refund is of
what is here."""
READS_WHAT_CAME = "reads-what-came-back"
"""The change since which the shop is read again where a parcel has come back: nobody is asked about what ships
again."""
KNOWS_WHAT_IS_HERE = "knows-what-is-here"
"""The change since which a parcel is with us, wherever the case asks, also where it has turned up while nobody waited
for it, or where another case took it in: no return of it is called off, a signature is our own unless the parcel is
waited for still, nobody is to bring it back, nothing is claimed for it, and it is read once more before the buyer is
taken to have it."""
