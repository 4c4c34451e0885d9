"""How many pieces returns have taken in out of our parcels, where so far only all or none of a line could be said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("shipment_lines", sa.Column("taken_out", whole, nullable=False, server_default="0"))
    op.add_column("returned_lines", sa.Column("from_parcels", whole, nullable=False, server_default="0"))
    op.execute("update returned_lines set from_parcels = received where from_parcel")
    op.drop_column("returned_lines", "from_parcel")


def downgrade() -> None:
    op.add_column("returned_lines", sa.Column("from_parcel", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("update returned_lines set from_parcel = (from_parcels > 0)")
    op.drop_column("returned_lines", "from_parcels")
    # what was taken in of several pieces, the older version cannot say: they count as in the parcel again
    op.execute(
        "update shipment_lines set shelved_at = "
        "(select back_at from shipments where shipments.id = shipment_lines.shipment_id) "
        "where shelved_at is null and taken_out >= quantity"
    )
    op.drop_column("shipment_lines", "taken_out")
