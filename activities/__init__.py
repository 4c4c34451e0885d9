"""Every side effect of a case, one module per subject.

Each writes to the shop in one transaction, or makes one call outside; before such a call, and before a payment, another
transaction notes how far the case has come (`activities.steps.note_moves`). Polls (`ask_courier`, the patrol's
`look_further`) are for nobody's move and note nothing; they keep what a courier has answered in a transaction of its
own. `record_paid_by_hand` reads in a second one what is then due.
"""
