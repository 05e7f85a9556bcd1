/* SPDX-License-Identifier: MIT */
/* One line of a trace file: parsing and formatting, from one table. Used by trace_file.c only. */
#ifndef QUIRE_TOOLS_TRACE_LINE_H
#define QUIRE_TOOLS_TRACE_LINE_H

#include "trace_file.h"

/*
 * Parse a line (no newline, ends in NUL, holds no other NUL) into *event.
 * => NULL: done; event->name points into the line
 * => else what is wrong; *column is the byte of the line where it is
 */
const char *trace_parse_line(char *line, unsigned version, struct trace_event *event,
			     size_t *column);

/* "# trace NAME vN: ...": the version, or 0 if the line isn't of that form. */
unsigned trace_parse_header(const char *line);

#endif
