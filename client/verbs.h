/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * verbs: what vmdiskctl can do. The table says how a verb is called; one function each does it and
 * returns what the process ends with, or a negative errno with the error set, of which main makes
 * the message and the exit code.
 */
#pragma once

#include "client.h"

/* arguments: those after the verb, ended by NULL; as many as the table says. */
typedef int (*VerbFunc)(Client *c, char **arguments, sd_bus_error *error);

typedef struct Verb {
    const char *name;
    const char *arguments; /* for people */
    const char *help;
    int n_arguments;
    unsigned options; /* OptionBit: those it takes beside the common ones */
    VerbFunc run;
    int n_optional; /* that may follow the n_arguments */
} Verb;

/* Ended by a verb without a name. */
extern const Verb verbs[];

/* Finds the verb and checks its arguments and options. argv: from the verb on, ended by NULL. */
int verb_find(char **argv, const Options *options, const Verb **ret, sd_bus_error *error);

int verb_list(Client *c, char **arguments, sd_bus_error *error);
int verb_status(Client *c, char **arguments, sd_bus_error *error);
int verb_commit(Client *c, char **arguments, sd_bus_error *error);
int verb_pivot(Client *c, char **arguments, sd_bus_error *error);
int verb_abort(Client *c, char **arguments, sd_bus_error *error);
int verb_wait(Client *c, char **arguments, sd_bus_error *error);
int verb_pause(Client *c, char **arguments, sd_bus_error *error);
int verb_resume(Client *c, char **arguments, sd_bus_error *error);
int verb_speed(Client *c, char **arguments, sd_bus_error *error);
int verb_boot_image(Client *c, char **arguments, sd_bus_error *error);
int verb_images(Client *c, char **arguments, sd_bus_error *error);
int verb_forget(Client *c, char **arguments, sd_bus_error *error);
int verb_attach(Client *c, char **arguments, sd_bus_error *error);
int verb_detach(Client *c, char **arguments, sd_bus_error *error);
int verb_monitor(Client *c, char **arguments, sd_bus_error *error);
