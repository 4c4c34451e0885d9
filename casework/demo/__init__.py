"""The demo: a shop's orders, all five flows played to their ends by the public commands, three cases left for you.

Everything is real: the Temporal server, the worker, the shop, the commands. Only time is skipped. It fails if an
ending, or the ledger, is not the expected one. `--shop FOLDER` takes any other export in the same formats.
"""
