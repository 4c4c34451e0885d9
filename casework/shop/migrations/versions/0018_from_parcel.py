"""Which goods that came in with a return came by a parcel of ours, which the buyer never had."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("returned_lines", sa.Column("from_parcel", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("returned_lines", "from_parcel")
