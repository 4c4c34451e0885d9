"""Batches: the rows that were opened, so that a second run opens nothing twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch_openings",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("runs_before", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("begun_at", Moment(), nullable=False),
        sa.Column("opened_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_batch_openings")),
    )
    op.create_index(op.f("ix_batch_openings_case_id"), "batch_openings", ["case_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_batch_openings_case_id"), table_name="batch_openings")
    op.drop_table("batch_openings")
