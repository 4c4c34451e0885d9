"""When and how much a waiting case pays by silence, followed through the waits behind its own; told by each anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # what the rows say is not enough: each open case is asked once, as those of a Casework before 0012 are
    op.execute("DELETE FROM waits")
    op.execute("UPDATE cases SET at_version = NULL WHERE closed_at IS NULL")
    op.drop_index("ix_waits_pays", table_name="waits")
    op.add_column("waits", sa.Column("pays_at", Moment(), nullable=True))
    op.add_column("waits", sa.Column("pays_for_certain", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index("ix_waits_pays", "waits", ["roles", "pays_at", "due", "pays_for_certain", "pays_fen"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_waits_pays", table_name="waits")
    op.drop_column("waits", "pays_for_certain")
    op.drop_column("waits", "pays_at")
    op.create_index("ix_waits_pays", "waits", ["roles", "due", "pays_fen"], unique=False)
