"""Chaos: many cases of all flows while worker, Temporal server and database are killed, and then an audit."""
