# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plugin for nbdkit: the bytes of a page blob, or of a snapshot of one, as a block device.

Parameters: `url`, `snapshot` (makes it read-only) and `log`, a file with a record of each request
that changes the device. A record is written when the request arrives, before it takes effect. The
key of the account is in the environment, as `PAGE_BLOB_KEY`.
"""

from __future__ import annotations

import importlib
import os
import struct
import time
from typing import Any, Dict, Optional

nbdkit: Any = importlib.import_module("nbdkit")

API_VERSION = 2
#: Arrival in nanoseconds of the monotonic clock, offset, length, kind.
RECORD = struct.Struct("<qqq8s")
_LARGEST = 4 << 20


class _Disk:
    """The one disk that this process serves."""

    config: Dict[str, str]
    client: Any
    size: int
    log: Optional[int]


_disk = _Disk()
_disk.config = {}


def config(key: str, value: str) -> None:
    _disk.config[key] = value


def config_complete() -> None:
    if "url" not in _disk.config:
        raise RuntimeError("url= is needed")


def thread_model() -> int:
    return int(nbdkit.THREAD_MODEL_PARALLEL)


def after_fork() -> None:
    from azure.storage.blob import BlobClient, LinearRetry

    _disk.client = BlobClient.from_blob_url(
        _disk.config["url"],
        credential=os.environ["PAGE_BLOB_KEY"],
        snapshot=_disk.config.get("snapshot"),
        # For a connection that the store closed while idle; a store that is gone is an error.
        retry_policy=LinearRetry(backoff=0, retry_total=2, random_jitter_range=0),
        max_single_get_size=_LARGEST,
        connection_timeout=20,
        read_timeout=600,
    )
    _disk.size = _disk.client.get_blob_properties().size
    _disk.log = None
    if "log" in _disk.config:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        _disk.log = os.open(_disk.config["log"], flags, 0o600)


def open(_read_only: bool) -> int:
    return 1


def get_size(_handle: int) -> int:
    return _disk.size


def can_write(_handle: int) -> bool:
    return "snapshot" not in _disk.config


def can_trim(handle: int) -> bool:
    return can_write(handle)


def can_zero(handle: int) -> bool:
    return can_write(handle)


def can_flush(_handle: int) -> bool:
    return True


def can_fua(_handle: int) -> int:
    # The store has every write before it answers.
    return int(nbdkit.FUA_NATIVE)


def can_multi_conn(_handle: int) -> bool:
    return True


def block_size(_handle: int) -> Any:
    return (512, 4096, _LARGEST)


def pread(_handle: int, buffer: Any, offset: int, _flags: int) -> None:
    size = len(buffer)
    buffer[:] = _disk.client.download_blob(offset=offset, length=size).readall()


def pwrite(_handle: int, buffer: Any, offset: int, _flags: int) -> None:
    _note(offset, len(buffer), b"write")
    data = bytes(buffer)
    for at in range(0, len(data), _LARGEST):
        part = data[at : at + _LARGEST]
        _disk.client.upload_page(part, offset=offset + at, length=len(part))


def zero(_handle: int, count: int, offset: int, _flags: int) -> None:
    _note(offset, count, b"zero")
    _disk.client.clear_page(offset=offset, length=count)


def trim(_handle: int, count: int, offset: int, _flags: int) -> None:
    _note(offset, count, b"trim")
    _disk.client.clear_page(offset=offset, length=count)


def flush(_handle: int, _flags: int) -> None:
    pass


def _note(offset: int, length: int, kind: bytes) -> None:
    if _disk.log is not None:
        os.write(_disk.log, RECORD.pack(time.monotonic_ns(), offset, length, kind))
