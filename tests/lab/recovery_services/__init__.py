# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Recovery Services control plane of the lab: an ARM server on loopback, over HTTPS.

What it does is learned from recorded exchanges with Azure and from Azure's OpenAPI documents;
where neither says anything, the code says that it is not known.

- C(lab) is what tests use: C(with RecoveryServices() as azure). C(seed) makes what it begins with.
- C(model) are the records, C(estate) holds them and lets happen what is due, C(growth) makes them
  from a seed. C(vaults), C(policies), C(policy_rules), C(discovery), C(protection), C(backups),
  C(jobs) and C(plans) are what can be done to them. Nothing of this knows HTTP.
- C(bodies), C(job_bodies) and C(compute_bodies) are answers, field by field.
- C(arm_...) are the requests, C(routes) and C(call) how they get there, C(queries) their filters
  and pages, C(errors) the refusals.
- C(server) is the HTTP side, C(entra) the sign-in, C(limits), C(faults), C(ledger) and C(control)
  what else happens to requests. All of it is in one thread and nothing waits while it changes
  state, so there are no locks.
"""
