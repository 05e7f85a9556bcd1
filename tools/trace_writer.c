/* SPDX-License-Identifier: MIT */
/*
 * Writing trace files. The text goes, compressed, into a temporary file beside the target and is
 * renamed onto it when all is on disk; a target that exists and is no regular file (a pipe, a
 * device) is written directly, and never removed.
 */
#define _GNU_SOURCE
#include "trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

struct trace_writer {
	gzFile file;
	char *path;
	char *temporary; /* NULL: the target is written directly */
	char line[TRACE_LINE_MAX];
};

static bool fail(const char *path, struct trace_error *error, const char *what)
{
	snprintf(error->text, sizeof(error->text), "%.256s: %s", path, what);
	return false;
}

/* Open what is written into. => -1 with errno */
static int open_target(struct trace_writer *writer)
{
	static const char suffix[] = ".XXXXXX";
	size_t size = strlen(writer->path) + sizeof(suffix);
	struct stat st;
	mode_t mask;
	int fd;

	if (stat(writer->path, &st) == 0 && !S_ISREG(st.st_mode))
		return open(writer->path, O_WRONLY | O_CLOEXEC);
	writer->temporary = malloc(size);
	if (!writer->temporary)
		return -1;
	snprintf(writer->temporary, size, "%s%s", writer->path, suffix);
	fd = mkostemp(writer->temporary, O_CLOEXEC);
	if (fd < 0) {
		free(writer->temporary);
		writer->temporary = NULL;
		return -1;
	}
	mask = umask(0);
	umask(mask);
	if (fchmod(fd, 0666 & ~mask) == 0)
		return fd;
	close(fd);
	return -1;
}

struct trace_writer *trace_create(const char *path, struct trace_error *error)
{
	struct trace_writer *writer = calloc(1, sizeof(*writer));
	int fd = -1;

	if (writer && (writer->path = strdup(path)) != NULL)
		fd = open_target(writer);
	if (fd >= 0 && (writer->file = gzdopen(fd, "wb")) == NULL)
		close(fd);
	if (writer && writer->file)
		return writer;
	fail(path, error, strerror(errno));
	trace_abort(writer);
	return NULL;
}

static bool write_text(struct trace_writer *writer, const char *text, size_t length,
		       struct trace_error *error)
{
	int status;
	const char *what;

	errno = 0;
	if (gzwrite(writer->file, text, (unsigned)length) == (int)length)
		return true;
	what = gzerror(writer->file, &status);
	return fail(writer->path, error, status == Z_ERRNO ? strerror(errno) : what);
}

/* Blanks and control characters would break the line. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			*text = '_';
}

bool trace_begin(struct trace_writer *writer, const char *program, struct trace_error *error)
{
	char name[256];
	int n;

	snprintf(name, sizeof(name), "%s", program);
	clean(name);
	n = snprintf(writer->line, sizeof(writer->line),
		     "# trace %s v2: t_ns pid tid cpu op args\n", name);
	return write_text(writer, writer->line, (size_t)n, error);
}

bool trace_write(struct trace_writer *writer, const struct trace_event *event,
		 struct trace_error *error)
{
	size_t n = trace_format(event, writer->line, sizeof(writer->line));

	if (n == 0)
		return fail(writer->path, error, "an event doesn't fit on a line");
	return write_text(writer, writer->line, n, error);
}

bool trace_comment(struct trace_writer *writer, const char *text, struct trace_error *error)
{
	int n = snprintf(writer->line, sizeof(writer->line), "# %.4096s\n", text);

	return write_text(writer, writer->line, (size_t)n, error);
}

static void release(struct trace_writer *writer)
{
	free(writer->temporary);
	free(writer->path);
	free(writer);
}

bool trace_commit(struct trace_writer *writer, struct trace_error *error)
{
	int status;

	errno = 0;
	status = gzclose_w(writer->file);
	writer->file = NULL;
	if (status != Z_OK)
		return fail(writer->path, error,
			    status == Z_ERRNO ? strerror(errno) : "compression failed");
	if (writer->temporary && rename(writer->temporary, writer->path) != 0)
		return fail(writer->path, error, strerror(errno));
	release(writer);
	return true;
}

void trace_abort(struct trace_writer *writer)
{
	if (!writer)
		return;
	if (writer->file)
		gzclose_w(writer->file);
	if (writer->temporary)
		unlink(writer->temporary);
	release(writer);
}
