# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status and the log of a run, written to a blob as the VMSnapshot extension writes them.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..._errors import QuiesceError, StoreError
from ..._http.exchange import HttpConnection, tls_context
from .sas import BlobAddress, parse_blob_uri
from .sdk_transport import ServiceRefused, Transport, blob_client, sdk_problem, unexpected

#: A page blob consists of pages of so many bytes.
_PAGE = 512
#: What one request can write to a page blob.
_MOST_PAGES = 4 * 1024 * 1024


def write_document(
    uri: str, data: bytes, limit_s: float = 15.0, what: str = "The document"
) -> None:
    """Write the document, in place of what the blob held, within C(limit_s) seconds.

    A page blob is resized when it is too small, filled up with spaces and cleared from there on; a
    block blob is written by one request, and made when there is no blob yet. Raises
    C(SettingsError) for an address that cannot serve and C(StoreError) for everything else.
    """
    address = parse_blob_uri(uri, what)
    problem = sdk_problem()
    if problem is not None:
        raise StoreError(problem)
    context = tls_context() if address.scheme == "https" else None
    transport = Transport(HttpConnection(address.host, address.port, context))
    transport.within(limit_s)
    try:
        _write(blob_client(uri, transport), data)
    except QuiesceError as error:
        raise _failed(address, what, error) from None
    except Exception as error:
        # The SDK's own errors can hold the address, and that the SAS.
        raise _failed(address, what, StoreError(unexpected(error))) from None
    finally:
        transport.connection.close()


def _failed(address: BlobAddress, what: str, error: QuiesceError) -> StoreError:
    message = f"{what} was not written to {address.shown}: {error.failure.message}"
    return StoreError(replace(error.failure, message=message))


def _write(client: Any, data: bytes) -> None:
    try:
        properties = client.get_blob_properties()
    except ServiceRefused as error:
        # There is no blob yet, or the SAS permits to write and not to read.
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
    for offset in range(0, len(padded), _MOST_PAGES):
        piece = padded[offset : offset + _MOST_PAGES]
        client.upload_page(piece, offset=offset, length=len(piece))
    if size > len(padded):
        client.clear_page(offset=len(padded), length=size - len(padded))
