# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the state of a VM's task."""

from __future__ import annotations

from typing import Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.errors import VaultError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import Failure
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.jobs.poller import (
    JobOutcome,
    PendingJob,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection.plan import (
    DesiredState,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection.vm_task import (
    Effect,
    Phase,
    VmTask,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.jobs import Job
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.protected_items import (
    ProtectedItem,
)
from tests.unit.plugins.module_utils.fakes import START

DB01 = VmId("s", "app-rg", "db01")
POLICY = "/vaults/v1/backupPolicies/Gold"
ITEM = ProtectedItem(DB01, "c", "i", "Protected", POLICY, "Gold")
PROTECT = DesiredState("protected", POLICY)


def refusal(kind: str, status: int = 409, is_doubtful: bool = False) -> VaultError:
    error = VaultError(Failure("Refused", "No.", http_status=status), kind)
    error.is_doubtful = is_doubtful
    return error


def refuse(task: VmTask, error: VaultError, wait: bool = True) -> None:
    task.refuse(error, error.failure, wait)


def outcome(status: str, failure: Optional[Failure] = None) -> JobOutcome:
    job = Job("j", "ConfigureBackup", status, "db01", "app-rg;db01") if status else None
    return JobOutcome(PendingJob(DB01, "ConfigureBackup", START), job, failure)


def test_planned_unreachable_state_has_failed() -> None:
    task = VmTask.planned(DesiredState("stopped"), DB01, None)
    assert task.phase is Phase.FAILED and task.failure and task.failure.name == "NotProtected"
    assert task.failure.vm == DB01.id
    assert task.failure.message.startswith("VM db01 is not protected")
    assert task.failure.recommended_action
    assert not task.is_ready and task.actions == () and not task.changed


def test_planned_takes_the_vaults_name_of_the_vm() -> None:
    given = VmId("s", "APP-RG", "DB01")
    assert VmTask.planned(PROTECT, given, ITEM).vm is ITEM.vm
    assert VmTask.planned(PROTECT, given, None).vm is given


def test_accept_moves_the_step_to_done() -> None:
    task = VmTask.planned(PROTECT, DB01, None)
    assert task.is_ready and not task.needs_confirmation
    task.discover(DB01, True)
    assert task.actions == ("discover", "protect")
    task.accept()
    assert not task.is_ready and task.needs_confirmation and task.changed
    assert task.actions == ("discover", "protect")


@pytest.mark.parametrize(
    ("error", "item", "wait", "phase"),
    [
        (refusal("conflict"), None, True, Phase.BLOCKED),
        (refusal("conflict"), None, False, Phase.FAILED),
        (refusal("not_found", 404), ITEM, True, Phase.BLOCKED),
        (refusal("not_found", 404), None, True, Phase.FAILED),
        (refusal("request", 400), None, True, Phase.REFUSED),
        (refusal("request", 400), None, False, Phase.FAILED),
        (refusal("request", 400, True), None, False, Phase.REFUSED),
        (refusal("authorization", 403, True), None, True, Phase.FAILED),
    ],
)
def test_refuse_sets_the_phase(
    error: VaultError, item: Optional[ProtectedItem], wait: bool, phase: Phase
) -> None:
    task = VmTask.planned(DesiredState("protected", f"{POLICY}2"), DB01, item)
    refuse(task, error, wait)
    assert task.phase is phase and task.failure is not None
    assert task.has_failed is (phase is not Phase.BLOCKED)
    assert not task.is_ready


@pytest.mark.parametrize(("kind", "status", "most"), [("conflict", 409, 12), ("not_found", 404, 3)])
def test_refuse_too_often_fails(kind: str, status: int, most: int) -> None:
    task = VmTask.planned(DesiredState("absent"), DB01, ITEM)
    for _count in range(most - 1):
        refuse(task, refusal(kind, status))
        assert task.phase is Phase.BLOCKED
        task.replan(DesiredState("absent"), ITEM)
        assert task.is_ready and task.failure is None
    refuse(task, refusal(kind, status))
    assert task.phase is Phase.FAILED


def test_confirmed_conflict_is_retried_again() -> None:
    task = VmTask.planned(DesiredState("absent"), DB01, ITEM)
    for _count in range(30):
        refuse(task, refusal("conflict"))
        task.confirm_conflict()
        assert task.phase is Phase.BLOCKED


def test_replan_without_policy_fails() -> None:
    task = VmTask.planned(DesiredState("protected"), DB01, ITEM)
    task.replan(DesiredState("protected"), None)
    assert task.phase is Phase.FAILED and task.failure
    assert task.failure.name == "PolicyRequired"
    assert task.item is None


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("listed", [None, ITEM])
def test_refused_without_accepted_step(is_lost: bool, listed: Optional[ProtectedItem]) -> None:
    task = VmTask.planned(PROTECT, DB01, None)
    refuse(task, refusal("request", 400, is_lost))
    assert task.needs_confirmation and task.may_be_done is is_lost
    # Without a list since a lost response, the VM may have changed.
    assert task.changed is is_lost
    task.confirm(listed)
    assert task.changed is (is_lost and listed is not None)
    task.drop_refusal()
    assert not task.has_failed and task.failure is None and task.actions == ()


def test_list_from_before_the_request_is_no_proof() -> None:
    task = VmTask.planned(PROTECT, DB01, None)
    refuse(task, refusal("conflict"))
    task.replan(PROTECT, None)
    assert not task.changed
    refuse(task, refusal("request", 400, True))
    assert task.changed
    task.confirm(None)
    assert not task.changed


def test_failed_job_after_a_second_plan_may_have_changed_the_vm() -> None:
    task = VmTask.planned(PROTECT, DB01, None)
    refuse(task, refusal("conflict"))
    task.replan(PROTECT, None)
    task.accept()
    task.end_job(outcome("Failed"), Failure("JobFailed", "No."))
    assert task.changed
    task.confirm(None)
    assert not task.changed


def test_failed_job_is_no_change_if_the_list_is_the_same() -> None:
    task = VmTask.planned(PROTECT, DB01, None)
    task.accept()
    task.end_job(outcome("Failed"), Failure("JobFailed", "No."))
    assert task.phase is Phase.FAILED and not task.is_job_running and task.job_ids == ["j"]
    assert task.changed
    task.confirm(None)
    assert not task.changed
    task.confirm(ITEM)
    assert task.changed


@pytest.mark.parametrize("status", ["InProgress", ""])
def test_job_without_an_end_may_still_run(status: str) -> None:
    task = VmTask.planned(PROTECT, DB01, None)
    task.accept()
    task.end_job(outcome(status), Failure("OperationTimedOut", "Late."))
    task.confirm(None)
    assert task.effect is Effect.JOB_RUNNING and task.has_failed and task.changed
    assert task.job_ids == (["j"] if status else [])


def test_job_left_running_is_no_failure() -> None:
    task = VmTask.planned(PROTECT, DB01, None)
    task.accept()
    task.leave_job(outcome("", Failure("OperationTimedOut", "No job was found.")))
    assert task.is_job_running and not task.has_failed and task.changed
    assert task.warnings == ["No job was found."]
