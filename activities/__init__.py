"""Every side effect of a case, one module per subject.

Each writes to the shop in one transaction, or makes one call outside; before such a call, and before a payment, another
transaction notes how far the case has come (`activities.steps.note_moves`).
"""
