# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules say of the jobs of Azure's answers what is in them.

The answers are those of the recordings, and some made by hand, which are there without them too.
What is expected is read off the answer here, by other code than the modules'.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Set, Tuple

import pytest

from tests.contract.evidence import Exchange
from tests.contract.served import ERRORS, Served, Source, sources, time_of

JOB = "/backupJobs/[0-9a-f-]{36}"
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")


def _seconds(duration: str) -> float:
    found = _DURATION.fullmatch(duration)
    assert found, duration
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _jobs(source: Source) -> Dict[str, List[Exchange]]:
    """Return what each job of a VM was like, from its first look to its last."""
    found: Dict[str, List[Exchange]] = {}
    for one in source.answers(JOB):
        if one.response["properties"]["jobType"] == "AzureIaaSVMJob":
            found.setdefault(one.response["name"], []).append(one)
    return found


def _check_job(reported: Mapping[str, Any], exchange: Exchange) -> None:
    of = exchange.response["properties"]
    where = exchange.where
    assert reported["job_id"] == exchange.response["name"], where
    assert reported["operation"] == of["operation"], where
    assert reported["status"] == of["status"], where
    assert reported["vm"] == of["entityFriendlyName"], where
    assert reported["duration_s"] == pytest.approx(_seconds(of["duration"]), abs=0.001), where
    assert time_of(reported["start_time"]) == time_of(of["startTime"]), where
    assert time_of(reported["end_time"]) == time_of(of.get("endTime")), where
    if of["status"] not in ("InProgress", "Cancelling"):
        assert reported["cancellable"] is False, where
    details = of.get("errorDetails")
    if not details:
        assert reported["error"] is None, where
    else:
        assert reported["error"]["code"] == details[0]["errorCode"], where
        assert reported["error"]["name"] == details[0].get("errorTitle"), where
        assert reported["error"]["message"] == details[0]["errorString"], where
        assert reported["error"]["recommendations"] == details[0]["recommendations"], where
    more = of.get("extendedInfo") or {}
    assert reported["percent"] == more.get("progressPercentage"), where
    tasks = [(task["name"], task["status"]) for task in reported["tasks"] or ()]
    assert tasks == [(one["taskId"], one["status"]) for one in more.get("tasksList") or ()], where
    assert (reported["properties"] or {}) == (more.get("propertyBag") or {}), where


@pytest.mark.parametrize("source", sources(JOB, [ERRORS]))
def test_jobs_are_told_as_they_are(source: Source, served: Served) -> None:
    """State, times, steps, sizes and errors of every job, at its first look and at its last."""
    jobs = _jobs(source)
    first = {job_id: seen[0] for job_id, seen in jobs.items()}
    last = {job_id: seen[-1] for job_id, seen in jobs.items()}
    for looks in [last] if first == last else [first, last]:
        one = next(iter(looks.values()))
        nothing = replace(one, url=one.path.rpartition("/")[0], response={"value": []})
        served.only(nothing, *looks.values())
        done = served.run("backup_job_info", one, job_ids=list(looks))
        assert not done.failed, done.result
        assert [reported["job_id"] for reported in done["jobs"]] == list(looks)
        for reported in done["jobs"]:
            _check_job(reported, looks[reported["job_id"]])


@pytest.mark.parametrize("source", sources("/backupJobs"))
def test_a_list_of_jobs_is_told_as_it_is(source: Source, served: Served) -> None:
    """Newest first, with the states and times of the list."""
    for listed in source.answers("/backupJobs"):
        expected = {one["name"]: one["properties"] for one in listed.response["value"]}
        days = sorted(of["startTime"][:10] for of in expected.values())
        served.only(listed)
        done = served.run("backup_job_info", listed, started_after=days[0], started_before=days[-1])
        assert not done.failed, (listed.where, done.result)
        times = [reported["start_time"] for reported in done["jobs"]]
        assert times == sorted(times, reverse=True)
        assert {reported["job_id"] for reported in done["jobs"]} == set(expected), listed.where
        for reported in done["jobs"]:
            of = expected[reported["job_id"]]
            assert (reported["operation"], reported["status"]) == (of["operation"], of["status"])
            assert reported["duration_s"] == pytest.approx(_seconds(of["duration"]), abs=0.001)


@pytest.mark.parametrize("source", sources(JOB, [ERRORS]))
def test_a_job_is_followed_to_its_end(source: Source, served: Served) -> None:
    """Check that only a job that Azure reports as completed is a success."""
    kinds: Set[Tuple[str, str]] = set()
    for job_id, seen in _jobs(source).items():
        operation, status = (
            seen[-1].response["properties"][key] for key in ("operation", "status")
        )
        ended = ("Completed", "CompletedWithWarnings", "Failed", "Cancelled")
        if status not in ended or (operation, status) in kinds:
            continue
        kinds.add((operation, status))
        served.only()
        running = [one for one in seen if one.response["properties"]["status"] == "InProgress"]
        looks = [*running[:1], *running[-1:]] if len(running) > 1 else running
        for look in looks:
            served.then(look, 1)
        served.then(seen[-1])
        done = served.run(
            "backup_job", seen[-1], state="finished", job_id=job_id, poll_interval=0.1
        )
        assert done.failed is (status in ("Failed", "Cancelled")), (seen[-1].where, done.result)
        _check_job(done["job"], seen[-1])
        assert served.asked() == [f"GET {job_id}"] * (len(looks) + 1), seen[-1].where
        if done.failed:
            details = (seen[-1].response["properties"].get("errorDetails") or [{}])[0]
            assert done["failure"]["name"] == details.get("errorTitle", done["failure"]["name"])
            assert done["failure"]["code"] == details.get("errorCode", done["failure"]["code"])
            assert done["failure"]["recommended_action"], seen[-1].where
