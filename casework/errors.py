"""What is refused before anything is done. Imports nothing, so that `casework --help` answers at once."""


class BadInput(Exception):
    """What was given is refused, and nothing was sent: one plain sentence."""
