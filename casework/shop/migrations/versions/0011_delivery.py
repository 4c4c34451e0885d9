"""Delivery of what stands in the outbox: tried when, how often, and what came of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # what was posted before there was a delivery is not sent out weeks later
    with op.batch_alter_table("outbox") as outbox:
        outbox.add_column(sa.Column("delivery", sa.String(length=10), nullable=False, server_default="skipped"))
        outbox.add_column(sa.Column("attempts", WHOLE, nullable=False, server_default="0"))
        outbox.add_column(sa.Column("refusals", WHOLE, nullable=False, server_default="0"))
        outbox.add_column(sa.Column("next_try", Moment(), nullable=True))
        outbox.add_column(sa.Column("delivered_at", Moment(), nullable=True))
        outbox.add_column(sa.Column("last_error", sa.Text(), nullable=True))
    op.execute(sa.text('UPDATE outbox SET next_try = "at"'))
    with op.batch_alter_table("outbox") as outbox:
        outbox.alter_column("next_try", nullable=False)
        outbox.alter_column("delivery", server_default=None)
        outbox.alter_column("attempts", server_default=None)
        outbox.alter_column("refusals", server_default=None)
        outbox.create_index("ix_outbox_delivery", ["delivery", "next_try"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("outbox") as outbox:
        outbox.drop_index("ix_outbox_delivery")
        for column in ("last_error", "delivered_at", "next_try", "refusals", "attempts", "delivery"):
            outbox.drop_column(column)
