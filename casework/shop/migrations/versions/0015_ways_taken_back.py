"""What a case let go, and in which state it was: a way that Temporal takes back is taken back in the shop too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cases", sa.Column("at_state", sa.String(length=64), nullable=True))
    op.add_column("cases", sa.Column("let_go", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("cases", "let_go")
    op.drop_column("cases", "at_state")
