# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make a cloud known to azure.azcollection: `Lab`, which lies where E(LAB_AZURE) says.

Python imports this at its start from E(PYTHONPATH). The collection takes the address of a cloud
too, but for that it calls a function that its libraries do not have any more.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Optional, Sequence

_CLOUDS = "azure.cli.core.cloud"


class _Loader(importlib.abc.Loader):
    """Adds the cloud to the module once it is loaded."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        found: Optional[ModuleType] = self._loader.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        address = os.environ["LAB_AZURE"]
        endpoints = module.CloudEndpoints(
            management=f"{address}/",
            resource_manager=f"{address}/",
            active_directory=address,
            active_directory_resource_id=f"{address}/",
        )
        vars(module)["LAB_CLOUD"] = module.Cloud("Lab", endpoints=endpoints)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds that one module as usual, and gives it the loader above."""

    def find_spec(
        self, name: str, _path: Optional[Sequence[str]], _target: Optional[ModuleType] = None
    ) -> Optional[ModuleSpec]:
        if name != _CLOUDS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            spec.loader = _Loader(spec.loader)
        return spec


if "LAB_AZURE" in os.environ:
    sys.meta_path.insert(0, _Finder())
