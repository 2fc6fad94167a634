/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * agent runs polkit's text agent, pkttyagent, for as long as this process may need somebody to type
 * a password on its terminal. Where a desktop's agent is there already, that one is asked.
 */
#pragma once

#include "cleanup.h"

typedef struct Agent Agent;

/* Returns when the agent is registered, or has given up. Never NULL: where there is no pkttyagent,
 * polkit says what is missing. */
Agent *agent_start(void);
Agent *agent_stop(Agent *a);
