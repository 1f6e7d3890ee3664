# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals to the run, the guard and the watchdog, alone and in pairs, in each phase."""

from __future__ import annotations

import signal
from dataclasses import replace

from tests.faults._case import (
    ANY_VERDICT,
    DIED,
    FAILED,
    FLUSH,
    FREEZING,
    PHASES,
    QUIESCE,
    THAWING,
    WINDOW,
    Case,
    Setting,
)
from tests.faults._phases import SETTINGS, signal_to
from tests.faults._processes import GUARD, RUN, WATCHDOG

ROLES: tuple[tuple[str, ...], ...] = (
    (RUN,),
    (GUARD,),
    (WATCHDOG,),
    (RUN, GUARD),
    (RUN, WATCHDOG),
    (GUARD, WATCHDOG),
)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSTOP)


def _expected(roles: tuple[str, ...], signum: signal.Signals) -> tuple[str, ...]:
    if RUN not in roles:
        # Without a supervisor the run may succeed or fail; it must end with a result.
        return (*ANY_VERDICT, FAILED)
    if signum == signal.SIGKILL:
        return (DIED,)
    return (*ANY_VERDICT, FAILED, DIED)


def _fast(roles: tuple[str, ...], signum: signal.Signals, phase: str) -> bool:
    if signum == signal.SIGKILL and phase == WINDOW:
        return True
    if signum == signal.SIGKILL and roles == (RUN,):
        return True
    return signum == signal.SIGSTOP and phase == WINDOW and roles in ((RUN,), (GUARD,))


def _setting(signum: signal.Signals, phase: str) -> Setting:
    """Return the setting: a run stopped with its script is taken over after a short timeout."""
    if signum == signal.SIGSTOP and phase == QUIESCE:
        return replace(SETTINGS[phase], script_timeout=4)
    return SETTINGS[phase]


def cases() -> list[Case]:
    """Return all 144 cases."""
    return [
        Case(
            name=f"signal/{signum.name}/{'+'.join(roles)}/{phase}",
            fault=f"{signum.name} to {' and '.join(roles)}",
            phase=phase,
            inject=signal_to(roles, signum, phase),
            expect=_expected(roles, signum),
            setting=_setting(signum, phase),
            # A flush may take longer than a test can wait, so a stopped run is continued soon.
            patience_s=3.0 if phase == FLUSH else 30.0,
            unjudged=(0,) if phase in (FLUSH, FREEZING, THAWING) else (),
            fast=_fast(roles, signum, phase),
        )
        for phase in PHASES
        for signum in SIGNALS
        for roles in ROLES
    ]
