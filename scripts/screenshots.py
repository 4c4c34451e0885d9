"""Takes the documentation's pictures of the running Temporal UI: `make screenshots` (needs Debian's chromium)."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from casework.demo.choosing import Found, look_round
from casework.demo.home import database_url, running_desk
from casework.demo.stage import Stage
from casework.demo.stories import AGENT, FINANCE, LEAD, RETURNS_CLERK, beyond_supervisors, signed_lately
from casework.policy import load_policy
from casework.sample_shop import write_sample_shop
from casework.shop.database import Database

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDTH, HEIGHT = 1280, 900
DETAILS_TAB = "user-metadata"
"""The UI's tab with a workflow's summary and current details."""
SETTLES_SECONDS = 4.0
"""How long the page may take to draw what it has loaded; the details are in a frame of their own."""
KILLED_AFTER_SECONDS = 60


class Browser:
    """A headless Chromium, spoken to over two pipes in its own DevTools protocol: one page, loaded and taken.

    `--screenshot` alone takes the page before it has asked its server for anything.
    """

    def __init__(self, profile: Path) -> None:
        """Start it."""
        chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if chromium is None:
            sys.exit("There is no Chromium on this machine: install Debian's package chromium.")
        its_in, my_out = os.pipe()
        my_in, its_out = os.pipe()
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            f"--window-size={WIDTH},{HEIGHT}",
        ]
        quiet = os.open(os.devnull, os.O_RDWR)
        # the protocol's pipes are file descriptors 3 and 4 of Chromium; 0 to 2 are its terminal
        wanted = {0: quiet, 1: quiet, 2: quiet, 3: its_in, 4: its_out}
        # first out of the way, so that none is overwritten before it is copied
        high = {number: fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 100) for number, ours in wanted.items()}
        copied = [(os.POSIX_SPAWN_DUP2, ours, number) for number, ours in high.items()]
        self.process = os.posix_spawn(chromium, [chromium, *options], os.environ, file_actions=copied)
        for ours in (quiet, *high.values()):
            os.close(ours)
        os.close(its_in)
        os.close(its_out)
        self._out, self._in = os.fdopen(my_out, "wb", 0), os.fdopen(my_in, "rb")
        self._sent = 0
        self._session: str | None = None

    def ask(self, method: str, **parameters: Any) -> Any:
        """One command of the protocol, and its answer; events in between are passed over."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._sent:
                if "error" in answer:
                    sys.exit(f"chromium refused {method}: {answer['error']['message']}")
                return answer["result"]

    def _read(self) -> bytes:
        said = bytearray()
        while (sign := self._in.read(1)) != b"\0":
            if not sign:
                sys.exit("chromium has ended")
            said += sign
        return bytes(said)

    def open(self, url: str) -> None:
        """Load a page."""
        target = self.ask("Target.createTarget", url=url)["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def take(self, file: Path) -> None:
        """What is to be seen now, as a PNG."""
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


def take(url: str, says: str, file: Path) -> None:
    """The page as a PNG, once it says something."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile))
        overdue = threading.Timer(KILLED_AFTER_SECONDS, os.kill, (browser.process, signal.SIGKILL))
        overdue.start()
        try:
            browser.open(url)
            while says not in (browser.run("document.body ? document.body.innerText : ''") or ""):
                time.sleep(0.2)
            time.sleep(SETTLES_SECONDS)
            browser.take(file)
        finally:
            overdue.cancel()
            os.kill(browser.process, signal.SIGKILL)
            os.waitpid(browser.process, 0)


async def pages(stage: Stage, case: str) -> tuple[str, str]:
    """The case's page in the UI, and that of its details."""
    page = (await stage.run("open", case, "--print")).out.strip()
    run_id = (await stage.client.get_workflow_handle(case).describe()).run_id
    return f"{page}/{run_id}", f"{page}/{run_id}/{DETAILS_TAB}"


async def take_refund(stage: Stage, order: Found) -> None:
    """A large refund that waits for finance, and the same one after finance approved."""
    case = await stage.start("refund", "--order", order.order_id, "--reason", "找到更便宜的", by=AGENT)
    await stage.submit(case, "buyer_insists", AGENT)
    await stage.submit(case, "approve", AGENT, expect=3)
    await stage.submit(case, "approve", LEAD)
    page, details = await pages(stage, case)
    await asyncio.to_thread(take, details, "Current Details", IMAGES / "temporal-ui-waiting.png")
    await stage.submit(case, "approve", FINANCE)
    await asyncio.to_thread(take, page, "Completed", IMAGES / "temporal-ui-finished.png")


async def take_return(stage: Stage, order: Found) -> None:
    """A return for a fault that waits for the goods, and the same one after its inspection."""
    fault = ("--cause", "quality", "--defect", "hole", "--description", "被面有破洞", "--photos", "hole-1.jpg")
    case = await stage.start("return", "--order", order.order_id, *fault, by=AGENT)
    await stage.submit(case, "supplier_agrees", AGENT)
    page, details = await pages(stage, case)
    await asyncio.to_thread(take, details, "Current Details", IMAGES / "temporal-ui-return-waiting.png")
    waybill = f"waybill=BACK{order.order_id[-10:]}"
    await stage.submit(case, "buyer_ships", AGENT, "courier=zhongtong", waybill)
    await stage.submit(case, "receive_goods", RETURNS_CLERK, waybill)
    lines = json.dumps([{"line": line, "accepted_quantity": quantity} for line, quantity in order.lines])
    await stage.submit(case, "pass_inspection", RETURNS_CLERK, f"lines={lines}", "gift_back=null", "invoice_back=null")
    await stage.submit(case, "buyer_confirms", AGENT)
    await asyncio.to_thread(take, page, "Completed", IMAGES / "temporal-ui-return-finished.png")


async def main() -> None:
    """Two cases, each while it waits and after its end, on an invented shop of their own."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        async with running_desk(home) as desk:
            files = write_sample_shop(home / "exports")
            with closing(Database(database_url(home))) as database:
                stage = Stage(home, database)
                await stage.answering(desk)
                await stage.run("import", "--as-of-now", *map(str, files))
                shop = look_round(database, load_policy(None))
                IMAGES.mkdir(parents=True, exist_ok=True)
                await take_refund(stage, beyond_supervisors(shop)[0])
                await take_return(stage, signed_lately(shop)[0])


if __name__ == "__main__":
    asyncio.run(main())
