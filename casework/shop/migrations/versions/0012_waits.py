"""Where open cases wait: told by each case itself, so that no list has to ask it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("cases", sa.Column("at_version", whole, nullable=True))
    op.add_column("cases", sa.Column("at_execution", sa.String(length=100), nullable=True))
    op.add_column("cases", sa.Column("at_events", whole, nullable=True))
    untold = sa.text("closed_at IS NULL AND at_version IS NULL")
    op.create_index("ix_cases_untold", "cases", ["case_id"], unique=False, sqlite_where=untold, postgresql_where=untold)
    op.create_table(
        "waits",
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("flow", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=32), nullable=False),
        sa.Column("roles", sa.String(length=400), nullable=False),
        sa.Column("assignee", sa.String(length=64), nullable=True),
        sa.Column("since", Moment(), nullable=False),
        sa.Column("due", Moment(), nullable=False),
        sa.Column("alarms", whole, nullable=False),
        sa.Column("amount_fen", whole, nullable=False),
        sa.Column("pays_fen", whole, nullable=False),
        sa.Column("case", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_waits")),
    )
    op.create_index(op.f("ix_waits_order_id"), "waits", ["order_id"], unique=False)
    op.create_index("ix_waits_due", "waits", ["due", "case_id", "roles"], unique=False)
    op.create_index("ix_waits_pays", "waits", ["roles", "due", "pays_fen"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_waits_pays", table_name="waits")
    op.drop_index("ix_waits_due", table_name="waits")
    op.drop_index(op.f("ix_waits_order_id"), table_name="waits")
    op.drop_table("waits")
    op.drop_index("ix_cases_untold", table_name="cases")
    op.drop_column("cases", "at_events")
    op.drop_column("cases", "at_execution")
    op.drop_column("cases", "at_version")
