# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one value in which a module describes its options."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.argument_spec import (
    ArgumentSpec,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.protected_vm import (
    PROTECTABLE_VM_INFO,
    PROTECTED_VM,
    PROTECTED_VM_INFO,
)

FIRST = ArgumentSpec(
    {"a": {"type": "str"}, "wait": {"default": True}}, required_one_of=(("a", "wait"),)
)
SECOND = ArgumentSpec(
    {"b": {"type": "str"}, "wait": {"default": False}},
    required_if=(("wait", False, ("b",)),),
    required_one_of=(("a", "b"),),
    mutually_exclusive=(("a", "b"),),
)


def test_merge_keeps_all_rules_and_the_later_option() -> None:
    assert FIRST.merge(SECOND).to_kwargs() == {
        "argument_spec": {"a": {"type": "str"}, "b": {"type": "str"}, "wait": {"default": False}},
        "required_if": [["wait", False, ("b",)]],
        "required_one_of": [["a", "wait"], ["a", "b"]],
        "mutually_exclusive": [["a", "b"]],
    }
    assert FIRST.argument_spec["wait"] == {"default": True}


def test_without_drops_the_option() -> None:
    assert set(SECOND.without("wait").argument_spec) == {"b"}
    assert "wait" not in PROTECTABLE_VM_INFO.argument_spec


@pytest.mark.parametrize(
    ("spec", "options", "is_valid"),
    [
        (PROTECTED_VM, {"vm": "a"}, True),
        (PROTECTED_VM, {"vm": "a", "vms": ["a"]}, False),
        (PROTECTED_VM, {}, False),
        (PROTECTED_VM, {"vm": "a", "include_disk_luns": [0], "exclude_disk_luns": [1]}, False),
        (PROTECTED_VM_INFO, {}, True),
        (PROTECTED_VM_INFO, {"vm": "a", "vms": ["a"]}, False),
    ],
)
def test_rules_reach_the_validator(spec: ArgumentSpec, options: object, is_valid: bool) -> None:
    validator = ArgumentSpecValidator(**spec.to_kwargs())
    given = {"vault": "v", **(options if isinstance(options, dict) else {})}
    assert (not validator.validate(given).error_messages) is is_valid
