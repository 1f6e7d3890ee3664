# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Recovery Services control plane of the lab: an ARM server on loopback, over HTTPS.

What it does is learned from recorded exchanges with Azure and from Azure's OpenAPI documents;
where neither says anything, the code says that it is not known.

- `lab` is what tests use: `with RecoveryServices() as azure`. `seed` makes what it begins with.
- `model` are the records, `estate` holds them and lets happen what is due, `growth` makes them
  from a seed. `vaults`, `policies`, `policy_rules`, `discovery`, `protection`, `backups`,
  `jobs` and `plans` are what can be done to them. Nothing of this knows HTTP.
- `bodies`, `job_bodies` and `compute_bodies` are answers, field by field.
- `arm_...` are the requests, `routes` and `call` how they get there, `queries` their filters
  and pages, `errors` the refusals.
- `server` is the HTTP side, `entra` the sign-in, `limits`, `faults`, `ledger` and `control`
  what else happens to requests. All of it is in one thread and nothing waits while it changes
  state, so there are no locks.
"""
