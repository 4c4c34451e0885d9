"""The worker: the only place where things are put together. Connects, registers, runs."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Interceptor, Worker

from activities.bulk_orders import BulkOrderActivities
from activities.cases import CaseActivities
from activities.courier import CourierActivities
from activities.defining import OnlyForItsCase
from activities.gifts import GiftActivities
from activities.messages import MessageActivities
from activities.orders import OrderActivities
from activities.parcels import ParcelActivities
from activities.patrol import PatrolActivities
from activities.payments import PaymentActivities
from activities.returns import ReturnActivities
from activities.staff import StaffActivities
from casework.connection import CannotListen, InvalidTemporalSettings, NoServer, connect, require_namespace
from casework.converter import DATA_CONVERTER
from casework.leaving import leave, leave_within
from casework.logs import configure_logs
from casework.monitoring import monitored, runtime_of
from casework.names import TASK_QUEUE
from casework.policy import Policy, PolicyError, load_policy
from casework.sandbox import pin_modules, workflow_runner
from casework.settings import Settings, SettingsError
from casework.shop.courier import EmbeddedCourier
from casework.shop.database import Database
from casework.shop.errors import SchemaNotReady
from workflows.bulk_order import BulkOrder
from workflows.gift_approval import GiftApproval
from workflows.parcel_patrol import ParcelPatrol
from workflows.problem_parcel import ProblemParcel
from workflows.refund_before_shipping import RefundBeforeShipping
from workflows.return_after_shipping import ReturnAfterShipping

WORKFLOWS = [RefundBeforeShipping, ReturnAfterShipping, GiftApproval, BulkOrder, ProblemParcel, ParcelPatrol]
pin_modules(one.__module__ for one in WORKFLOWS)  # as soon as they are loaded: the files may be replaced

SHOP_STEPS_AT_ONCE = 8
"""Steps on the shop are short and wait for one database."""
OUTSIDE_AT_ONCE = 8
"""What leaves the shop has threads of its own: a payment service that hangs takes none from the steps on the shop."""
REFUSED_SETTINGS = 2
"""The exit code of `python worker.py` where starting it again is of no use."""
GRACEFUL_SHUTDOWN = timedelta(seconds=20)
LONGEST_STOP = timedelta(seconds=25)
"""So long after it was asked to stop a worker has ended, also where an attempt outside hangs."""
STICKY_TIMEOUT = timedelta(seconds=10)
"""So long a case waits for the worker that has it in its memory, which may have died, before any other may take it."""


def build_worker(
    client: Client,
    database: Database,
    policy: Policy,
    *,
    task_queue: str = TASK_QUEUE,
    max_cached_workflows: int = 2000,
    sticky_timeout: timedelta = STICKY_TIMEOUT,
    interceptors: Sequence[Interceptor] = (),
    more_workflows: Sequence[type] = (),
) -> Worker:
    """A worker for all flows over one shop. Run it with `async with` or `run()`."""
    couriers = EmbeddedCourier(database)
    cases = CaseActivities(database, policy)
    staff = StaffActivities(database)
    orders = OrderActivities(database)
    payments = PaymentActivities(database)
    returns = ReturnActivities(database)
    gifts = GiftActivities(database)
    bulk_orders = BulkOrderActivities(database)
    courier = CourierActivities(database, couriers)
    parcels = ParcelActivities(database)
    patrol = PatrolActivities(database, couriers, policy)
    messages = MessageActivities(database)
    pin_modules(one.__module__ for one in more_workflows)
    return Worker(
        client,
        task_queue=task_queue,
        workflows=[*WORKFLOWS, *more_workflows],
        activities=[
            cases.open_case,
            cases.hand_over,
            cases.take_back,
            cases.close_case,
            staff.consider,
            orders.check_and_claim,
            orders.read_standing,
            orders.part_lines,
            orders.was_ended,
            orders.hold,
            orders.mark_goods_back,
            orders.mark_left,
            orders.mark_order,
            orders.settle,
            orders.restore,
            payments.pay,
            payments.read_sent,
            payments.record_paid_by_hand,
            returns.assess_return,
            returns.read_return,
            returns.is_waybill_of_another,
            returns.what_speaks_against,
            returns.note_way_back,
            returns.is_signed_for_by_us,
            returns.receive_return,
            returns.read_gift_of_order,
            returns.restock_return,
            returns.take_return_out_of_stock,
            returns.read_paid_parts,
            returns.settle_return,
            returns.finish_return,
            returns.undo_return,
            gifts.check_gift,
            gifts.read_gift_standing,
            gifts.price_gift,
            gifts.promise_gift,
            gifts.put_gift_on_order,
            gifts.grant_credited_postage,
            gifts.withdraw_gift,
            bulk_orders.screen_bulk,
            bulk_orders.read_bulk,
            bulk_orders.gather_talk,
            bulk_orders.forget_review,
            bulk_orders.note_reviewed,
            bulk_orders.hold_bulk,
            bulk_orders.let_bulk_go,
            bulk_orders.approve_price,
            bulk_orders.change_price,
            bulk_orders.close_bulk,
            bulk_orders.free_lines,
            bulk_orders.leave_red,
            courier.ask_courier,
            courier.claim,
            courier.forward,
            courier.intercept,
            courier.redeliver,
            parcels.call_off_reshipment,
            parcels.follow_parcel,
            parcels.give_up_parcel,
            parcels.look_at_parcel,
            parcels.register_parcel,
            parcels.reserve_goods,
            parcels.say_out_of_stock,
            parcels.take_returned,
            parcels.tell_return,
            patrol.look_further,
            messages.post_messages,
        ],
        activity_executor=ThreadPoolExecutor(SHOP_STEPS_AT_ONCE + OUTSIDE_AT_ONCE, thread_name_prefix="activity"),
        max_concurrent_local_activities=SHOP_STEPS_AT_ONCE,
        max_concurrent_activities=OUTSIDE_AT_ONCE,
        workflow_runner=workflow_runner(),
        max_cached_workflows=max_cached_workflows,
        sticky_queue_schedule_to_start_timeout=sticky_timeout,
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        interceptors=[OnlyForItsCase(), *interceptors],
    )


async def main() -> None:
    """Run a worker against the server that the settings name, until it is asked to stop.

    Then it takes nothing new, finishes what it has begun, for at most `GRACEFUL_SHUTDOWN`, and hands back the rest. An
    attempt that hangs even then is left behind (`LONGEST_STOP`).
    """
    settings = Settings()
    configure_logs()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    database = Database(settings.database_url)
    database.migrate()
    client = await connect(settings.home, data_converter=DATA_CONVERTER, runtime=runtime_of(settings))
    await require_namespace(client)
    async with build_worker(client, database, load_policy(settings.policy)) as worker:
        with monitored(settings, client, database, worker):
            await stop.wait()
            leave_within(LONGEST_STOP)


def run() -> tuple[int, str]:
    """Run a worker to its end; the exit code, and why it ended, where that was not asked for."""
    try:
        asyncio.run(main())
    except (SettingsError, PolicyError, InvalidTemporalSettings) as refused:
        return REFUSED_SETTINGS, str(refused)
    except (NoServer, CannotListen, SchemaNotReady) as away:
        return 1, str(away)
    except RPCError as away:
        return 1, f"The Temporal server refused or was lost: {away.message}"
    except SQLAlchemyError as away:
        # only the database's own words: a statement and its parameters may hold personal data
        return 1, f"The shop's database cannot be used: {getattr(away, 'orig', None) or type(away).__name__}"
    return 0, ""


if __name__ == "__main__":
    code, why = run()
    print(why, end="\n" if why else "", file=sys.stderr)
    leave(code)
