/* SPDX-License-Identifier: MIT */
/*
 * Reading trace files. zlib inflates, or passes plain text through; lines are cut out of a buffer
 * that holds the longest one allowed; trace_line.c parses them. What a line can't show, that times
 * never fall and that the number of tasks stays bounded, is checked here.
 */
#define _GNU_SOURCE
#include "trace_file.h"
#include "trace_line.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
	BUFFER_SIZE = 1 << 17, /* more than a line */
	TEXT_CHUNK = 1 << 16,
	DEFAULT_TASKS = 65536,
};

static const uint64_t DEFAULT_MEMORY = (uint64_t)2 << 30;

struct trace_reader {
	gzFile file;
	char *name;
	char *buffer;
	size_t begin; /* of what is in the buffer and not yet consumed */
	size_t end;
	uint64_t offset; /* of begin in the text */
	uint64_t time;
	uint32_t line;
	uint32_t tasks;
	uint32_t tasks_max;
	unsigned version;
	bool ended;
	uint8_t seen[TRACE_TID_MAX / 8];
};

/* Names of a loaded trace, in chunks that never move. */
struct trace_text {
	struct trace_text *next;
	size_t used;
	size_t size;
	char bytes[];
};

static int fail(struct trace_reader *reader, struct trace_error *error, size_t column,
		const char *what)
{
	snprintf(error->text, sizeof(error->text), "%.256s: line %" PRIu32 ", byte %" PRIu64 ": %s",
		 reader->name, reader->line, reader->offset + column, what);
	return -1;
}

/* Read more. => 1 there is more, 0 the text has ended, -1 error is set */
static int fill(struct trace_reader *reader, struct trace_error *error)
{
	int n, status;
	const char *what;

	memmove(reader->buffer, reader->buffer + reader->begin, reader->end - reader->begin);
	reader->end -= reader->begin;
	reader->begin = 0;
	n = gzread(reader->file, reader->buffer + reader->end,
		   (unsigned)(BUFFER_SIZE - reader->end));
	if (n > 0) {
		reader->end += (size_t)n;
		return 1;
	}
	what = gzerror(reader->file, &status);
	if (n == 0 && status == Z_OK)
		return 0;
	if (status == Z_BUF_ERROR)
		what = "the compressed file is truncated";
	else if (status == Z_ERRNO)
		what = strerror(errno);
	else if (status == Z_DATA_ERROR)
		what = "the compressed file is corrupted";
	return fail(reader, error, reader->end, what);
}

/*
 * The next line, ended by NUL in place of its newline; it stays until the next call.
 * => 1 with *line and *length, 0 at the end, -1 with error
 */
static int next_line(struct trace_reader *reader, char **line, size_t *length,
		     struct trace_error *error)
{
	char *newline;
	int more;

	reader->line++;
	for (size_t searched = 0;;) {
		char *start = reader->buffer + reader->begin;
		size_t have = reader->end - reader->begin;

		newline = memchr(start + searched, '\n', have - searched);
		if (newline || have >= TRACE_LINE_MAX)
			break;
		searched = have;
		more = fill(reader, error);
		if (more < 0)
			return more;
		if (more == 0)
			return have == 0 ? 0
					 : fail(reader, error, have, "the last line is cut off");
	}
	*line = reader->buffer + reader->begin;
	if (!newline || newline - *line >= TRACE_LINE_MAX)
		return fail(reader, error, TRACE_LINE_MAX, "line too long");
	*newline = '\0';
	*length = (size_t)(newline - *line);
	if (memchr(*line, '\0', *length))
		return fail(reader, error, strlen(*line), "NUL byte");
	return 1;
}

static void consume(struct trace_reader *reader, size_t length)
{
	reader->begin += length + 1;
	reader->offset += length + 1;
}

/* Count a task the first time it is seen. => false: there are too many */
static bool count_task(struct trace_reader *reader, int32_t tid)
{
	uint8_t *byte = &reader->seen[tid / 8];
	uint8_t bit = (uint8_t)(1u << (tid % 8));

	if (!(*byte & bit)) {
		*byte |= bit;
		reader->tasks++;
	}
	return reader->tasks <= reader->tasks_max;
}

static bool read_header(struct trace_reader *reader, struct trace_error *error)
{
	char *line;
	size_t length;
	int more = next_line(reader, &line, &length, error);

	if (more < 0)
		return false;
	if (more == 0) {
		fail(reader, error, 0, "the file is empty");
		return false;
	}
	reader->version = trace_parse_header(line);
	if (reader->version == 0) {
		fail(reader, error, 0, "not a trace: it should begin with '# trace NAME v2:'");
		return false;
	}
	if (reader->version > 2) {
		fail(reader, error, 0, "a version of the format that is not known here");
		return false;
	}
	consume(reader, length);
	return true;
}

struct trace_reader *trace_open_fd(int fd, const char *name, const struct trace_limits *limits,
				   struct trace_error *error)
{
	struct trace_reader *reader = calloc(1, sizeof(*reader));

	if (reader) {
		reader->tasks_max = limits && limits->tasks ? limits->tasks : DEFAULT_TASKS;
		reader->name = strdup(name);
		reader->buffer = malloc(BUFFER_SIZE);
	}
	if (!reader || !reader->name || !reader->buffer || !(reader->file = gzdopen(fd, "rb"))) {
		snprintf(error->text, sizeof(error->text), "%.256s: out of memory", name);
		close(fd);
		trace_close(reader);
		return NULL;
	}
	if (!read_header(reader, error)) {
		trace_close(reader);
		return NULL;
	}
	return reader;
}

struct trace_reader *trace_open(const char *path, const struct trace_limits *limits,
				struct trace_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		snprintf(error->text, sizeof(error->text), "%.256s: %s", path, strerror(errno));
		return NULL;
	}
	return trace_open_fd(fd, path, limits, error);
}

void trace_close(struct trace_reader *reader)
{
	if (!reader)
		return;
	if (reader->file)
		gzclose_r(reader->file);
	free(reader->buffer);
	free(reader->name);
	free(reader);
}

unsigned trace_version(const struct trace_reader *reader)
{
	return reader->version;
}

int trace_next(struct trace_reader *reader, struct trace_event *event, struct trace_error *error)
{
	char *line;
	size_t length, column;
	const char *wrong;
	int more;

	while (!reader->ended) {
		more = next_line(reader, &line, &length, error);
		if (more <= 0) {
			reader->ended = true;
			return more;
		}
		if (line[0] == '#') {
			consume(reader, length);
			continue;
		}
		wrong = trace_parse_line(line, reader->version, event, &column);
		if (!wrong && event->time < reader->time) {
			wrong = "the time is before that of an earlier line";
			column = 0;
		}
		if (!wrong && (!count_task(reader, event->tid) ||
			       (event->op == TRACE_CLONE && !count_task(reader, event->child))))
			wrong = "more tasks than the limit allows";
		if (wrong) {
			reader->ended = true;
			return fail(reader, error, column, wrong);
		}
		event->line = reader->line;
		reader->time = event->time;
		consume(reader, length);
		return 1;
	}
	return 0;
}

struct load {
	struct trace *trace;
	size_t capacity;
	uint64_t memory; /* held */
	uint64_t memory_max;
};

/* Keep a name. => NULL: no memory, or more than the limit */
static const char *keep_name(struct load *load, const char *name)
{
	struct trace_text *text = load->trace->names;
	size_t size = strlen(name) + 1;
	char *copy;

	if (size == 1)
		return "";
	if (!text || text->size - text->used < size) {
		if (load->memory + TEXT_CHUNK > load->memory_max)
			return NULL;
		text = malloc(sizeof(*text) + TEXT_CHUNK);
		if (!text)
			return NULL;
		load->memory += TEXT_CHUNK;
		text->next = load->trace->names;
		text->used = 0;
		text->size = TEXT_CHUNK;
		load->trace->names = text;
	}
	copy = text->bytes + text->used;
	memcpy(copy, name, size);
	text->used += size;
	return copy;
}

static bool keep(struct load *load, const struct trace_event *event)
{
	struct trace *trace = load->trace;

	if (trace->count == load->capacity) {
		size_t capacity = load->capacity ? load->capacity * 2 : 1024;
		uint64_t added = (capacity - load->capacity) * sizeof(*event);
		struct trace_event *events;

		if (load->memory + added > load->memory_max)
			return false;
		events = realloc(trace->events, capacity * sizeof(*event));
		if (!events)
			return false;
		load->memory += added;
		load->capacity = capacity;
		trace->events = events;
	}
	trace->events[trace->count] = *event;
	if (event->name) {
		trace->events[trace->count].name = keep_name(load, event->name);
		if (!trace->events[trace->count].name)
			return false;
	}
	trace->count++;
	return true;
}

static bool load_events(struct load *load, struct trace_reader *reader, struct trace_error *error)
{
	struct trace_event event;
	int more;

	while ((more = trace_next(reader, &event, error)) > 0) {
		if (!keep(load, &event)) {
			fail(reader, error, 0, "the trace needs more memory than the limit allows");
			return false;
		}
	}
	load->trace->version = reader->version;
	load->trace->tasks = reader->tasks;
	return more == 0;
}

struct trace *trace_load(const char *path, const struct trace_limits *limits,
			 struct trace_error *error)
{
	struct trace_reader *reader = trace_open(path, limits, error);
	struct load load = { .memory_max = limits && limits->memory ? limits->memory
								    : DEFAULT_MEMORY };
	bool loaded = false;

	if (!reader)
		return NULL;
	load.trace = calloc(1, sizeof(*load.trace));
	if (load.trace)
		loaded = load_events(&load, reader, error);
	else
		fail(reader, error, 0, "out of memory");
	trace_close(reader);
	if (loaded)
		return load.trace;
	trace_free(load.trace);
	return NULL;
}

void trace_free(struct trace *trace)
{
	if (!trace)
		return;
	while (trace->names) {
		struct trace_text *next = trace->names->next;

		free(trace->names);
		trace->names = next;
	}
	free(trace->events);
	free(trace);
}
