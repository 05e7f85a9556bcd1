/* SPDX-License-Identifier: MIT */
/* Under which conditions something was measured on the soft port: what all reports say of it. */
#ifndef QUIRE_TOOLS_CONDITIONS_H
#define QUIRE_TOOLS_CONDITIONS_H

/* One line on standard output. `what`: more than the port that is to be said of Quire. */
void conditions_line(const char *what);
/*
 * Members of a JSON object on standard output, with commas in between: version, port, command (as
 * it was typed), kernel, cpu, compiler, date, cores (that the process may use), load.
 */
void conditions_json(const char *command);

#endif
