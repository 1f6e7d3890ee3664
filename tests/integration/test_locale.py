# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules in locales of other languages and encodings: nothing of theirs goes by the locale."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

from tests.integration.guest_rig import Guest
from tests.lab.azurite import Azurite
from tests.lab.locales import Locale
from tests.lab.module_run import ModuleRun, run_module
from tests.lab.recovery_services.lab import RecoveryServices

# Languages without AM, or with another word for it, and three encodings.
LOCALES = (
    Locale("ja_JP", "UTF-8"),
    Locale("de_DE", "ISO-8859-1"),
    Locale("tr_TR", "ISO-8859-9"),
)
_LOOK = """\
import locale, sys, time
locale.setlocale(locale.LC_ALL, "")
print(time.strftime("%p", (2026, 1, 1, 18, 0, 0, 0, 1, 0)) == "PM", locale.getpreferredencoding())
"""


@pytest.fixture(
    scope="module",
    name="environment",
    params=LOCALES,
    ids=[one.name for one in LOCALES],
)
def _environment(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, str]:
    """The environment of a process in a locale that it is proved to be in."""
    chosen: Locale = request.param
    found = chosen.make(tmp_path_factory.mktemp("locales"))
    seen = subprocess.run(
        [sys.executable, "-c", _LOOK], env=found, capture_output=True, check=True
    ).stdout.decode("ascii")
    assert seen.split() == ["False", chosen.encoding]
    return found


@pytest.fixture(name="azure")
def _azure(recovery_services: RecoveryServices) -> RecoveryServices:
    """A vault that protects two VMs."""
    for vm in ("db01", "db02"):
        old = [{"age_s": 7200, "consistency": "AppConsistent"}]
        recovery_services.change(add_item={"vault": "vault1", "vm": vm, "points": old})
    return recovery_services


def run(
    azure: RecoveryServices, environment: Dict[str, str], module: str, **options: Any
) -> ModuleRun:
    done = run_module(module, {**azure.options(), **options}, env=environment)
    assert not done.failed, done.stdout
    assert not done.stderr
    return done


def test_jobs_and_points_are_found(azure: RecoveryServices, environment: Dict[str, str]) -> None:
    azure.next_backup("db01", "file-system", duration_s=600)
    backed_up = run(
        azure, environment, "vm_backup", vm="app-rg/db01", poll_interval=0.1, timeout=240
    )
    assert backed_up["consistency"] == "file-system"
    point = backed_up["vms"][0]["recovery_point"]
    filters = [one.query.get("$filter", "") for one in azure.requests()]
    times = [text for text in filters if "Time" in text]
    assert times and all(" AM'" in text or " PM'" in text for text in times)
    jobs = run(azure, environment, "backup_job_info", operation="Backup")
    assert [job["job_id"] for job in jobs["jobs"]] == [backed_up["vms"][0]["job_id"]]
    points = run(azure, environment, "recovery_point_info", vm="app-rg/db01")
    listed = points["vms"][0]["recovery_points"]
    assert len(listed) == 2 and point["time"] in [one["time"] for one in listed]


def test_times_of_a_policy(azure: RecoveryServices, environment: Dict[str, str]) -> None:
    wanted: Dict[str, Any] = {
        "name": "nightly",
        "schedule": {"frequency": "daily", "time": "18:30"},
        "retention": {"daily": {"days": 30}},
    }
    assert run(azure, environment, "backup_policy", **wanted)["changed"]
    assert not run(azure, environment, "backup_policy", **wanted)["changed"]
    body = azure.state()["vaults"]["vault1"]["policies"]["nightly"]
    assert "T18:30:00" in str(body)


def test_names_beyond_the_encoding(azure: RecoveryServices, environment: Dict[str, str]) -> None:
    vm = "app(1)_\u00e9\u0131\u65e5.rg/db-1.a"
    azure.change(add_vm={"name": "db-1.a", "resource_group": vm.partition("/")[0]})
    given: Dict[str, Any] = {"vm": vm, "policy": "DefaultPolicy", "poll_interval": 0.1}
    done = run(azure, environment, "protected_vm", **given)
    assert done["changed"] and done["vms"][0]["resource_group"] == vm.partition("/")[0]
    assert not run(azure, environment, "protected_vm", **given)["changed"]


def test_the_answer_of_the_azure_cli(
    azure: RecoveryServices, environment: Dict[str, str], tmp_path: Path
) -> None:
    account = f'{{"id": "{azure.subscription_id}", "name": "Pr\u00fcfung \u65e5\u672c"}}'
    (tmp_path / "account.json").write_text(account, encoding="utf-8")
    (tmp_path / "az").write_text(f'#!/bin/sh\nexec /bin/cat "{tmp_path}/account.json"\n')
    (tmp_path / "az").chmod(0o755)
    options = {**azure.options(), "auth_source": "cli", "subscription_id": None}
    # The subscription is read; the message says that the token is not of the lab.
    done = run_module(
        "backup_policy_info", options, env={**environment, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    )
    assert done.failed and done["failure"]["name"] not in ("AzureCliNotLoggedIn", "InternalError")


# --- on a VM -------------------------------------------------------------------------------------


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    """A folder that root alone can write to, as it is above scripts."""
    with tempfile.TemporaryDirectory(prefix="quiesce-locale-", dir="/var/lib") as folder:
        yield Path(folder)


def scripts(folder: Path, letter: str) -> Dict[str, str]:
    return {
        "config_path": str(folder / f"config{letter}.json"),
        "pre_script_location": str(folder / f"pre{letter}"),
        "pre_script_content": "#!/bin/sh\n# \u00e9\u0131\u65e5\nexit 0\n",
        "post_script_location": str(folder / f"post{letter}"),
        "post_script_content": "#!/bin/sh\nexit 0\n",
    }


@pytest.mark.parametrize("letter", ["", "\u00e9"])
def test_scripts_are_written_in_utf_8_at_paths_in_utf_8(
    environment: Dict[str, str], folder: Path, letter: str
) -> None:
    given = scripts(folder, letter)
    done = run_module("snapshot_scripts", given, env=environment)
    if letter and "UTF-8" not in environment["LC_ALL"]:
        # Not written to another file.
        assert done.failed and done["failure"]["name"] == "UnsupportedLocale"
        assert "C.UTF-8" in done["failure"]["recommended_action"]
        assert list(folder.iterdir()) == []
        return
    assert not done.failed, done.stdout
    assert not run_module("snapshot_scripts", given, env=environment)["changed"]
    assert {Path(given[name]) for name in PATHS} <= set(folder.iterdir())
    assert Path(given["pre_script_location"]).read_text("utf-8") == given["pre_script_content"]
    seen = run_module(
        "snapshot_scripts_info", {"config_path": given["config_path"]}, env=environment
    )
    assert not seen.failed, seen.stdout


PATHS = ("config_path", "pre_script_location", "post_script_location")


def test_a_snapshot(environment: Dict[str, str], azurite: Azurite) -> None:
    with closing(Guest(azurite, ["ext4"])) as guest:
        guest.configure(
            pre=f'printf %s "$1" > "{guest.folder}/said"', preScriptParams=["\u00e9\u0131\u65e5"]
        )
        log = guest.document()
        done = guest.run_with(guest.options(logs_blob_uri=log), env=environment)
        guest.check_left(done)
        assert not done.failed, done.stdout
        assert done["consistency"] == "application" and guest.snapshots() == [1]
        assert (guest.folder / "said").read_text("utf-8") == "\u00e9\u0131\u65e5"
        assert re.match(r"\d{8}T\d{6}Z-[0-9a-f]{8}$", done["snapshot_set"]["id"], re.ASCII)
