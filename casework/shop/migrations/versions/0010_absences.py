"""The staff's absences by their dates, and who has left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staff", sa.Column("absences", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("staff", sa.Column("gone", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    op.drop_column("staff", "gone")
    op.drop_column("staff", "absences")
