"""When an open case last told where it is: of two executions of it, that says which one is the newer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("at_time", Moment(), nullable=True))


def downgrade() -> None:
    op.drop_column("cases", "at_time")
