"""Takes the documentation's pictures of the running Temporal UI: `make screenshots` (needs Debian's chromium)."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from casework.connection import connect
from casework.converter import DATA_CONVERTER
from casework.demo import Stage, choose, refundable, run_command, running_desk
from casework.policy import load_policy
from casework.sample_shop import write_sample_shop
from casework.shop.database import Database

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDTH, HEIGHT = 1280, 1150
SETTLES_AFTER_MILLISECONDS = 15_000
"""How long the page may take to draw what it has loaded."""


async def take(url: str, file: Path) -> None:
    """One page as a PNG."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("There is no Chromium on this machine: install Debian's package chromium.")
    with TemporaryDirectory() as profile:
        process = await asyncio.create_subprocess_exec(
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--timeout={SETTLES_AFTER_MILLISECONDS}",
            f"--screenshot={file}",
            url,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await process.wait():
            sys.exit(f"chromium could not take {file.name}")


async def main() -> None:
    """Open a large refund, let it wait for finance, and take its page."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        desk, _ = await start_desk(home)
        try:
            files = write_sample_shop(home / "exports")
            await run_command(home, "import", "--as-of-now", *map(str, files))
            database = Database(f"sqlite:///{home / 'shop.db'}")
            stage = Stage(home, database, await connect(home, data_converter=DATA_CONVERTER))
            limits = load_policy(None).refund_before_shipping
            order = choose(refundable(database), [], limits.agent_limit_fen, limits.supervisor_limit_fen)[-1]
            case = await stage.open(order.order_id, "找到更便宜的")
            await stage.submit(case, "buyer_insists", "aftersale.1")
            await stage.submit(case, "approve", "aftersale.1", expect=3)
            await stage.submit(case, "approve", "aftersale-lead.5")
            IMAGES.mkdir(parents=True, exist_ok=True)
            _, page, _ = await run_command(home, "open", case, "--print")
            await take(page.strip(), IMAGES / "temporal-ui-waiting.png")
            database.close()
        finally:
            await stop_desk(desk)


if __name__ == "__main__":
    asyncio.run(main())
