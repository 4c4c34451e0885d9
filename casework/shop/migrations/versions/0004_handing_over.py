"""Holds and claims remember which case hands them over; a case's record remembers who has a part in the case."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("claims", sa.Column("handed_over_by", sa.String(200), nullable=True))
    op.add_column("holds", sa.Column("handed_over_by", sa.String(200), nullable=True))
    op.add_column("cases", sa.Column("involved", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("cases", "involved")
    op.drop_column("holds", "handed_over_by")
    op.drop_column("claims", "handed_over_by")
