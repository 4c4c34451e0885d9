"""A case's record remembers in which moment of its execution it was closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("closing_execution", sa.String(100), nullable=True))
    op.add_column("cases", sa.Column("closing_events", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("cases", "closing_events")
    op.drop_column("cases", "closing_execution")
