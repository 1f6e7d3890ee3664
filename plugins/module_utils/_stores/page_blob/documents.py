# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the status and the log of a run to a blob, as the VMSnapshot extension does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..._disks import BlobAddress, parse_blob_uri
from ..._errors import QuiesceError, StoreError
from ..._http.exchange import HttpConnection, tls_context
from .sdk_transport import ServiceRefused, Transport, blob_client, sdk_problem, unexpected

#: The size of a page of a page blob, in bytes.
_PAGE = 512
#: The most bytes that one request can write to a page blob.
_MAX_WRITE_BYTES = 4 * 1024 * 1024


def write_document(
    uri: str, data: bytes, limit_s: float = 15.0, subject: str = "The document"
) -> None:
    """Replace the content of a blob by the document, within `limit_s` seconds.

    A page blob is resized if it is too small. The rest of its last page is filled with spaces,
    and all further pages are cleared. A block blob is written, or made, by one request.
    Raise `SettingsError` for an address that cannot serve, and `StoreError` otherwise.
    """
    address = parse_blob_uri(uri, subject)
    problem = sdk_problem()
    if problem is not None:
        raise StoreError(problem)
    context = tls_context() if address.scheme == "https" else None
    transport = Transport(HttpConnection(address.host, address.port, context))
    transport.within(limit_s)
    try:
        _write(blob_client(uri, transport), data)
    except QuiesceError as error:
        raise _failed(address, subject, error) from None
    except Exception as error:
        # The SDK's own errors can hold the address, and that the SAS.
        raise _failed(address, subject, StoreError(unexpected(error))) from None
    finally:
        transport.connection.close()


def _failed(address: BlobAddress, subject: str, error: QuiesceError) -> StoreError:
    message = f"{subject} was not written to {address.shown}: {error.failure.message}"
    return StoreError(replace(error.failure, message=message))


def _write(client: Any, data: bytes) -> None:
    try:
        properties = client.get_blob_properties()
    except ServiceRefused as error:
        # The blob does not exist yet, or the SAS permits to write but not to read.
        if error.status not in (403, 404):
            raise
        properties = None
    kind = properties.blob_type if properties is not None else "BlockBlob"
    if getattr(kind, "value", kind) == "PageBlob":
        _write_pages(client, data, int(properties.size))
    else:
        client.upload_blob(data, overwrite=True, max_single_put_size=len(data) + 1)


def _write_pages(client: Any, data: bytes, size: int) -> None:
    padded = data + b" " * (-len(data) % _PAGE)
    if size < len(padded):
        client.resize_blob(len(padded))
    for offset in range(0, len(padded), _MAX_WRITE_BYTES):
        piece = padded[offset : offset + _MAX_WRITE_BYTES]
        client.upload_page(piece, offset=offset, length=len(piece))
    if size > len(padded):
        client.clear_page(offset=len(padded), length=size - len(padded))
