# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the checks of the other tests: the journal's reader, and the proxy that refuses."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict

import pytest

from tests.contract import evidence
from tests.contract.journal import JournalReader
from tests.contract.outside import Outside
from tests.contract.test_documents import ITEMS, recorded
from tests.contract.wire import Wire
from tests.lab.recovery_services.journal import FOLDER, Journal
from tests.lab.recovery_services.lab import RecoveryServices


def entry(**changes: Any) -> Dict[str, Any]:
    """Return a changed answer of Azure as a journal's entry."""
    exchange = recorded(ITEMS)
    return {
        "method": exchange.method,
        "url": exchange.url,
        "status": exchange.status,
        "request": None,
        "response": exchange.response,
        "headers": {},
        "fault": False,
        "client": "a test",
        **changes,
    }


@evidence.needs_evidence
def test_each_answer_is_judged_once(tmp_path: Path) -> None:
    journal, reader = Journal(tmp_path / "1.jsonl"), JournalReader(tmp_path)
    assert not reader.judge_news().judged
    journal.add(**entry())
    assert not reader.judge_news().problems
    journal.add(**entry(response={"value": [{"colour": "blue"}]}))
    assert reader.judge_news().problems
    assert not reader.judge_news().judged
    assert sum(reader.judgement.judged.values()) == 2


@evidence.needs_evidence
def test_a_fault_that_was_ordered_is_not_judged(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    Journal(tmp_path / "1.jsonl").add(**entry(response="nonsense", fault=True))
    assert not reader.judge_news().problems
    assert reader.faults == 1


@evidence.needs_evidence
def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path, reader = tmp_path / "1.jsonl", JournalReader(tmp_path)
    line = json.dumps(entry(status=206)) + "\n"
    path.write_text(line[:100])
    assert not reader.judge_news().judged
    path.write_text(line)
    assert reader.judge_news().problems


def test_a_server_writes_down_what_it_answers_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with RecoveryServices() as azure:
        scope = f"/subscriptions/{azure.subscription_id}/resourceGroups/{azure.resource_group}"
        url = f"{scope}/providers/Microsoft.RecoveryServices/vaults/vault1?api-version=2025-02-01"
        azure.fault(path="vault1$", status=500, times=1)
        wire = Wire(azure)
        answers = [wire.send("GET", url) for _time in range(2)]
        secret = azure.secret
    (path,) = tmp_path.glob("*.jsonl")
    text = path.read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    assert [one["fault"] for one in entries] == [True, False]
    assert [one["response"] for one in entries] == [answer.response for answer in answers]
    assert secret not in text
    assert "access_token" not in text


def test_whoever_wants_to_leave_the_machine_is_noticed() -> None:
    with Outside() as outside:
        proxies = urllib.request.ProxyHandler({"http": outside.environment["http_proxy"]})
        with pytest.raises(urllib.error.URLError):
            urllib.request.build_opener(proxies).open("http://azure.invalid/x", timeout=10)
    assert outside.wanted == ["GET http://azure.invalid/x HTTP/1.1"]
