# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run with chosen parts: order, failure policy, verdicts, what is left. Scripts are real."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Dict, Optional

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
from tests.unit.plugins.module_utils._guest.run.stage import Stage, error

PHASES = ["lock", "validate", "prepare", "quiesce", "flush", "window", "resume", "settle"]


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Stage:
    folder = tmp_path / "with space"
    folder.mkdir()
    return Stage(folder)


def consistency(record: RunRecord) -> str:
    return judge(record).consistency


def failed(record: RunRecord) -> Optional[str]:
    return record.failure.name if record.failure else None


def holds(record: RunRecord) -> Dict[str, Optional[bool]]:
    return {name: one.holds for name, one in judge(record).evidence.items()}


def test_all_is_well(stage: Stage) -> None:
    record = stage.run()
    assert (consistency(record), failed(record), record.warnings) == ("application", None, [])
    assert [phase.name for phase in record.phases] == PHASES
    assert stage.ran() == ["pre", "post"]
    assert stage.log == [
        "lock",
        "supervisors",  # they fork, so they come before whatever has threads
        "stage prepare",
        "announce",
        "store prepare",
        "stage quiesce",
        "script ended",
        "stage quiesce",
        "stage flush",
        "flush",
        "refresh",  # a store closes connections that were idle for some seconds
        "flush",  # what was written while the disks were looked at
        "verify",
        "stage window",
        "freeze",
        "take",
        "thaw",
        "stage resume",
        "pay",
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


def test_phases_follow_each_other_in_time(stage: Stage) -> None:
    record = stage.run()
    times = [moment for one in record.phases for moment in (one.started_ns, one.ended_ns)]
    assert times == sorted(times)
    assert times[0] >= record.started_ns


def test_result_of_a_good_run(stage: Stage) -> None:
    result = build(stage.run())
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


def test_no_configuration_means_no_scripts_and_no_error(stage: Stage) -> None:
    stage.pre = stage.post = None
    record = stage.run()
    assert (consistency(record), failed(record), record.degraded_by) == ("file-system", None, None)
    assert holds(record)["scripts_succeeded"] is None


def test_an_unusable_configuration_means_file_system_at_best(stage: Stage) -> None:
    stage.state = "unusable"
    stage.findings = (documented("IncorrectJSONConfigFile", "It is no JSON."),)
    record = stage.run()
    assert (consistency(record), failed(record)) == ("file-system", None)
    assert build(record)["failure"]["name"] == "IncorrectJSONConfigFile"
    assert any("IncorrectJSONConfigFile" in text for text in record.warnings)
    assert stage.ran() == []


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
@pytest.mark.parametrize("how", ["untrusted", "pre", "post"])
def test_policy(
    stage: Stage,
    how: str,
    continue_backup: bool,
    single_disk: bool,
    fs_freeze: bool,
    reached: str,
    fails: bool,
) -> None:
    stage.continue_backup, stage.single_disk = continue_backup, single_disk
    stage.fs_freeze = fs_freeze
    name = {"pre": "Pre-ScriptExecutionFailed", "post": "Post-ScriptExecutionFailed"}.get(how)
    if how == "untrusted":
        name = "Pre-ScriptNotFound"
        stage.state, stage.findings = "untrusted_scripts", (documented(name, "Not there."),)
    elif how == "pre":
        stage.pre = "exit 2"
    else:
        stage.post = "exit 2"
    record = stage.run()
    if how == "post" and fails:
        # The snapshots exist by then, and are kept.
        reached = "file-system" if fs_freeze else "crash"
        assert len(stage.store.snapshots) == 2
    assert consistency(record) == reached
    assert failed(record) == (name if fails else None)
    assert build(record)["failure"]["name"] == name
    assert stage.ran() == ([] if how == "untrusted" else ["pre", "post"])
    assert bool(stage.store.snapshots) == (reached != "none")
    assert ("freeze" in stage.log) == (
        fs_freeze and (how == "post" or (continue_backup and not fails))
    )


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_a_script_that_leaves_processes(stage: Stage, kind: str) -> None:
    """Whether they were to keep the application at rest, nobody knows: people are told."""
    setattr(stage, kind, "sleep 1000 > /dev/null 2>&1 &")
    record = stage.run()
    assert consistency(record) == "application"
    (warning,) = record.warnings
    assert f"{kind}-script left processes" in warning


@pytest.mark.slow
def test_a_script_that_times_out(stage: Stage) -> None:
    stage.pre, stage.script_fields = "exec sleep 1000", {"timeout_s": 1.0}
    record = stage.run()
    assert record.degraded_by is not None
    assert record.degraded_by.name == "Pre-ScriptTimeout"
    assert record.degraded_by.code == 308
    assert consistency(record) == "file-system"


def test_freeze_off_by_configuration(stage: Stage) -> None:
    stage.fs_freeze = False
    record = stage.run()
    assert (consistency(record), failed(record)) == ("application", None)
    assert holds(record)["freeze_off_by_config"] is True
    assert holds(record)["window_held"] is None
    assert "freeze" not in stage.log and "flush" not in stage.log


def test_freeze_off_and_no_scripts_is_a_crash(stage: Stage) -> None:
    stage.fs_freeze, stage.pre, stage.post = False, None, None
    stage.state = "ready"
    assert consistency(stage.run()) == "crash"


def test_nothing_to_freeze_is_a_crash(stage: Stage) -> None:
    stage.targets = ()
    assert consistency(stage.run()) == "crash"


@pytest.mark.parametrize(("covered", "reached"), [(False, "crash"), (None, "application")])
def test_coverage(stage: Stage, covered: Optional[bool], reached: str) -> None:
    stage.covered = covered
    record = stage.run()
    assert consistency(record) == reached
    assert ("bare" in record.warnings) == (covered is False)


def test_coverage_is_looked_at_again_just_before_the_freeze(stage: Stage) -> None:
    """A pre-script may mount what the plan did not know."""

    def mount() -> None:
        stage.covered = False

    stage.events["flush"] = mount
    assert consistency(stage.run()) == "crash"


def test_a_failed_post_script_does_not_hide_that_the_window_held(stage: Stage) -> None:
    stage.post, stage.single_disk, stage.continue_backup = "exit 1", True, False
    record = stage.run()
    assert consistency(record) == "crash"
    assert holds(record)["window_held"] is True


def test_what_could_not_be_thawed_fails_the_run(stage: Stage) -> None:
    """Nothing is worse news than a filesystem that is still frozen."""
    stage.outcome = NOT_THAWED
    record = stage.run()
    assert (failed(record), consistency(record)) == ("ThawFailed", "crash")
    assert "/srv/a" in build(record)["failure"]["message"]
    assert stage.ran() == ["pre", "post"]


def test_a_foreign_thaw_is_a_crash(stage: Stage) -> None:
    stage.outcome = THAWED_EARLY
    record = stage.run()
    assert (consistency(record), failed(record)) == ("crash", None)
    evidence = judge(record).evidence["filesystems_held"]
    assert evidence.holds is False and "/srv/a" in evidence.words
    assert len(stage.store.snapshots) == 2


@pytest.mark.parametrize("required", ["application", "file-system"])
def test_less_than_required_fails_and_keeps(stage: Stage, required: str) -> None:
    stage.options["require_consistency"] = required
    stage.outcome = THAWED_EARLY
    record = stage.run()
    assert failed(record) == "ConsistencyTooLow"
    assert build(record)["snapshot_set"]["left_behind"] == ["disk0", "disk1"]
    assert len(stage.store.snapshots) == 2


@pytest.mark.parametrize(
    "what", ["lock", "examine", "check disks", "supervisors", "store prepare", "begin"]
)
def test_before_quiesce_nothing_is_touched(stage: Stage, what: str) -> None:
    stage.raises(what, error())
    record = stage.run()
    assert failed(record) == "Broken" and consistency(record) == "none"
    assert stage.ran() == [] and "freeze" not in stage.log and "take" not in stage.log
    assert stage.log[-1] == ("lock" if what == "lock" else "unlock") or what == "lock"
    assert "publish" in stage.log


@pytest.mark.parametrize(
    "what", ["refresh", "flush", "verify", "stage window", "freeze", "take", "thaw"]
)
@pytest.mark.parametrize("kind", ["expected", "mistake"])
def test_from_quiesce_on_the_post_script_always_runs(stage: Stage, what: str, kind: str) -> None:
    stage.raises(what, error() if kind == "expected" else ZeroDivisionError("ours"))
    record = stage.run()
    assert failed(record) == ("Broken" if kind == "expected" else "InternalError")
    assert ("ZeroDivisionError" in record.traceback) == (kind == "mistake")
    assert stage.ran() == ["pre", "post"]
    assert stage.log[-4:] == ["stop", "publish", "store close", "unlock"]
    if what in ("take", "freeze"):
        assert "thaw" in stage.log


def test_the_post_script_runs_when_a_supervisor_says_it_took_over(stage: Stage) -> None:
    stage.raises("stage flush", error("RunTakenOver"))
    stage.raises("stage resume", error("RunTakenOver"))
    record = stage.run()
    assert failed(record) == "RunTakenOver" and stage.ran() == ["pre", "post"]


def test_a_failed_document_never_hides_the_verdict(stage: Stage) -> None:
    stage.raises("announce", error("NoStatus"))
    stage.raises("publish", error("NoStatus"))
    record = stage.run()
    assert (consistency(record), failed(record)) == ("application", None)
    assert record.warnings == ["It broke."]


REFUSAL = Failure("SnapshotCountExceeded", "There are 100 snapshots.", "Delete some.", 409)


@pytest.mark.parametrize("on_partial", ["discard", "keep"])
def test_one_disk_refused(stage: Stage, on_partial: str) -> None:
    stage.options["on_partial"] = on_partial
    stage.refused["disk1"] = REFUSAL
    record = stage.run()
    assert failed(record) == "SnapshotCountExceeded"
    assert "1 of 2" in str(record.failure)
    result = build(record)
    kept = ["disk0"] if on_partial == "keep" else []
    assert list(stage.store.snapshots) == kept == result["snapshot_set"]["left_behind"]
    assert result["snapshot_set"]["complete"] is False
    assert [disk["snapshot"] is not None for disk in result["disks"]] == [bool(kept), False]
    assert result["consistency"] == "none"


def test_what_could_not_be_discarded_is_said(stage: Stage) -> None:
    stage.refused["disk1"] = REFUSAL
    stage.undeletable["disk0"] = "The SAS does not allow it."
    result = build(stage.run())
    assert result["snapshot_set"]["not_discarded"] == {"disk0": "The SAS does not allow it."}
    assert result["snapshot_set"]["left_behind"] == ["disk0"]
    assert result["disks"][0]["snapshot"] is not None


@pytest.mark.parametrize("on_partial", ["discard", "keep"])
def test_no_answer_and_a_snapshot_after_all(stage: Stage, on_partial: str) -> None:
    stage.options["on_partial"] = on_partial
    stage.unanswered["disk0"] = True
    record = stage.run()
    if on_partial == "discard":
        assert (failed(record), consistency(record)) == ("SnapshotTooLate", "none")
        assert stage.store.snapshots == {}
    else:
        assert (failed(record), consistency(record)) == (None, "crash")
        assert build(record)["failure"]["name"] == "SnapshotTooLate"
        assert [disk["in_window"] for disk in build(record)["disks"]] == [False, True]


@pytest.mark.parametrize("on_partial", ["discard", "keep"])
def test_no_answer_and_a_snapshot_of_the_resumed_application(stage: Stage, on_partial: str) -> None:
    """Without a freeze the pause that the scripts make is all there is."""
    stage.fs_freeze, stage.options["on_partial"] = False, on_partial
    stage.unanswered["disk0"] = True
    record = stage.run()
    assert stage.ran() == ["pre", "post"]
    if on_partial == "discard":
        assert (failed(record), consistency(record)) == ("SnapshotTooLate", "none")
        assert stage.store.snapshots == {}
    else:
        assert (failed(record), consistency(record)) == (None, "crash")
        assert holds(record)["snapshots_in_window"] is False


def test_no_answer_and_no_snapshot(stage: Stage) -> None:
    stage.unanswered["disk0"] = False
    record = stage.run()
    assert failed(record) == "SnapshotFailed"
    assert stage.store.snapshots == {}


def test_no_snapshot_when_freezing_took_all_the_time(stage: Stage) -> None:
    stage.freeze_timeout_s = 0.05
    stage.events["freeze"] = lambda: time.sleep(0.1)
    record = stage.run()
    assert failed(record) == "FreezeTimeout"
    assert "take" not in stage.log and stage.ran() == ["pre", "post"]
