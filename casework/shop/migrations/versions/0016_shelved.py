"""Which pieces of a parcel that came back ship again: what its own case is about they are no more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shipment_lines", sa.Column("shelved_at", Moment(), nullable=True))
    # what came back and is to be shipped again is on the shelf already
    op.execute(
        """
        update shipment_lines set shelved_at = (
            select back_at from shipments where shipments.id = shipment_lines.shipment_id
        ) where exists (
            select 1 from shipments
            join order_lines on order_lines.order_id = shipments.order_id
                and order_lines.number = shipment_lines.line
            where shipments.id = shipment_lines.shipment_id
            and shipments.back_at is not null and order_lines.place = 'unshipped'
        )
        """
    )


def downgrade() -> None:
    op.drop_column("shipment_lines", "shelved_at")
