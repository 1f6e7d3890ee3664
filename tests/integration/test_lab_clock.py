# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clock of the lab's Azure moves by what modules wait, so that no test can lose a race."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict

import pytest

from tests.integration.vault_faults import wait_for
from tests.lab.module_run import run_module, start_module
from tests.lab.recovery_services.lab import RecoveryServices


@pytest.fixture(name="azure")
def _azure(recovery_services: RecoveryServices) -> RecoveryServices:
    """A vault that protects a VM."""
    recovery_services.change(add_item={"vault": "vault1", "vm": "db01"})
    return recovery_services


def back_up(azure: RecoveryServices, **options: Any) -> Dict[str, Any]:
    """Return the options of a backup of the VM."""
    return {**azure.options(), "vm": "app-rg/db01", **options}


def moment(azure: RecoveryServices) -> datetime:
    """Return the service's time."""
    return datetime.fromisoformat(azure.now()[:19])


def test_waiting_hours_takes_lab_time_only(
    azure: RecoveryServices,
) -> None:
    azure.run_at(1.0)
    azure.next_backup("db01", duration_s=2 * 3600)
    before = moment(azure)
    # A module that slept would be killed.
    done = run_module("vm_backup", back_up(azure), limit_s=600)
    assert not done.failed and done["vms"][0]["status"] == "Completed", done.stdout
    # Its last pause was a minute at most.
    assert 2 * 3600 <= (moment(azure) - before).total_seconds() < 2 * 3600 + 120


def test_the_timeout_of_a_module_is_of_that_time_too(azure: RecoveryServices) -> None:
    azure.run_at(1.0)
    azure.next_backup("db01", never_ends=True)
    before = moment(azure)
    done = run_module("vm_backup", back_up(azure, timeout=2 * 3600), limit_s=600)
    assert done.failed and done["failure"]["name"] == "OperationTimedOut"
    assert (moment(azure) - before).total_seconds() == pytest.approx(2 * 3600, abs=2)


def test_the_clock_stands_while_a_test_looks(azure: RecoveryServices) -> None:
    azure.next_backup("db01", duration_s=1.5)
    done = run_module("vm_backup", back_up(azure, wait=False))
    assert not done.failed, done.stdout
    now = azure.now()
    for _look in range(50):
        (job,) = azure.state()["vaults"]["vault1"]["jobs"]
        assert job["properties"]["status"] == "InProgress"
    assert azure.now() == now
    azure.advance(2)
    (job,) = azure.state()["vaults"]["vault1"]["jobs"]
    assert job["properties"]["status"] == "Completed"


def test_a_clock_that_is_held_moves_by_what_a_test_advances_it(azure: RecoveryServices) -> None:
    azure.hold()
    azure.next_backup("db01", duration_s=3600)
    now = azure.now()
    process = start_module("vm_backup", back_up(azure, poll_interval=0.1))

    def looks() -> int:
        return sum("/backupJobs/" in one.path for one in azure.requests())

    wait_for(lambda: looks() >= 3)
    assert azure.now() == now
    azure.advance(3600)
    done = process.finish(600)
    assert not done.failed and done["vms"][0]["status"] == "Completed", done.stdout
