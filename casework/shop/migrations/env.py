"""Alembic's entry: runs the migrations on the connection that the program hands over."""

from __future__ import annotations

from alembic import context

from casework.shop.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes a table by making it anew
    render_as_batch=True,
    # the caller's transaction is the one
    transactional_ddl=True,
)
context.run_migrations()
