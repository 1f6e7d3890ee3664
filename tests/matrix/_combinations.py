# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The combinations of ansible-core, Python and libraries that the collection works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from tests.utils.ansible_test import ROOT

# The libraries at their lower bounds, beside the oldest of what they depend on.
OLDEST = "oldest"
# The libraries at their lower bounds, beside the newest of what they depend on.
BOUNDS = "bounds"
# What azure.azcollection pins.
AZCOLLECTION = "azcollection"
NEWEST = "newest"
# What a virtual machine has, which has modules sent to it: a Python that ansible-core itself does
# not run on, with its `module_utils`.
GUEST = "guest"

_OLDEST_CORE = ("azure-core==1.31.0", "azure-mgmt-core==1.3.2", "urllib3==1.26.20")
_AZCOLLECTION = (
    "azure-core==1.31.0",
    "azure-identity==1.19.0",
    "azure-mgmt-compute==33.0.0",
    "azure-mgmt-core==1.4.0",
    "azure-mgmt-recoveryservicesbackup==9.1.0",
    "azure-storage-blob==12.23.0b1",
)

UNIT, PURE, UNIT_GUEST, SANITY, DOC = "unit", "pure unit", "unit of guest", "sanity", "ansible-doc"
TARGETS, VAULT, VAULT_SHORT = "targets", "vault", "vault short"

_INTEGRATION = "tests/integration"
#: What pytest runs for a check.
TESTS = {
    UNIT: ("tests/unit",),
    # Those that need no disk.
    PURE: (
        "tests/unit/plugins/module_utils/_arm",
        "tests/unit/plugins/module_utils/_vault",
        "tests/unit/plugins/module_utils/test_libraries.py",
        "tests/unit/plugins/module_utils/_modules/test_base.py",
        "tests/unit/plugins/module_utils/test_redact.py",
        "tests/unit/plugins/plugin_utils",
    ),
    UNIT_GUEST: (
        "tests/unit/plugins/module_utils/_guest",
        "tests/unit/plugins/module_utils/_http",
        "tests/unit/plugins/module_utils/_stores",
        "tests/unit/plugins/module_utils/_modules/test_base.py",
        "tests/unit/plugins/module_utils/_modules/test_snapshot_scripts.py",
        "tests/unit/plugins/module_utils/_modules/test_vm_snapshot_options.py",
        "tests/unit/plugins/module_utils/test_redact.py",
    ),
    TARGETS: (
        f"{_INTEGRATION}/test_targets.py",
        "-k",
        "snapshot_scripts or backup_policy or protected_vm or vm_backup or vm_extension_info",
    ),
    VAULT: tuple(
        f"{_INTEGRATION}/test_{name}.py"
        for name in (
            "backup_jobs",
            "backup_policy",
            "protected_vm",
            "protected_vm_disks",
            "protected_vm_refusals",
            "unproven_backups",
            "vault_client",
            "vault_credentials",
            "vault_tls",
            "vm_backup",
            "vm_extension_info",
        )
    ),
    VAULT_SHORT: (
        f"{_INTEGRATION}/test_vault_client.py",
        f"{_INTEGRATION}/test_targets.py",
        "-k",
        "test_vault_client or [protected_vm] or [vm_backup] or [vm_extension_info]",
    ),
}
COMMON = (UNIT, SANITY, DOC, TARGETS)


@dataclass(frozen=True)
class Combination:
    """One version of ansible-core with a Python and libraries, and what is run with it.

    `pythons`: the first that the machine has is taken.
    """

    ansible: str
    pythons: Tuple[str, ...]
    libraries: str
    checks: Tuple[str, ...]

    @property
    def name(self) -> str:
        """A name for folders and people."""
        return f"{self.ansible}-{self.libraries}"

    @property
    def is_guest(self) -> bool:
        """Return True if this Python only gets modules sent."""
        return self.libraries == GUEST

    @property
    def core(self) -> str:
        """Return the requirement for ansible-core."""
        return f"ansible-core=={self.ansible}.*"

    @property
    def requirements(self) -> Tuple[str, ...]:
        """Return what pip is asked to install, beside ansible-core and what the tests need."""
        return _libraries(self.libraries)


FULL = (
    Combination("2.16", ("3.10", "3.11", "3.12"), OLDEST, (*COMMON, VAULT)),
    Combination("2.17", ("3.10", "3.11", "3.12"), AZCOLLECTION, (*COMMON, VAULT)),
    Combination("2.18", ("3.12", "3.11", "3.13"), BOUNDS, COMMON),
    Combination("2.19", ("3.11", "3.12", "3.13"), NEWEST, COMMON),
    Combination("2.20", ("3.12", "3.13", "3.14"), NEWEST, COMMON),
    Combination("2.21", ("3.13", "3.12", "3.14"), NEWEST, (*COMMON, VAULT)),
    Combination("2.21", ("3.9",), GUEST, (UNIT_GUEST,)),
)
SHORT = (
    Combination("2.16", ("3.10", "3.11", "3.12"), OLDEST, (PURE, VAULT_SHORT)),
    Combination("2.21", ("3.13", "3.12", "3.14"), NEWEST, (PURE, DOC, VAULT_SHORT)),
)


def lower_bounds() -> Tuple[str, ...]:
    """Return the requirements of the collection, each at its lower bound."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    words = [line.split(">=") for line in lines if ">=" in line and not line.startswith("#")]
    return tuple(f"{name.strip()}=={version.strip()}" for name, version in words)


def _libraries(which: str) -> Tuple[str, ...]:
    if which == AZCOLLECTION:
        return _AZCOLLECTION
    if which in (NEWEST, GUEST):
        newest = (bound.replace("==", ">=") for bound in lower_bounds())
        return tuple(one for one in newest if which == NEWEST or one.startswith("azure-storage"))
    return (*lower_bounds(), *(_OLDEST_CORE if which == OLDEST else ()))
