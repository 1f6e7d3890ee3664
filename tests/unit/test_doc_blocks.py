# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shared blocks of documentation, written between two markers."""

from __future__ import annotations

import pytest

from tests.utils.doc_blocks import BLOCKS, MODULES, with_blocks

SOURCE = ", from tests/utils/doc_blocks.py"


def test_block_replaces_what_stands_between_markers() -> None:
    text = f"a:\n    # BEGIN warnings{SOURCE}\n    old: text\n    # END warnings\nb: 1\n"
    filled = with_blocks(text)
    assert "old: text" not in filled
    assert f"    # BEGIN warnings{SOURCE}\n    warnings:\n      description:" in filled
    assert filled.endswith("    # END warnings\nb: 1\n")
    assert with_blocks(filled) == filled


@pytest.mark.parametrize(
    "text", [f"# BEGIN job{SOURCE}\n", "# END job\n", f"# BEGIN job{SOURCE}\n# END warnings\n"]
)
def test_marker_without_partner_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="partner"):
        with_blocks(text)


def test_modules_hold_every_block_as_it_is() -> None:
    texts = [path.read_text(encoding="utf-8") for path in MODULES.glob("*.py")]
    assert all(with_blocks(text) == text for text in texts)
    unused = [name for name in BLOCKS if not any(f"# BEGIN {name}," in text for text in texts)]
    assert unused == []
