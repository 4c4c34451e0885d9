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


def downgrade() -> None:
    op.drop_column("shipment_lines", "shelved_at")
