/* SPDX-License-Identifier: MIT */
/*
 * Trace files: every op is read and written; whatever is malformed is refused in one line that
 * names its place; the limits hold; a file that could not be written whole does not exist.
 */
#define _GNU_SOURCE
#include "../tools/trace_file.h"
#include "../tools/trace_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define V1 "# trace test v1: t_ns pid tid cpu op args\n"
#define V2 "# trace test v2: t_ns pid tid cpu op args\n"

static char directory[] = "/tmp/quire-trace-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

/* A descriptor from which these bytes can be read. */
static int bytes(const void *data, size_t size)
{
	int fd = memfd_create("trace", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* Read all events. => 0 it ended well, -1 with error; *event is the last one read */
static int read_all(const void *data, size_t size, const struct trace_limits *limits,
		    struct trace_event *event, struct trace_error *error)
{
	struct trace_reader *reader = trace_open_fd(bytes(data, size), "test", limits, error);
	int more = -1;

	if (!reader)
		return -1;
	while ((more = trace_next(reader, event, error)) > 0)
		;
	trace_close(reader);
	return more;
}

static struct trace_event parse(const char *text)
{
	struct trace_event event;
	struct trace_error error;

	if (read_all(text, strlen(text), NULL, &event, &error) != 0)
		fail_msg("refused: %s", error.text);
	return event;
}

static void test_calls(void **state)
{
	struct trace_event e;

	(void)state;
	e = parse(V1 "7 10 11 3 M 42 7f0000000000 2000 3 22 ffffffff 1000 = 7f0000001000\n");
	assert_int_equal(e.op, TRACE_MMAP);
	assert_int_equal(e.time, 7);
	assert_int_equal(e.pid, 10);
	assert_int_equal(e.tid, 11);
	assert_int_equal(e.cpu, 3);
	assert_int_equal(e.line, 2);
	assert_int_equal(e.duration, 42);
	assert_int_equal(e.address, 0x7f0000000000);
	assert_int_equal(e.length, 0x2000);
	assert_int_equal(e.prot, 3);
	assert_int_equal(e.flags, 0x22);
	assert_int_equal(e.fd, -1);
	assert_int_equal(e.offset, 0x1000);
	assert_int_equal(e.result, 0x7f0000001000);

	e = parse(V1 "7 10 11 3 R 42 1000 2000 3000 3 5000 = -c\n");
	assert_int_equal(e.op, TRACE_MREMAP);
	assert_int_equal(e.new_length, 0x3000);
	assert_int_equal(e.new_address, 0x5000);
	assert_int_equal(e.result, -12);

	e = parse(V1 "7 10 11 3 P 42 1000 2000 1 = 0\n");
	assert_int_equal(e.op, TRACE_MPROTECT);
	assert_int_equal(e.prot, 1);
	e = parse(V1 "7 10 11 3 A 42 1000 2000 f = 0\n");
	assert_int_equal(e.op, TRACE_MADVISE);
	assert_int_equal(e.flags, 15);
	e = parse(V1 "7 10 11 3 U 42 1000 2000 = 0\n");
	assert_int_equal(e.op, TRACE_MUNMAP);
	e = parse(V1 "7 10 11 3 B 42 0 = 55000\n");
	assert_int_equal(e.op, TRACE_BRK);
	e = parse(V1 "7 10 11 3 L 42 1000 2000 = 0\n");
	assert_int_equal(e.op, TRACE_MLOCK);
	assert_int_equal(e.flags, 0);
	e = parse(V1 "7 10 11 3 L 42 1000 2000 1 = 0\n");
	assert_int_equal(e.flags, 1);
	e = parse(V1 "7 10 11 3 l 42 1000 2000 = 0\n");
	assert_int_equal(e.op, TRACE_MUNLOCK);
	e = parse(V1 "7 10 11 3 S 42 1000 2000 4 = 0\n");
	assert_int_equal(e.op, TRACE_MSYNC);
	assert_int_equal(e.flags, 4);
}

static void test_faults_and_lives(void **state)
{
	struct trace_event e;

	(void)state;
	e = parse(V1 "0 1 1 0 F 7ffc0 17\n");
	assert_int_equal(e.op, TRACE_FAULT);
	assert_int_equal(e.error, 0x17);
	assert_true(e.known);
	e = parse(V2 "0 1 1 0 K 7ffc0 -\n");
	assert_int_equal(e.op, TRACE_KERNEL_FAULT);
	assert_false(e.known);
	e = parse(V1 "0 1 1 0 C 2\n");
	assert_int_equal(e.op, TRACE_CLONE);
	assert_int_equal(e.child, 2);
	assert_false(e.known);
	e = parse(V2 "0 1 1 0 C 4194303 0\n");
	assert_int_equal(e.child, 4194303);
	assert_true(e.known);
	e = parse(V1 "0 1 1 0 X\n");
	assert_int_equal(e.op, TRACE_EXIT);
	assert_null(e.name);
}

/* Names last only as long as their reader: so look at them through trace_load(). */
static struct trace *load(const char *text, struct trace_error *error)
{
	const char *path = path_of("load");
	FILE *file = fopen(path, "w");
	struct trace *trace;

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	trace = trace_load(path, NULL, error);
	unlink(path);
	return trace;
}

static void test_names(void **state)
{
	struct trace_error error;
	struct trace *trace = load(V2 "0 1 1 0 E /bin/a b\n"
				      "0 1 1 0 V 1000 3000 r-xp 2000 77 /bin/a b\n"
				      "0 1 1 0 V 4000 5000 rw-s 0 0\n"
				      "# a comment\n"
				      "5 1 1 0 O 3 fe00:9 1234 /lib/x (deleted)\n"
				      "6 1 1 0 Z 1000 3000 ---p 0 0 [heap]\n"
				      "6 1 1 0 C 9 100\n",
				   &error);
	const struct trace_event *e;

	(void)state;
	assert_non_null(trace);
	assert_int_equal(trace->version, 2);
	assert_int_equal(trace->count, 6);
	assert_int_equal(trace->tasks, 2);
	e = trace->events;
	assert_string_equal(e[0].name, "/bin/a b");
	assert_int_equal(e[1].address, 0x1000);
	assert_int_equal(e[1].length, 0x2000);
	assert_int_equal(e[1].prot, TRACE_PROT_READ | TRACE_PROT_EXEC);
	assert_int_equal(e[1].flags, TRACE_MAP_PRIVATE);
	assert_int_equal(e[1].offset, 0x2000);
	assert_int_equal(e[1].inode, 77);
	assert_string_equal(e[1].name, "/bin/a b");
	assert_int_equal(e[2].flags, TRACE_MAP_SHARED);
	assert_string_equal(e[2].name, "");
	assert_int_equal(e[3].line, 6);
	assert_int_equal(e[3].fd, 3);
	assert_int_equal(e[3].device, 0xfe00);
	assert_int_equal(e[3].inode, 9);
	assert_int_equal(e[3].length, 0x1234);
	assert_string_equal(e[3].name, "/lib/x (deleted)");
	assert_int_equal(e[4].prot, 0);
	trace_free(trace);
}

/* Each is wrong in its last line. */
static const struct {
	const char *text;
	const char *message; /* a part of it */
} malformed[] = {
	{ "", "line 1, byte 0: the file is empty" },
	{ "\n", "line 1, byte 0: not a trace" },
	{ "0 1 1 0 X\n", "line 1, byte 0: not a trace" },
	{ "# trace x\n", "not a trace" },
	{ "# trace x v0:\n", "not a trace" },
	{ "# trace x v3: t\n", "version" },
	{ "# trace x v12: t\n", "not a trace" },
	{ "# trace x v2: t", "line 1, byte 15: the last line is cut off" },
	{ V1 "0 1 1 0 X", "line 2, byte 51: the last line is cut off" },
	{ V1 "\n", "line 2, byte 42: decimal number expected" },
	{ V1 "0 1 1 0 X\n\n", "line 3" },
	{ V1 "0 1 1 0 Q\n", "line 2, byte 50: unknown op" },
	{ V1 "0 1 1 0 MM\n", "blank expected" },
	{ V1 "0 1 1 0\n", "line ends too early" },
	{ V1 "0 1 1 0 \n", "unknown op" },
	{ V1 "0  1 1 0 X\n", "decimal number expected" },
	{ V1 " 0 1 1 0 X\n", "decimal number expected" },
	{ V1 "0 1 1 0 X \n", "more on the line" },
	{ V1 "0 1 1 0 X 1\n", "more on the line" },
	{ V1 "0 1 1 0 X\r\n", "more on the line" },
	{ V1 "-1 1 1 0 X\n", "decimal number expected" },
	{ V1 "9223372036854775808 1 1 0 X\n", "number too large" },
	{ V1 "0 0 1 0 X\n", "0 is no task" },
	{ V1 "0 1 0 0 X\n", "0 is no task" },
	{ V1 "0 4194304 1 0 X\n", "number too large" },
	{ V1 "0 1 4194304 0 X\n", "number too large" },
	{ V1 "0 1 1 65536 X\n", "number too large" },
	{ V1 "0 1 1 a X\n", "decimal number expected" },
	{ V1 "0 1 1 0 C 0\n", "0 is no task" },
	{ V1 "0 1 1 0 C 4194304\n", "number too large" },
	{ V1 "0 1 1 0 F 10000000000000000 4\n", "number too large" },
	{ V1 "0 1 1 0 F 0x1000 4\n", "line 2, byte 53: blank expected" },
	{ V1 "0 1 1 0 F ABC 4\n", "hexadecimal number expected" },
	{ V1 "0 1 1 0 F 1000\n", "line ends too early" },
	{ V1 "0 1 1 0 F 1000 100000000\n", "number too large" },
	{ V1 "0 1 1 0 F 1000 -\n", "hexadecimal number expected" },
	{ V1 "0 1 1 0 F 1000 4 4\n", "more on the line" },
	{ V1 "0 1 1 0 U 1 1000 1000 0\n", "'=' expected" },
	{ V1 "0 1 1 0 U 1 1000 1000 = \n", "hexadecimal number expected" },
	{ V1 "0 1 1 0 U 1 1000 1000 = --1\n", "hexadecimal number expected" },
	{ V1 "0 1 1 0 U 1 1000 1000 = 8000000000000000\n", "number too large" },
	{ V1 "0 1 1 0 U 18446744073709551616 1000 1000 = 0\n", "number too large" },
	{ V1 "0 1 1 0 M 1 0 1000 3 22 100000000 0 = 1000\n", "number too large" },
	{ V1 "0 1 1 0 L 1 1000 1000 1 1 = 0\n", "'=' expected" },
	{ V1 "0 1 1 0 E\n", "line ends too early" },
	{ V1 "0 1 1 0 E \n", "name expected" },
	{ V1 "0 1 1 0 E a\tb\n", "line 2, byte 53: control character" },
	{ V1 "0 1 1 0 V 1000 2000 rw-p 0 0\n", "version 1" },
	{ V1 "0 1 1 0 O 3 1:1 1000 x\n", "version 1" },
	{ V1 "0 1 1 0 Z 1000 2000 rw-p 0 0\n", "version 1" },
	{ V2 "0 1 1 0 V 2000 1000 rw-p 0 0\n", "not a range" },
	{ V2 "0 1 1 0 V 1000 1000 rw-p 0 0\n", "not a range" },
	{ V2 "0 1 1 0 V 1000 1fff rw-p 0 0\n", "not a range" },
	{ V2 "0 1 1 0 V 1000 2000 rwp 0 0\n", "rights expected" },
	{ V2 "0 1 1 0 V 1000 2000 wr-p 0 0\n", "rights expected" },
	{ V2 "0 1 1 0 V 1000 2000 rw-\n", "rights expected" },
	{ V2 "0 1 1 0 V 1000 2000 rw-p 0 0 \n", "name expected" },
	{ V2 "0 1 1 0 O 3 1 1000 x\n", "':' expected" },
	{ V1 "5 1 1 0 X\n4 1 1 0 X\n", "line 3, byte 52: the time is before" },
};

static void test_malformed(void **state)
{
	struct trace_event event;
	struct trace_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++) {
		const char *text = malformed[i].text;

		error.text[0] = '\0';
		assert_int_equal(read_all(text, strlen(text), NULL, &event, &error), -1);
		if (!strstr(error.text, malformed[i].message))
			fail_msg("'%s' gave '%s'", text, error.text);
		assert_null(strchr(error.text, '\n'));
		assert_memory_equal(error.text, "test: line ", 11);
	}
}

static void test_nul(void **state)
{
	static const char text[] = V1 "0 1 1 0 E a\0b\n";
	struct trace_event event;
	struct trace_error error;

	(void)state;
	assert_int_equal(read_all(text, sizeof(text) - 1, NULL, &event, &error), -1);
	assert_non_null(strstr(error.text, "byte 53: NUL byte"));
}

static void test_error_is_final(void **state)
{
	static const char text[] = V1 "0 1 1 0 Q\n0 1 1 0 X\n";
	struct trace_event event;
	struct trace_error error;
	struct trace_reader *reader = trace_open_fd(bytes(text, sizeof(text) - 1), "test", NULL,
						    &error);

	(void)state;
	assert_non_null(reader);
	assert_int_equal(trace_next(reader, &event, &error), -1);
	assert_int_equal(trace_next(reader, &event, &error), 0);
	trace_close(reader);
}

static void test_long_lines(void **state)
{
	char *text = malloc(TRACE_LINE_MAX + 256);
	struct trace_event event;
	struct trace_error error;
	size_t n;

	(void)state;
	assert_non_null(text);
	n = (size_t)sprintf(text, "%s", V1 "0 1 1 0 E ");
	memset(text + n, 'a', TRACE_NAME_MAX);
	text[n + TRACE_NAME_MAX] = '\n';
	assert_int_equal(read_all(text, n + TRACE_NAME_MAX + 1, NULL, &event, &error), 0);
	memset(text + n, 'a', TRACE_NAME_MAX + 1);
	text[n + TRACE_NAME_MAX + 1] = '\n';
	assert_int_equal(read_all(text, n + TRACE_NAME_MAX + 2, NULL, &event, &error), -1);
	assert_non_null(strstr(error.text, "name too long"));
	memset(text + n, 'a', TRACE_LINE_MAX + 100);
	assert_int_equal(read_all(text, n + TRACE_LINE_MAX + 100, NULL, &event, &error), -1);
	assert_non_null(strstr(error.text, "line too long"));
	free(text);
}

static void test_limits(void **state)
{
	const struct trace_limits few = { .tasks = 2, .memory = 1 << 20 };
	struct trace_event event;
	struct trace_error error;
	const char *path = path_of("many");
	gzFile file;

	(void)state;
	assert_int_equal(read_all(V1 "0 1 1 0 X\n0 1 2 0 X\n0 1 2 0 X\n", 30 + sizeof(V1) - 1, &few,
				  &event, &error),
			 0);
	assert_int_equal(read_all(V1 "0 1 1 0 X\n0 1 2 0 X\n0 1 3 0 X\n", 30 + sizeof(V1) - 1, &few,
				  &event, &error),
			 -1);
	assert_non_null(strstr(error.text, "line 4"));
	assert_non_null(strstr(error.text, "more tasks"));
	assert_int_equal(read_all(V1 "0 1 1 0 C 2\n0 1 1 0 C 3\n", 24 + sizeof(V1) - 1, &few,
				  &event, &error),
			 -1);

	/* A small file that inflates to more than may be held. */
	file = gzopen(path, "wb");
	gzputs(file, V1);
	for (int i = 0; i < 100000; i++)
		gzputs(file, "0 1 1 0 F 1000 4\n");
	assert_int_equal(gzclose(file), Z_OK);
	assert_null(trace_load(path, &few, &error));
	assert_non_null(strstr(error.text, "more memory"));
	unlink(path);
}

static void write_events(struct trace_writer *writer, unsigned count)
{
	struct trace_event event = { .op = TRACE_FAULT, .pid = 1, .tid = 1, .known = true };
	struct trace_error error;

	assert_true(trace_begin(writer, "a program\n", &error));
	assert_true(trace_comment(writer, "a comment", &error));
	for (unsigned i = 0; i < count; i++) {
		event.time = i;
		event.address = i * 0x9e3779b97f4a7c15u;
		assert_true(trace_write(writer, &event, &error));
	}
}

/* Cut and flip a compressed file: each time an error, and never the whole of it by mistake. */
static void test_damaged_gzip(void **state)
{
	const char *path = path_of("whole.gz");
	struct trace_error error;
	struct trace_event event;
	struct trace_writer *writer = trace_create(path, &error);
	unsigned char data[1 << 16];
	ssize_t size;
	int fd;

	(void)state;
	assert_non_null(writer);
	write_events(writer, 500);
	assert_true(trace_commit(writer, &error));
	fd = open(path, O_RDONLY);
	size = read(fd, data, sizeof(data));
	close(fd);
	unlink(path);
	assert_in_range(size, 1000, sizeof(data) - 1);
	assert_int_equal(read_all(data, (size_t)size, NULL, &event, &error), 0);
	for (ssize_t cut = 0; cut < size; cut += 1 + cut / 16)
		assert_int_equal(read_all(data, (size_t)cut, NULL, &event, &error), -1);
	assert_int_equal(read_all(data, (size_t)size - 1, NULL, &event, &error), -1);
	assert_non_null(strstr(error.text, "truncated"));
	for (ssize_t i = 16; i < size; i += 37) {
		data[i] ^= 0x10;
		assert_int_equal(read_all(data, (size_t)size, NULL, &event, &error), -1);
		assert_null(strchr(error.text, '\n'));
		data[i] ^= 0x10;
	}
}

/* What is written is read again, field by field: formatting is the inverse of parsing. */
static void test_round_trip(void **state)
{
	static const char *const lines[] = {
		"1 2 3 4 F 7fffffffe000 7",
		"1 2 3 4 K 0 -",
		"1 2 3 4 M 5 6000 7000 8 9 ffffffff a000 = -b",
		"1 2 3 4 U 5 6000 7000 = 0",
		"1 2 3 4 P 5 6000 7000 7 = 0",
		"1 2 3 4 A 5 6000 7000 64 = 0",
		"1 2 3 4 B 5 6000 = 6000",
		"1 2 3 4 R 5 6000 7000 8000 3 9000 = 9000",
		"1 2 3 4 L 5 6000 7000 = 0",
		"1 2 3 4 L 5 6000 7000 1 = 0",
		"1 2 3 4 l 5 6000 7000 = 0",
		"1 2 3 4 S 5 6000 7000 4 = 0",
		"1 2 3 4 C 9",
		"1 2 3 4 C 9 0",
		"1 2 3 4 C 9 4100",
		"1 2 3 4 E a name with blanks",
		"1 2 3 4 X",
		"9223372036854775807 4194303 3 65535 V 0 fffffffffffff000 rwxs ffffffffffffffff 9",
		"1 2 3 4 V 1000 2000 ---p 0 0",
		"1 2 3 4 O 5 fe00:7 8000 /a b",
		"1 2 3 4 Z 1000 2000 r--p 0 0 [stack]",
	};
	char copy[256], text[256], letter = 0;
	struct trace_event event;
	size_t column, n;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		snprintf(copy, sizeof(copy), "%s", lines[i]);
		assert_null(trace_parse_line(copy, 2, &event, &column));
		n = trace_format(&event, text, sizeof(text));
		assert_int_equal(n, strlen(lines[i]) + 1);
		assert_memory_equal(text, lines[i], n - 1);
		assert_int_equal(text[n - 1], '\n');
		sscanf(lines[i], "%*s %*s %*s %*s %c", &letter);
		assert_int_equal(trace_letter(event.op), letter);
		for (size_t size = 0; size <= n; size++)
			assert_int_equal(trace_format(&event, text, size), 0);
	}
}

static void test_writer(void **state)
{
	char path[256];
	struct trace_error error;
	struct trace_writer *writer;
	struct trace *trace;

	(void)state;
	snprintf(path, sizeof(path), "%s", path_of("written.gz"));
	writer = trace_create(path, &error);
	assert_non_null(writer);
	write_events(writer, 1000);
	assert_int_not_equal(access(path, F_OK), 0); /* not before it is complete */
	assert_true(trace_commit(writer, &error));
	trace = trace_load(path, NULL, &error);
	assert_non_null(trace);
	assert_int_equal(trace->version, 2);
	assert_int_equal(trace->count, 1000);
	assert_int_equal(trace->events[999].line, 1002);
	assert_int_equal(trace->events[999].address, 999 * 0x9e3779b97f4a7c15u);
	trace_free(trace);

	/* An abandoned one leaves the old file alone, and nothing beside it. */
	writer = trace_create(path, &error);
	assert_non_null(writer);
	write_events(writer, 10);
	trace_abort(writer);
	trace = trace_load(path, NULL, &error);
	assert_non_null(trace);
	assert_int_equal(trace->count, 1000);
	trace_free(trace);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0); /* empty */
	assert_int_equal(mkdir(directory, 0700), 0);
}

static void test_writer_fails(void **state)
{
	struct trace_error error;
	struct trace_writer *writer = trace_create(path_of("no/such/file"), &error);
	struct trace_event event = { .op = TRACE_EXEC, .pid = 1, .tid = 1 };
	bool written = true;

	(void)state;
	assert_null(writer);
	assert_non_null(strstr(error.text, "No such file"));

	writer = trace_create("/dev/full", &error);
	assert_non_null(writer);
	written = trace_begin(writer, "x", &error);
	for (uint64_t i = 0; written && i < 100000; i++) {
		event.time = i * 0x9e3779b97f4a7c15u >> 1;
		event.name = "name";
		written = trace_write(writer, &event, &error);
	}
	if (written)
		written = trace_commit(writer, &error);
	assert_false(written);
	assert_non_null(strstr(error.text, "No space left"));
	trace_abort(writer);
	assert_int_equal(access("/dev/full", F_OK), 0);
}

static void test_missing_file(void **state)
{
	struct trace_error error;

	(void)state;
	assert_null(trace_load(path_of("nothing"), NULL, &error));
	assert_non_null(strstr(error.text, "No such file"));
	assert_null(trace_load("/", NULL, &error));
	trace_free(NULL);
	trace_abort(NULL);
	trace_close(NULL);
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory); /* fails if a test left something */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),	     cmocka_unit_test(test_faults_and_lives),
		cmocka_unit_test(test_names),	     cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_nul),	     cmocka_unit_test(test_error_is_final),
		cmocka_unit_test(test_long_lines),   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_damaged_gzip), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_writer),	     cmocka_unit_test(test_writer_fails),
		cmocka_unit_test(test_missing_file),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
