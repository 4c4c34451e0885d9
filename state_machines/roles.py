"""Who may act: the shop's roles, and the two actors that are not people."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Label(NamedTuple):
    """A name for people, in the shop's language and in English. Identifiers stay visible beside it."""

    zh: str
    en: str

    def in_language(self, language: str) -> str:
        """The Chinese text for `zh`, the English one for everything else."""
        return self.zh if language == "zh" else self.en


class Role(StrEnum):
    """A role of the shop's staff, as its manuals name them. A staff member has one or more."""

    PRESALE_AGENT = "presale_agent"
    PRESALE_SUPERVISOR = "presale_supervisor"
    AFTERSALE_AGENT = "aftersale_agent"
    AFTERSALE_SUPERVISOR = "aftersale_supervisor"
    BULK_SPECIALIST = "bulk_specialist"
    PARCEL_SPECIALIST = "parcel_specialist"
    ORDER_AUDITOR = "order_auditor"
    RETURNS_CLERK = "returns_clerk"
    REFUND_CLERK = "refund_clerk"
    FINANCE_MANAGER = "finance_manager"
    STORE_MANAGER = "store_manager"
    GENERAL_MANAGER = "general_manager"
    WAREHOUSE = "warehouse"

    @property
    def label(self) -> Label:
        """The role's name for people."""
        return _ROLE_LABELS[self]


class Automatic(StrEnum):
    """Who acts when nobody does.

    `SYSTEM` is what a state's work comes to, what a poll finds, what the shop notifies of, and Temporal's cancel;
    `CLOCK` is the state's deadline.
    """

    SYSTEM = "system"
    CLOCK = "clock"

    @property
    def label(self) -> Label:
        """The actor's name for people."""
        return Label("系统", "system") if self is Automatic.SYSTEM else Label("时限", "clock")


_ROLE_LABELS = {
    Role.PRESALE_AGENT: Label("售前客服", "pre-sale agent"),
    Role.PRESALE_SUPERVISOR: Label("售前主管", "pre-sale supervisor"),
    Role.AFTERSALE_AGENT: Label("售后客服", "after-sales agent"),
    Role.AFTERSALE_SUPERVISOR: Label("售后主管", "after-sales supervisor"),
    Role.BULK_SPECIALIST: Label("大宗交易专员", "bulk specialist"),
    Role.PARCEL_SPECIALIST: Label("查件专员", "parcel specialist"),
    Role.ORDER_AUDITOR: Label("审单专员", "order auditor"),
    Role.RETURNS_CLERK: Label("退回收货专员", "returns clerk"),
    Role.REFUND_CLERK: Label("财务退款专员", "refund clerk"),
    Role.FINANCE_MANAGER: Label("财务经理", "finance manager"),
    Role.STORE_MANAGER: Label("店长", "store manager"),
    Role.GENERAL_MANAGER: Label("总经理", "general manager"),
    Role.WAREHOUSE: Label("仓库", "warehouse"),
}
