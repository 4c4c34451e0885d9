"""Casework: a case desk for an online shop, on Temporal. The commands are in `casework.cli`."""
