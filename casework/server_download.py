"""Lets Temporal's own SDK download its development server: `python -m casework.server_download VERSION
DIRECTORY`.

A program of its own because the SDK starts the server that it has downloaded and offers no way to give the
download up; a process can be watched and ended.
"""

import asyncio
import sys

from temporalio.testing import WorkflowEnvironment


async def download(version: str, directory: str) -> None:
    """Downloads Temporal's command line of that version (as in `v1.8.2`) into the directory, and tries it.

    Raises `RuntimeError`, with the SDK's words, where it cannot be reached or does not start.
    """
    environment = await WorkflowEnvironment.start_local(  # pyright: ignore[reportUnknownMemberType] - the SDK's own
        dev_server_download_version=version, download_dest_dir=directory
    )
    await environment.shutdown()


if __name__ == "__main__":
    asyncio.run(download(sys.argv[1], sys.argv[2]))
