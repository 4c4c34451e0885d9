"""Returns: when they were first asked for, how the goods come back, and what has come in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "returns",
        sa.Column("case_id", sa.String(200), nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
        sa.Column(
            "order_id", sa.String(32), sa.ForeignKey("orders.id", name="fk_returns_order_id_orders"), nullable=False
        ),
        sa.Column("requested_at", Moment(), nullable=False),
        sa.Column("fault", sa.Boolean(), nullable=False),
        sa.Column("courier", sa.String(64), nullable=True),
        sa.Column("waybill", sa.String(64), nullable=True),
        sa.Column("gift_deducted_fen", big, nullable=False),
        sa.Column("settled_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("case_id", "run_id", name="pk_returns"),
    )
    op.create_index("ix_returns_order_id", "returns", ["order_id"])
    op.create_index("ix_returns_waybill", "returns", ["waybill"])
    op.create_table(
        "returned_lines",
        sa.Column("case_id", sa.String(200), nullable=False),
        sa.Column("run_id", sa.String(100), nullable=False),
        sa.Column("line", big, nullable=False),
        sa.Column(
            "order_id",
            sa.String(32),
            sa.ForeignKey("orders.id", name="fk_returned_lines_order_id_orders"),
            nullable=False,
        ),
        sa.Column("received", big, nullable=False),
        sa.Column("accepted", big, nullable=True),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "run_id", "line", name="pk_returned_lines"),
    )
    op.create_index("ix_returned_lines_order_id", "returned_lines", ["order_id"])


def downgrade() -> None:
    op.drop_table("returned_lines")
    op.drop_table("returns")
