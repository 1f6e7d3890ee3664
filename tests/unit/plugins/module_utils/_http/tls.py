# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A server that ends TLS before a plain one, with a certificate of its own authority."""

from __future__ import annotations

import datetime
import select
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Callable, List

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def write_certificate(folder: Path, host: str) -> Path:
    """Write a self-signed certificate for this host; return the file with it and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path = folder / f"{host}.pem"
    path.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
        + certificate.public_bytes(encoding)
    )
    return path


class TlsFront:
    """TLS on a free port of 127.0.0.1, for a plain server on `port`; a context manager."""

    def __init__(self, port: int, certificate: Path) -> None:
        self._behind = ("127.0.0.1", port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._stopping = threading.Event()
        self._threads: List[threading.Thread] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])

    def __enter__(self) -> TlsFront:
        self._start(self._accept)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(10)

    def url(self, address: str, host: str = "localhost") -> str:
        """Return the same address, through this server."""
        rest = address.partition("://")[2].partition("/")[2]
        return f"https://{host}:{self.port}/{rest}"

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _address = self._server.accept()
            except OSError:
                return
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        secure = self._context.wrap_socket
        with (
            suppress(OSError),
            client,
            socket.create_connection(self._behind) as behind,
            secure(client, server_side=True) as secured,
        ):
            while not self._stopping.is_set():
                ready = [behind, secured] if secured.pending() else None
                ready = ready or select.select([secured, behind], [], [], 0.2)[0]
                for source, sink in ((secured, behind), (behind, secured)):
                    if source in ready and not self._pass(source, sink):
                        return

    def _pass(self, source: socket.socket, sink: socket.socket) -> bool:
        if not isinstance(source, ssl.SSLSocket) and not select.select([source], [], [], 0)[0]:
            return True
        data = source.recv(1 << 16)
        sink.sendall(data)
        return bool(data)
