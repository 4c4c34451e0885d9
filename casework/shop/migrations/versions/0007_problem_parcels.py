"""What the shop keeps of problem parcels: who follows which waybill, the courier's last word, requests and claims."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from casework.shop.tables import Moment

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "courier_requests",
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("courier", sa.String(length=64), nullable=False),
        sa.Column("waybill", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=20), nullable=False),
        sa.Column("address_id", sa.String(length=200), nullable=True),
        sa.Column("agreed", sa.Boolean(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_courier_requests")),
    )
    op.create_index(op.f("ix_courier_requests_case_id"), "courier_requests", ["case_id"], unique=False)
    op.create_index(op.f("ix_courier_requests_waybill"), "courier_requests", ["waybill"], unique=False)
    op.create_table(
        "out_of_stock",
        sa.Column("sku", sa.String(length=200), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("sku", name=op.f("pk_out_of_stock")),
    )
    op.create_table(
        "parcel_statuses",
        sa.Column("waybill", sa.String(length=64), nullable=False),
        sa.Column("asked_at", Moment(), nullable=False),
        sa.Column("answered_at", Moment(), nullable=True),
        sa.Column("code", sa.String(length=10), nullable=True),
        sa.Column("scan_at", Moment(), nullable=True),
        sa.Column("forwarded_courier", sa.String(length=64), nullable=True),
        sa.Column("forwarded_waybill", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("waybill", name=op.f("pk_parcel_statuses")),
    )
    op.create_table(
        "courier_claims",
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("waybill", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=32), nullable=False),
        sa.Column("courier", sa.String(length=64), nullable=False),
        sa.Column("amount_fen", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_courier_claims_order_id_orders")),
        sa.PrimaryKeyConstraint("case_id", "run_id", "waybill", name=op.f("pk_courier_claims")),
    )
    op.create_index(op.f("ix_courier_claims_order_id"), "courier_claims", ["order_id"], unique=False)
    op.create_table(
        "followed_parcels",
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("waybill", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.String(length=32), nullable=False),
        sa.Column("courier", sa.String(length=64), nullable=False),
        sa.Column("how", sa.String(length=10), nullable=False),
        sa.Column("since", Moment(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_followed_parcels_order_id_orders")),
        sa.PrimaryKeyConstraint("case_id", "run_id", "waybill", name=op.f("pk_followed_parcels")),
    )
    op.create_index(op.f("ix_followed_parcels_order_id"), "followed_parcels", ["order_id"], unique=False)
    op.create_index(op.f("ix_followed_parcels_waybill"), "followed_parcels", ["waybill"], unique=False)
    op.create_table(
        "reshipments",
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("case_id", sa.String(length=200), nullable=False),
        sa.Column("order_id", sa.String(length=32), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_reshipments_order_id_orders")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_reshipments")),
    )
    op.create_index(op.f("ix_reshipments_case_id"), "reshipments", ["case_id"], unique=False)
    op.create_index(op.f("ix_reshipments_order_id"), "reshipments", ["order_id"], unique=False)
    op.add_column("orders", sa.Column("receipt_until", Moment(), nullable=True))


def downgrade() -> None:
    op.drop_column("orders", "receipt_until")
    op.drop_index(op.f("ix_reshipments_order_id"), table_name="reshipments")
    op.drop_index(op.f("ix_reshipments_case_id"), table_name="reshipments")
    op.drop_table("reshipments")
    op.drop_index(op.f("ix_followed_parcels_waybill"), table_name="followed_parcels")
    op.drop_index(op.f("ix_followed_parcels_order_id"), table_name="followed_parcels")
    op.drop_table("followed_parcels")
    op.drop_index(op.f("ix_courier_claims_order_id"), table_name="courier_claims")
    op.drop_table("courier_claims")
    op.drop_table("parcel_statuses")
    op.drop_table("out_of_stock")
    op.drop_index(op.f("ix_courier_requests_waybill"), table_name="courier_requests")
    op.drop_index(op.f("ix_courier_requests_case_id"), table_name="courier_requests")
    op.drop_table("courier_requests")
