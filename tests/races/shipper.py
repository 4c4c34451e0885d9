"""Another process on the same shop: ships the orders that it is told to.

`python -m tests.races.shipper URL` reads `<order> <seconds>` a line, ships that order so much later, and answers with
`shipped`, or with the cases that hold it.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

from casework.shop import outside
from casework.shop.database import Database
from casework.shop.errors import Held


def ship(database: Database, order: str, seconds: float) -> str:
    """Ship the order; `shipped`, or which cases hold it."""
    time.sleep(seconds)
    try:
        with database.writing() as session:
            outside.ship(session, order, at=datetime.now(UTC))
    except Held as held:
        return str(held)
    return "shipped"


if __name__ == "__main__":
    shop = Database(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        name, wait = line.split()
        print(ship(shop, name, float(wait)), flush=True)
