# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server as a process: `python -m tests.lab.recovery_services --help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import ssl
import tempfile
from pathlib import Path

import trustme

from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.control import World
from tests.lab.recovery_services.journal import Journal
from tests.lab.recovery_services.server import Server


def main() -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; the first line of output is what a client needs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=Path, help="a seed as JSON; without it, the default one")
    parser.add_argument("--port", type=int, default=0, help="0, the default, is a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="virtual seconds per second")
    parser.add_argument("--stepped", action="store_true", help="of what clients say they wait")
    parser.add_argument("--per-look", type=float, default=0.0, help="seconds; see RecoveryServices")
    parser.add_argument("--limits", action="store_true", help="count requests, answer 429")
    parser.add_argument("--folder", type=Path, help="an existing folder for ca.pem")
    given = parser.parse_args()
    seed = seeds.read(given.seed) if given.seed else seeds.default()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="quiesce-azure-"))
    world = World(seed, given.speed, given.limits, given.stepped, given.per_look)
    try:
        asyncio.run(_serve(world, given.port, folder))
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


async def _serve(world: World, port: int, folder: Path) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    authority = trustme.CA()
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    server = Server(world, Journal.of_environment())
    url = await server.listen(port, context)
    try:
        print(json.dumps({"url": url, "ca_file": str(ca_file)}), flush=True)
        await ended.wait()
    finally:
        await server.close()


if __name__ == "__main__":
    main()
