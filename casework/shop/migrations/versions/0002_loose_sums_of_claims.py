"""A claim remembers the platform's sums that no line was known for when it was made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("claims", sa.Column("loose_before_fen", whole, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("claims", "loose_before_fen")
