"""A payment service that hangs for good: payments wait, and nobody else does."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from casework.names import TASK_QUEUE
from casework.policy import load_policy
from tests.desk import Desk
from worker import OUTSIDE_AT_ONCE, SHOP_STEPS_AT_ONCE, build_worker

MORE_THAN_ALL_THREADS = OUTSIDE_AT_ONCE + SHOP_STEPS_AT_ONCE + 1


class Hangs(Interceptor):
    """Every payment hangs in its thread until the test lets go."""

    def __init__(self) -> None:
        self.reached = asyncio.Semaphore(0)
        self.let_go = threading.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Hangs(next, self)


class _Hangs(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, hangs: Hangs) -> None:
        super().__init__(following)
        self._hangs = hangs

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        if activity.info().activity_type == "pay":
            honest = input.fn

            def hang(*arguments: Any) -> Any:
                self._hangs.let_go.wait()
                return honest(*arguments)

            input.fn = hang
            self._hangs.reached.release()
        return await super().execute_activity(input)


async def test_payments_that_hang_keep_nobody_else_waiting(desk: Desk) -> None:
    hangs, queue = Hangs(), f"{TASK_QUEUE}-hanging"
    ours = replace(desk, task_queue=queue)
    worker = build_worker(desk.client, desk.database, load_policy(None), task_queue=queue, interceptors=[hangs])
    async with worker:
        try:
            paying = [await ours.open_in("persuading", ours.order(), reason="x") for _ in range(MORE_THAN_ALL_THREADS)]
            for case in paying:
                await ours.submit(case, "buyer_insists", "aftersale.1")
            for _ in range(OUTSIDE_AT_ONCE):
                await asyncio.wait_for(hangs.reached.acquire(), 20)
            other = await ours.open_in("persuading", ours.order(), reason="x")
            await ours.submit(other, "buyer_withdraws", "aftersale.1")
            assert (await asyncio.wait_for(ours.end(other), 20)).outcome == "kept"
        finally:
            hangs.let_go.set()
        for case in paying:
            view = await ours.end(case)
            assert view.outcome == "refunded"
            ours.require_whole(view)
