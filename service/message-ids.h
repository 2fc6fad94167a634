/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MESSAGE_ID= of the log lines on which an operator would act, for LogContext.message_id.
 * data/vmdisk.catalog explains each of them, and uses the fields that are named here.
 */
#pragma once

/* A job ended as it was asked to: completed, kept or cancelled. VM=, DISK=, JOB=. */
#define MESSAGE_JOB_FINISHED "24cbb09205494bc58b37ba0aeaddfdc3"
/* A job ended with an error. VM=, DISK=, JOB=. */
#define MESSAGE_JOB_FAILED "d4e41255f6274e789566a660788db567"
/* An I/O error has paused a job. VM=, DISK=, JOB=, DETAIL= (the error). */
#define MESSAGE_JOB_STOPPED "af12eabce4e14d6e9c59c3e8ddf40207"
/* A job is not ready at its deadline. VM=, DISK=, JOB=, DETAIL= (what is done about it). */
#define MESSAGE_DEADLINE_PASSED "50662492801d4678acf2550667b575f4"
/* A guest is slowed down for a job. VM=, DISK=, JOB=. */
#define MESSAGE_GUEST_SLOWED "ff98d3e39f9b4fee8b9b684aa496f57f"
/* The VM went away under a job. VM=, DISK=, JOB=. */
#define MESSAGE_JOB_LOST "48d939cb87b14199ba3d9f776f833683"
/* A peer of the monitor socket was turned away: it is silent, talks no QMP, or is one too many.
 * The text names its pid and uid. */
#define MESSAGE_MONITOR_REFUSED "30c8225cf791420fa1cf549f926fd6fa"
/* A VM dialled in under a name that another VM has. VM= is the name it got. */
#define MESSAGE_VM_RENAMED "8cadd6abb90d40aeaa9ebd21ef17713c"
/* A file of the image ledger is damaged. DETAIL= (its name). */
#define MESSAGE_LEDGER_DAMAGED "fce63810e2c7479cbccfaaba555eaa56"
/* A VM runs on an image that has been merged: it was started from the wrong one. VM=, DISK=,
 * DETAIL= (the image to boot instead). */
#define MESSAGE_STALE_IMAGE "fb742220158e479296a73dbf2f953385"
