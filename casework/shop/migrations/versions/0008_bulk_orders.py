"""Bulk orders: what was reviewed, and what an order's total was before a discount lowered it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("list_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True))
    op.create_table(
        "reviews",
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("order_id", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("price_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("approved_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_reviews_order_id_orders")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_order_id"), "reviews", ["order_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_reviews_order_id"), table_name="reviews")
    op.drop_table("reviews")
    op.drop_column("orders", "list_fen")
