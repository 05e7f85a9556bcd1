/* SPDX-License-Identifier: MIT */
/*
 * The reader of traces against whatever the fuzzer thinks of: gzip or plain text. What it accepts
 * must survive being formatted and read again, unchanged.
 */
#define _GNU_SOURCE
#include "trace_file.h"
#include "trace_line.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct trace_limits limits = { .memory = 16 << 20, .tasks = 64 };

static void check_round_trip(const struct trace_event *event, unsigned version)
{
	static char line[TRACE_LINE_MAX], again[TRACE_LINE_MAX];
	struct trace_event copy;
	size_t column, n = trace_format(event, line, sizeof(line));

	if (n == 0)
		abort();
	line[n - 1] = '\0';
	if (trace_parse_line(line, version, &copy, &column) != NULL)
		abort();
	if (trace_format(&copy, again, sizeof(again)) != n)
		abort();
	if (memcmp(line, again, n - 1) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct trace_error error;
	struct trace_event event;
	struct trace_reader *reader;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
		abort();
	reader = trace_open_fd(fd, "fuzz", &limits, &error);
	if (!reader)
		return 0;
	while (trace_next(reader, &event, &error) > 0)
		check_round_trip(&event, trace_version(reader));
	trace_close(reader);
	return 0;
}
