# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test failures of TLS: before a request, which never arrives, and after it, which is unknown."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from typing import List

import pytest

from tests.integration.test_vault_client import (
    Rig,
    failure,
    operation,
    protect,
    read,
)
from tests.integration.vault_faults import add_vms, back_up, by_name, jobs
from tests.integration.vault_faults import protect as run_protect
from tests.lab.recovery_services.lab import RecoveryServices


@pytest.fixture(name="rig")
def _rig(recovery_services: RecoveryServices) -> Rig:
    return Rig(recovery_services)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_may_be_sent_twice_is(rig: Rig, method: str) -> None:
    connection = rig.connect()
    protect(rig, connection)
    rig.azure.fault(method=method, path="protectedItems", kind="tls")
    assert operation(connection, method)().status == 202
    assert sum(one.method == method for one in rig.azure.requests()) == 2


def test_what_may_have_been_done_is_doubtful_and_of_one_vm(rig: Rig) -> None:
    connection = rig.connect()
    protect(rig, connection)
    rig.azure.fault(method="PUT", path="protectedItems", kind="tls", after=True, times=99)
    error = failure(operation(connection, "PUT"))
    assert error.failure.name == "ConnectionBroken" and error.failure.vm.endswith("/db01")
    assert error.is_doubtful and not error.is_wide


def test_a_backup_that_may_have_begun_is_not_begun_again(rig: Rig) -> None:
    connection = rig.connect()
    protect(rig, connection)
    rig.azure.fault(method="POST", path="/backup$", kind="tls", after=True)
    error = failure(operation(connection, "POST"))
    assert error.failure.name == "ConnectionBroken" and error.is_doubtful and not error.is_wide
    assert sum(one.method == "POST" for one in rig.azure.requests()) == 1


def test_a_handshake_that_fails_concerns_every_request(rig: Rig) -> None:
    hellos: List[bytes] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer() -> None:
            while True:
                try:
                    one, _address = listener.accept()
                except OSError:
                    return
                with closing(one):
                    hellos.append(one.recv(4096))
                    one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        connection = rig.connect(resource_manager_endpoint=address)
        error = failure(lambda: read(connection))
        listener.shutdown(socket.SHUT_RDWR)
    assert error.failure.name == "TlsFailed" and error.is_wide
    assert len(hellos) == 1 and rig.clock.slept == []


def test_one_vms_broken_answers_leave_the_others_alone(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    names = [f"vm{number}" for number in range(12)]
    add_vms(azure, names, "protected")
    azure.fault(method="POST", path=";vm0/backup$", kind="tls")
    for name in names:
        azure.next_backup(name, duration_s=60)
    done = back_up(azure, *names)
    assert {name for name, vm in by_name(done).items() if vm["failure"]} == {"vm0"}
    assert sorted(jobs(azure, "Backup").values()) == sorted(names[1:])


def test_a_vm_whose_answers_all_break_is_protected_all_the_same(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    add_vms(azure, ["one", "two"])
    azure.fault(method="PUT", path=";one$", kind="tls", after=True, times=5)
    done = run_protect(azure, "one", "two")
    told = by_name(done)
    assert told["two"]["failure"] is None
    assert told["one"]["changed"] is True and told["one"]["state"] == "protected"
