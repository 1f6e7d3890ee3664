# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the parser and writer of the configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.config import (
    ScriptConfig,
    ScriptSettings,
    parse,
    render,
)

GOOD: dict[str, Any] = {
    "pluginName": "ScriptRunner",
    "preScriptLocation": "/etc/azure/pre.sh",
    "postScriptLocation": "/etc/azure/post.sh",
    "preScriptParams": ["a b", ""],
    "postScriptParams": [],
    "preScriptNoOfRetries": 1,
    "postScriptNoOfRetries": 2,
    "timeoutInSeconds": 45,
    "continueBackupOnFailure": False,
    "fsFreezeEnabled": False,
}


def encoded(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_parse_reads_all_values() -> None:
    parsed = parse(encoded())
    assert (parsed.errors, parsed.warnings) == ((), ())
    assert parsed.config == ScriptConfig(
        pre=ScriptSettings("/etc/azure/pre.sh", ("a b", ""), 1),
        post=ScriptSettings("/etc/azure/post.sh", (), 2),
        timeout_in_seconds=45,
        continue_backup_on_failure=False,
        fs_freeze_enabled=False,
    )


def test_parse_missing_keys_get_agents_defaults() -> None:
    parsed = parse(b'{"preScriptLocation": "/a", "postScriptLocation": "/b"}')
    pre, post = ScriptSettings("/a", (), 0), ScriptSettings("/b", (), 0)
    assert parsed.config == ScriptConfig(pre, post, 10, True, True)
    assert any("timeoutInSeconds is missing" in warning for warning in parsed.warnings)


@pytest.mark.parametrize("timeout", [1, 1800])
def test_parse_timeout_bounds_are_accepted(timeout: int) -> None:
    parsed = parse(encoded(timeoutInSeconds=timeout))
    assert parsed.config is not None and parsed.config.timeout_in_seconds == timeout


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"pre=/a", "it is not JSON"),
        (encoded()[:-1] + b",}", "it is not JSON"),
        (encoded()[:-1], "it is not JSON"),
        (b"\xef\xbb\xbf" + encoded(), "byte order mark"),
        (encoded().decode().encode("utf-16"), "not text in UTF-8"),
        (encoded().decode().encode("utf-16-le"), "it is not JSON"),
        (encoded().replace(b"pre.sh", b"pr\xe9.sh"), "not text in UTF-8"),
        (b"[" * 100000, "it is nested too deeply"),
        (b"[" + encoded() + b"]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"{}", "preScriptLocation is missing"),
    ],
)
def test_parse_unreadable_content_is_error(data: bytes, words: str) -> None:
    parsed = parse(data)
    assert parsed.config is None
    assert {error.name for error in parsed.errors} == {"IncorrectJSONConfigFile"}
    assert words in parsed.errors[0].message
    assert parsed.errors[0].recommended_action


WRONG: dict[str, Any] = {
    "pluginName": [30, None, False, ["x"]],
    "preScriptLocation": [30, None, False, 2.5, ["/a"], {}, "/a\0b"],
    "postScriptLocation": [-1, None, True, 2.5],
    "preScriptParams": ["x", None, False, 2.5, -1, {}, ["x", 1], [None], ["a\0"], ["\ud800"]],
    "postScriptParams": ["30", None, 2.5, [["x"]]],
    "preScriptNoOfRetries": ["30", None, False, True, 2.5, 3.0, -1, []],
    "postScriptNoOfRetries": ["false", None, True, 2.5, -1],
    "timeoutInSeconds": ["30", "false", None, False, True, 2.5, 30.0, -1, 0, 1801, 10**30, []],
    "continueBackupOnFailure": ["false", "true", "30", None, 2.5, -1, 0, 1, []],
    "fsFreezeEnabled": ["false", None, 2.5, -1, 0, 1],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values]
)
def test_parse_invalid_value_is_error(key: str, value: Any) -> None:
    parsed = parse(encoded(**{key: value}))
    assert parsed.config is None
    (error,) = parsed.errors
    assert error.name == "IncorrectJSONConfigFile"
    assert error.message.startswith(f"{key} must ")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e400"])
def test_parse_non_finite_number_is_error(number: bytes) -> None:
    parsed = parse(encoded(timeoutInSeconds=7).replace(b": 7,", b": " + number + b","))
    assert [error.name for error in parsed.errors] == ["IncorrectJSONConfigFile"]


def test_parse_reports_all_errors() -> None:
    parsed = parse(encoded(timeoutInSeconds="30", fsFreezeEnabled="false", preScriptLocation=None))
    assert sorted(error.message.split()[0] for error in parsed.errors) == [
        "fsFreezeEnabled",
        "preScriptLocation",
        "timeoutInSeconds",
    ]


def test_parse_unknown_and_duplicate_keys_warn() -> None:
    parsed = parse(encoded(timeoutInSecond=5, appName="x", pluginName="Other"))
    assert parsed.config is not None and parsed.config.timeout_in_seconds == 45
    assert len(parsed.warnings) == 2
    assert '"timeoutInSecond"' in parsed.warnings[0]
    assert "pluginName differs" in parsed.warnings[1]
    twice = parse(encoded()[:-1] + b', "timeoutInSeconds": 9}')
    assert twice.config is not None and twice.config.timeout_in_seconds == 9
    assert "timeoutInSeconds twice" in twice.warnings[0]


def test_render_has_template_form_and_parses_back() -> None:
    pre, post = ScriptSettings("/etc/azure/pré.sh", ('q"', "ü"), 3), ScriptSettings("/b")
    config = ScriptConfig(pre, post, 1800, False, True)
    data = render(config)
    assert parse(data).config == config
    assert data.decode("ascii").splitlines() == [
        "{",
        '    "pluginName" : "ScriptRunner",',
        '    "preScriptLocation" : "/etc/azure/pr\\u00e9.sh",',
        '    "postScriptLocation" : "/b",',
        '    "preScriptParams" : ["q\\"", "\\u00fc"],',
        '    "postScriptParams" : [],',
        '    "preScriptNoOfRetries" : 3,',
        '    "postScriptNoOfRetries" : 0,',
        '    "timeoutInSeconds" : 1800,',
        '    "continueBackupOnFailure" : false,',
        '    "fsFreezeEnabled" : true',
        "}",
    ]
    assert data.endswith(b"}\n")
