"""The couriers as a port: what a case may ask of them, and what they answer. Pure.

The embedded courier (`casework.shop.courier`) answers from imported scans; one that speaks to a real courier, or to
Kuaidi100, takes its place where the worker is put together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from casework.money import LineQuantity
from casework.rules.parcels import ParcelState, meaning_of
from casework.shop.fencing import FencingToken


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: when, the courier's own code, and what it said. `at` is aware."""

    at: datetime
    code: str
    status: str
    text: str

    @property
    def state(self) -> ParcelState:
        """What the code means; an unknown one is taken as moving."""
        return meaning_of(self.code)


class CourierSilent(Exception):
    """The courier did not answer, or does not know the waybill: that means nothing."""


@dataclass(frozen=True, slots=True)
class OnBehalf:
    """For which case something is asked, and where its execution is: what an ended case asks comes too late."""

    case_id: str
    run_id: str
    order_id: str
    moment: FencingToken | None = None


@dataclass(frozen=True, slots=True)
class ParcelRequest:
    """Do something with a parcel; the same answer for the same `key`. `at` is aware."""

    key: str
    of: OnBehalf
    courier: str
    waybill: str
    at: datetime
    address_id: str | None = None
    """For a new delivery: the reference of the corrected address, which the shop has."""


class Courier(Protocol):
    """Every courier, by its Kuaidi100 code."""

    def ask(self, courier: str, waybill: str, *, at: datetime) -> Sequence[Scan]:
        """Every scan of a parcel until `at` (aware), newest first.

        Raises:
            CourierSilent: there was no answer.

        """
        ...

    def ask_each(self, couriers: Mapping[str, str], *, at: datetime) -> Mapping[str, Sequence[Scan]]:
        """As `ask`, for many waybills, each with its courier; those that got no answer are missing. `at` is aware."""
        ...

    def intercept(self, key: str, of: OnBehalf, lines: Sequence[LineQuantity], *, at: datetime) -> bool:
        """Stop the parcels of these lines and bring them back; False if that cannot be done. `at` is aware.

        Raises:
            CaseOver: the case has ended.

        """
        ...

    def forward(self, request: ParcelRequest) -> bool:
        """Hand the parcel over to another courier, whose waybill is told later; False if that cannot be done.

        Raises:
            CaseOver: the case has ended.

        """
        ...

    def redeliver(self, request: ParcelRequest) -> bool:
        """Deliver once more, to the corrected address; False if that cannot be done.

        Raises:
            CaseOver: the case has ended.

        """
        ...

    def claim(self, request: ParcelRequest, *, amount_fen: int) -> None:
        """Make good a loss: so many fen are claimed for the parcel.

        Raises:
            CaseOver: the case has ended.

        """
        ...
