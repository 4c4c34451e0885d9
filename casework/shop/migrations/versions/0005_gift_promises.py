"""Gifts and free shipping that the shop has promised, and the month's budget that they are kept from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "gift_promises",
        sa.Column("order_id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("case_id", sa.String(200), nullable=False),
        sa.Column("key", sa.String(400), nullable=False),
        sa.Column("sku", sa.String(64), nullable=True),
        sa.Column("quantity", big, nullable=False),
        sa.Column("cost_fen", big, nullable=False),
        sa.Column("value_fen", big, nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("loose_before_fen", big, nullable=False),
        sa.Column("promised_at", Moment(), nullable=False),
        sa.Column("granted_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_gift_promises_order_id_orders")),
        sa.PrimaryKeyConstraint("order_id", "kind", name=op.f("pk_gift_promises")),
    )
    op.create_index(op.f("ix_gift_promises_case_id"), "gift_promises", ["case_id"])
    op.create_index(op.f("ix_gift_promises_month"), "gift_promises", ["month"])
    op.create_table(
        "gift_months",
        sa.Column("month", sa.String(7), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_gift_months")),
    )


def downgrade() -> None:
    op.drop_table("gift_months")
    op.drop_table("gift_promises")
