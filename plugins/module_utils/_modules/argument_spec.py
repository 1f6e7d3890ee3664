# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a module, and the rules between them, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Rules = tuple[Sequence[Any], ...]


@dataclass(frozen=True)
class ArgumentSpec:
    """The options of a module, and the rules between them, as `AnsibleModule` takes them."""

    argument_spec: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    required_if: Rules = ()
    required_one_of: Rules = ()
    mutually_exclusive: Rules = ()

    def merge(self, *others: ArgumentSpec) -> ArgumentSpec:
        """Return a spec with the options and rules of all. A later option replaces an earlier."""
        merged = self
        for other in others:
            merged = ArgumentSpec(
                {**merged.argument_spec, **other.argument_spec},
                (*merged.required_if, *other.required_if),
                (*merged.required_one_of, *other.required_one_of),
                (*merged.mutually_exclusive, *other.mutually_exclusive),
            )
        return merged

    def without(self, *names: str) -> ArgumentSpec:
        """Return a spec without these options, which no rule may name."""
        options = {name: each for name, each in self.argument_spec.items() if name not in names}
        return replace(self, argument_spec=options)

    def to_kwargs(self) -> dict[str, Any]:
        """Return the keyword arguments of `AnsibleModule`."""
        return {
            "argument_spec": {name: dict(each) for name, each in self.argument_spec.items()},
            "required_if": [list(rule) for rule in self.required_if],
            "required_one_of": [list(rule) for rule in self.required_one_of],
            "mutually_exclusive": [list(rule) for rule in self.mutually_exclusive],
        }
