"""The command line: `casework …`. What a command says of itself is in `app`; what it does is beside it.

Nothing heavy is imported here, so that `casework --help` answers at once.
"""

from casework.cli.app import app
from casework.cli.ending import main, run

__all__ = ["app", "main", "run"]
