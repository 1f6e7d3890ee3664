# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hourly limits of the service, counted an action at a time, on its own clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Callable, Dict, Mapping, Optional, Tuple

from tests.lab.recovery_services.errors import AzureError, gateway
from tests.lab.recovery_services.routes import Route

_HOUR = timedelta(hours=1)
_PROVIDER = "microsoft.recoveryservices/vaults"
#: Reads of vaults that the service does not count.
_UNCOUNTED = (
    "microsoft.recoveryservices/vaults/read",
    "microsoft.recoveryservices/vaults/operationstatus/read",
    "microsoft.recoveryservices/vaults/operationresults/read",
    "microsoft.recoveryservices/vaults/backupresourceguardproxies/read",
)
_LIMITS = {
    "microsoft.recoveryservices/vaults/backupjobs/read": 450,
    "microsoft.recoveryservices/vaults/write": 300,
    "microsoft.recoveryservices/vaults/delete": 50,
}
_READS = 300
_WRITES = 1200

HEADER = "x-ms-ratelimit-remaining-subscription-resource-requests"


class Limits:
    """The requests that are left in each hour."""

    def __init__(
        self,
        on: bool,
        real_seconds: Callable[[float], int],
        others: Optional[Mapping[str, int]] = None,
    ) -> None:
        """Set the limits; `others` holds those of actions that are not the usual ones."""
        self.on = on
        self._real = real_seconds
        self._limits = {**_LIMITS, **{name.lower(): most for name, most in (others or {}).items()}}
        #: By action, or by what all actions share: when the hour began, and how many there were.
        self._used: Dict[str, Tuple[datetime, int]] = {}

    def check(self, route: Route, subscription: str, now: datetime) -> Dict[str, str]:
        """Count a request and give the headers for its answer; raises `AzureError`."""
        headers: Dict[str, str] = {}
        action = route.action.lower()
        limit = self._limit(action)
        if limit:
            left, wait = self._take(action, limit, now)
            if left < 0:
                raise self._throttled(route.action, limit, wait)
            headers[HEADER] = str(left)
        if route.write:
            left, wait = self._take(f"writes:{subscription.lower()}", _WRITES, now)
            if left < 0:
                raise self._writes_throttled(subscription, wait)
            headers["x-ms-ratelimit-remaining-subscription-writes"] = str(left)
        return headers

    def _limit(self, action: str) -> int:
        if action in self._limits:
            return self._limits[action]
        counted = action.startswith(_PROVIDER) and action.endswith("/read")
        return _READS if counted and action not in _UNCOUNTED else 0

    def _take(self, name: str, limit: int, now: datetime) -> Tuple[int, float]:
        if not self.on:
            return limit - 1, 0.0
        began, used = self._used.get(name, (now, 0))
        if now - began >= _HOUR:
            began, used = now, 0
        if used < limit:
            used += 1
            self._used[name] = (began, used)
            return limit - used, 0.0
        return -1, (began + _HOUR - now).total_seconds()

    def _throttled(self, action: str, limit: int, wait: float) -> AzureError:
        return gateway(
            429,
            "ResourceRequestsThrottled",
            f"Number of requests for action '{action}' exceeded the limit of '{limit}' for time "
            f"interval '01:00:00'. Please try again after '{max(1, round(wait))}' seconds.",
            Retry_After=str(self._real(wait)),
        )

    def _writes_throttled(self, subscription: str, wait: float) -> AzureError:
        return gateway(
            429,
            "SubscriptionRequestsThrottled",
            f"Number of 'write' requests for subscription '{subscription}' exceeded the limit of "
            f"'{_WRITES}' for time interval '01:00:00'. Please try again after "
            f"'{max(1, round(wait))}' seconds.",
            Retry_After=str(self._real(wait)),
        )
