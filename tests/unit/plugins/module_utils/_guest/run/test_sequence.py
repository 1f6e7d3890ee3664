# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run with fake dependencies and real scripts: order, failure policy, verdicts, leftovers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    documented,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import (
    NOT_THAWED,
    THAWED_EARLY,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.record import (
    RunRecord,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.result import build
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.verdict import judge
from tests.unit.plugins.module_utils._guest.run.fake_run import FakeRun, error

PHASES = ["lock", "validate", "prepare", "quiesce", "flush", "window", "resume", "settle"]


@pytest.fixture(name="fake")
def _fake(tmp_path: Path) -> FakeRun:
    folder = tmp_path / "with space"
    folder.mkdir()
    return FakeRun(folder)


def consistency(record: RunRecord) -> str:
    return judge(record).consistency


def failed(record: RunRecord) -> str | None:
    return record.failure.name if record.failure else None


def holds(record: RunRecord) -> dict[str, bool | None]:
    return {name: one.holds for name, one in judge(record).evidence.items()}


def test_good_run_goes_through_all_phases(fake: FakeRun) -> None:
    record = fake.run()
    assert (consistency(record), failed(record), record.warnings) == ("application", None, [])
    assert [phase.name for phase in record.phases] == PHASES
    assert fake.ran() == ["pre", "post"]
    assert fake.log == [
        "lock",
        "supervisors",  # they fork, so they start before any thread
        "stage prepare",
        "announce",
        "store prepare",
        "stage quiesce",
        "script ended",
        "stage quiesce",
        "stage flush",
        "flush",
        "refresh",  # a store closes connections that were idle for some seconds
        "flush",  # data that was written during the check of the disks
        "verify",
        "stage window",
        "freeze",
        "take",
        "thaw",
        "stage resume",
        "post-script",
        "stop",
        "publish",
        "store close",
        "unlock",
    ]
    assert holds(record) == {
        "scripts_succeeded": True,
        "freeze_off_by_config": False,
        "filesystems_held": True,
        "snapshots_in_window": True,
        "disks_covered": True,
        "window_held": True,
    }


def test_phases_are_in_order_of_time(fake: FakeRun) -> None:
    record = fake.run()
    times = [moment for one in record.phases for moment in (one.started_ns, one.ended_ns)]
    assert times == sorted(times)
    assert times[0] >= record.started_ns


def test_result_of_a_good_run(fake: FakeRun) -> None:
    result = build(fake.run())
    assert set(result) == {
        "consistency",
        "evidence",
        "snapshot_set",
        "started_ns",
        "disks",
        "freeze",
        "scripts",
        "phases",
        "protection",
        "warnings",
        "failure",
    }
    assert result["failure"] is None
    assert result["snapshot_set"]["complete"] is True
    assert result["snapshot_set"]["left_behind"] == ["disk0", "disk1"]
    freeze = result["freeze"]
    assert freeze["window_ms"] >= freeze["frozen_ms"] >= 0
    assert [one["mount_point"] for one in freeze["filesystems"]] == ["/srv/a", "/srv/b"]
    assert {one["outcome"] for one in freeze["filesystems"]} == {"held"}
    for disk in result["disks"]:
        assert disk["in_window"] is True
        assert disk["snapshot"] and "?" not in disk["uri"]
        assert 0 <= disk["requested_ms"] <= disk["acknowledged_ms"]
    assert result["scripts"]["pre"]["rc"] == 0 == result["scripts"]["post"]["rc"]


def test_no_configuration_runs_no_scripts(fake: FakeRun) -> None:
    fake.pre = fake.post = None
    record = fake.run()
    assert (consistency(record), failed(record), record.degraded_by) == ("file-system", None, None)
    assert holds(record)["scripts_succeeded"] is None


def test_unusable_configuration_degrades_to_file_system(fake: FakeRun) -> None:
    fake.state = "unusable"
    fake.findings = (documented("IncorrectJSONConfigFile", "It is not JSON."),)
    record = fake.run()
    assert (consistency(record), failed(record)) == ("file-system", None)
    assert build(record)["failure"]["name"] == "IncorrectJSONConfigFile"
    assert any("IncorrectJSONConfigFile" in text for text in record.warnings)
    assert fake.ran() == []


@pytest.mark.parametrize(
    ("continue_backup", "single_disk", "fs_freeze", "reached", "fails"),
    [
        (True, False, True, "file-system", False),
        (True, True, True, "file-system", False),
        (False, False, True, "none", True),
        (False, True, True, "crash", False),
        (True, False, False, "none", True),
        (True, True, False, "crash", False),
        (False, False, False, "none", True),
        (False, True, False, "crash", False),
    ],
)
@pytest.mark.parametrize("cause", ["untrusted", "pre", "post"])
def test_policy(
    fake: FakeRun,
    cause: str,
    continue_backup: bool,
    single_disk: bool,
    fs_freeze: bool,
    reached: str,
    fails: bool,
) -> None:
    fake.continue_backup, fake.single_disk = continue_backup, single_disk
    fake.fs_freeze = fs_freeze
    name = {"pre": "Pre-ScriptExecutionFailed", "post": "Post-ScriptExecutionFailed"}.get(cause)
    if cause == "untrusted":
        name = "Pre-ScriptNotFound"
        fake.state, fake.findings = "untrusted_scripts", (documented(name, "Not there."),)
    elif cause == "pre":
        fake.pre = "exit 2"
    else:
        fake.post = "exit 2"
    record = fake.run()
    if cause == "post" and fails:
        # The snapshots exist by then, and are kept.
        reached = "file-system" if fs_freeze else "crash"
        assert len(fake.store.snapshots) == 2
    assert consistency(record) == reached
    assert failed(record) == (name if fails else None)
    assert build(record)["failure"]["name"] == name
    assert fake.ran() == ([] if cause == "untrusted" else ["pre", "post"])
    assert bool(fake.store.snapshots) == (reached != "none")
    assert ("freeze" in fake.log) == (
        fs_freeze and (cause == "post" or (continue_backup and not fails))
    )


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_script_that_leaves_processes_warns(fake: FakeRun, kind: str) -> None:
    """Check the warning: the processes may have kept the application paused."""
    setattr(fake, kind, "sleep 1000 > /dev/null 2>&1 &")
    record = fake.run()
    assert consistency(record) == "application"
    (warning,) = record.warnings
    assert f"{kind}-script left processes" in warning


@pytest.mark.slow
def test_script_timeout_degrades(fake: FakeRun) -> None:
    fake.pre, fake.script_fields = "exec sleep 1000", {"timeout_s": 1.0}
    record = fake.run()
    assert record.degraded_by is not None
    assert record.degraded_by.name == "Pre-ScriptTimeout"
    assert record.degraded_by.code == 308
    assert consistency(record) == "file-system"


def test_freeze_off_by_configuration_is_application(fake: FakeRun) -> None:
    fake.fs_freeze = False
    record = fake.run()
    assert (consistency(record), failed(record)) == ("application", None)
    assert holds(record)["freeze_off_by_config"] is True
    assert holds(record)["window_held"] is None
    assert "freeze" not in fake.log and "flush" not in fake.log


def test_freeze_off_without_scripts_is_crash(fake: FakeRun) -> None:
    fake.fs_freeze, fake.pre, fake.post = False, None, None
    fake.state = "ready"
    assert consistency(fake.run()) == "crash"


def test_no_targets_is_crash(fake: FakeRun) -> None:
    fake.targets = ()
    assert consistency(fake.run()) == "crash"


@pytest.mark.parametrize(("covered", "reached"), [(False, "crash"), (None, "application")])
def test_coverage(fake: FakeRun, covered: bool | None, reached: str) -> None:
    fake.covered = covered
    record = fake.run()
    assert consistency(record) == reached
    assert ("bare" in record.warnings) == (covered is False)


def test_coverage_is_checked_again_before_the_freeze(fake: FakeRun) -> None:
    """Check that a mount of the pre-script is noticed."""

    def mount() -> None:
        fake.covered = False

    fake.events["flush"] = mount
    assert consistency(fake.run()) == "crash"


def test_failed_post_script_keeps_the_window_evidence(fake: FakeRun) -> None:
    fake.post, fake.single_disk, fake.continue_backup = "exit 1", True, False
    record = fake.run()
    assert consistency(record) == "crash"
    assert holds(record)["window_held"] is True


def test_failed_thaw_fails_the_run(fake: FakeRun) -> None:
    """Check that the failure names the filesystem that is still frozen."""
    fake.outcome = NOT_THAWED
    record = fake.run()
    assert (failed(record), consistency(record)) == ("ThawFailed", "crash")
    assert "/srv/a" in build(record)["failure"]["message"]
    assert fake.ran() == ["pre", "post"]


def test_foreign_thaw_is_crash(fake: FakeRun) -> None:
    fake.outcome = THAWED_EARLY
    record = fake.run()
    assert (consistency(record), failed(record)) == ("crash", None)
    evidence = judge(record).evidence["filesystems_held"]
    assert evidence.holds is False and "/srv/a" in evidence.words
    assert len(fake.store.snapshots) == 2


@pytest.mark.parametrize("required", ["application", "file-system"])
def test_too_low_consistency_fails_and_keeps(fake: FakeRun, required: str) -> None:
    fake.options["require_consistency"] = required
    fake.outcome = THAWED_EARLY
    record = fake.run()
    assert failed(record) == "ConsistencyTooLow"
    assert build(record)["snapshot_set"]["left_behind"] == ["disk0", "disk1"]
    assert len(fake.store.snapshots) == 2


@pytest.mark.parametrize(
    "what", ["lock", "examine", "check disks", "supervisors", "store prepare", "begin"]
)
def test_error_before_quiesce_changes_nothing(fake: FakeRun, what: str) -> None:
    fake.raises(what, error())
    record = fake.run()
    assert failed(record) == "Broken" and consistency(record) == "none"
    assert fake.ran() == [] and "freeze" not in fake.log and "take" not in fake.log
    assert fake.log[-1] == ("lock" if what == "lock" else "unlock") or what == "lock"
    assert "publish" in fake.log


@pytest.mark.parametrize(
    "what", ["refresh", "flush", "verify", "stage window", "freeze", "take", "thaw"]
)
@pytest.mark.parametrize("kind", ["expected", "defect"])
def test_error_after_quiesce_runs_the_post_script(fake: FakeRun, what: str, kind: str) -> None:
    fake.raises(what, error() if kind == "expected" else ZeroDivisionError("defect"))
    record = fake.run()
    assert failed(record) == ("Broken" if kind == "expected" else "InternalError")
    assert ("ZeroDivisionError" in record.traceback) == (kind == "defect")
    assert fake.ran() == ["pre", "post"]
    assert fake.log[-4:] == ["stop", "publish", "store close", "unlock"]
    if what in ("take", "freeze"):
        assert "thaw" in fake.log


def test_takeover_runs_the_post_script(fake: FakeRun) -> None:
    fake.raises("stage flush", error("RunTakenOver"))
    fake.raises("stage resume", error("RunTakenOver"))
    record = fake.run()
    assert failed(record) == "RunTakenOver" and fake.ran() == ["pre", "post"]


def test_failed_document_keeps_the_verdict(fake: FakeRun) -> None:
    fake.raises("announce", error("NoStatus"))
    fake.raises("publish", error("NoStatus"))
    record = fake.run()
    assert (consistency(record), failed(record)) == ("application", None)
    assert record.warnings == ["It broke."]


REFUSAL = Failure("SnapshotCountExceeded", "There are 100 snapshots.", "Delete some.", 409)


@pytest.mark.parametrize("on_partial", ["discard", "keep"])
def test_refusal_of_one_disk_fails_the_run(fake: FakeRun, on_partial: str) -> None:
    fake.options["on_partial"] = on_partial
    fake.refused["disk1"] = REFUSAL
    record = fake.run()
    assert failed(record) == "SnapshotCountExceeded"
    assert "1 of 2" in str(record.failure)
    result = build(record)
    kept = ["disk0"] if on_partial == "keep" else []
    assert list(fake.store.snapshots) == kept == result["snapshot_set"]["left_behind"]
    assert result["snapshot_set"]["complete"] is False
    assert [disk["snapshot"] is not None for disk in result["disks"]] == [bool(kept), False]
    assert result["consistency"] == "none"


def test_failed_discard_is_reported(fake: FakeRun) -> None:
    fake.refused["disk1"] = REFUSAL
    fake.undeletable["disk0"] = "The SAS does not allow it."
    result = build(fake.run())
    assert result["snapshot_set"]["not_discarded"] == {"disk0": "The SAS does not allow it."}
    assert result["snapshot_set"]["left_behind"] == ["disk0"]
    assert result["disks"][0]["snapshot"] is not None


@pytest.mark.parametrize("on_partial", ["discard", "keep"])
def test_no_answer_with_a_late_snapshot(fake: FakeRun, on_partial: str) -> None:
    fake.options["on_partial"] = on_partial
    fake.unanswered["disk0"] = True
    record = fake.run()
    if on_partial == "discard":
        assert (failed(record), consistency(record)) == ("SnapshotTooLate", "none")
        assert fake.store.snapshots == {}
    else:
        assert (failed(record), consistency(record)) == (None, "crash")
        assert build(record)["failure"]["name"] == "SnapshotTooLate"
        assert [disk["in_window"] for disk in build(record)["disks"]] == [False, True]


@pytest.mark.parametrize("on_partial", ["discard", "keep"])
def test_no_answer_with_a_snapshot_after_resume(fake: FakeRun, on_partial: str) -> None:
    """Check that without a freeze a snapshot after the post-script is late."""
    fake.fs_freeze, fake.options["on_partial"] = False, on_partial
    fake.unanswered["disk0"] = True
    record = fake.run()
    assert fake.ran() == ["pre", "post"]
    if on_partial == "discard":
        assert (failed(record), consistency(record)) == ("SnapshotTooLate", "none")
        assert fake.store.snapshots == {}
    else:
        assert (failed(record), consistency(record)) == (None, "crash")
        assert holds(record)["snapshots_in_window"] is False


def test_no_answer_without_a_snapshot(fake: FakeRun) -> None:
    fake.unanswered["disk0"] = False
    record = fake.run()
    assert failed(record) == "SnapshotFailed"
    assert fake.store.snapshots == {}


def test_slow_freeze_takes_no_snapshot(fake: FakeRun) -> None:
    fake.freeze_timeout_s = 0.05
    fake.events["freeze"] = lambda: time.sleep(0.1)
    record = fake.run()
    assert failed(record) == "FreezeTimeout"
    assert "take" not in fake.log and fake.ran() == ["pre", "post"]
