/* SPDX-License-Identifier: MIT */
/*
 * One line of a trace. Every op has a string of field letters, and both directions walk it:
 *
 *   d duration, decimal       a address      l length        p prot       g flags or advice
 *   f descriptor, 32 bits     o offset       n new length    w new address
 *   e error code, or `-` (version 2) where the recorder couldn't know it
 *   = the sign itself         r result, signed hexadecimal
 *   c child's tid, decimal    b start and end of a range      m rights, `rwxp`
 *   i inode, decimal          y device:inode                  s a name: the rest of the line
 *   ? the next field may be absent
 *
 * Fields are separated by one blank. A number has no sign, no prefix, and fits its type.
 */
#include "trace_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	char letter;
	uint8_t version; /* the first that has it */
	const char *fields;
	const char *name;
} ops[TRACE_OP_COUNT] = {
	[TRACE_FAULT] = { 'F', 1, "ae", "fault" },
	[TRACE_KERNEL_FAULT] = { 'K', 1, "ae", "kernel fault" },
	[TRACE_MMAP] = { 'M', 1, "dalpgfo=r", "mmap" },
	[TRACE_MUNMAP] = { 'U', 1, "dal=r", "munmap" },
	[TRACE_MPROTECT] = { 'P', 1, "dalp=r", "mprotect" },
	[TRACE_MADVISE] = { 'A', 1, "dalg=r", "madvise" },
	[TRACE_BRK] = { 'B', 1, "da=r", "brk" },
	[TRACE_MREMAP] = { 'R', 1, "dalngw=r", "mremap" },
	[TRACE_MLOCK] = { 'L', 1, "dal?g=r", "mlock" },
	[TRACE_MUNLOCK] = { 'l', 1, "dal?g=r", "munlock" },
	[TRACE_MSYNC] = { 'S', 1, "dal?g=r", "msync" },
	[TRACE_CLONE] = { 'C', 1, "c?g", "clone" },
	[TRACE_EXEC] = { 'E', 1, "s", "exec" },
	[TRACE_EXIT] = { 'X', 1, "", "exit" },
	[TRACE_LAYOUT] = { 'V', 2, "bmoi?s", "layout" },
	[TRACE_FILE] = { 'O', 2, "fyl?s", "file" },
	[TRACE_FINAL] = { 'Z', 2, "bmoi?s", "final layout" },
};

char trace_letter(enum trace_op op)
{
	return ops[op].letter;
}

const char *trace_op_name(enum trace_op op)
{
	return ops[op].name;
}

/* A value of the digit in either base, or 16. */
static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	return 16;
}

/* Read a number at **at up to the first byte that is no digit of the base; move *at there. */
static const char *number(char **at, unsigned base, uint64_t max, uint64_t *value)
{
	const char *start = *at;
	uint64_t sum = 0;
	unsigned d;

	for (; (d = digit(**at)) < base; (*at)++) {
		if (sum > (max - d) / base)
			return "number too large";
		sum = sum * base + d;
	}
	if (*at == start)
		return base == 10 ? "decimal number expected" : "hexadecimal number expected";
	*value = sum;
	return NULL;
}

static const char *blank(char **at)
{
	if (**at == '\0')
		return "line ends too early";
	if (**at != ' ')
		return "blank expected";
	(*at)++;
	return NULL;
}

static const char *sign(char **at, char c, const char *what)
{
	if (**at != c)
		return what;
	(*at)++;
	return NULL;
}

static const char *signed_number(char **at, int64_t *value)
{
	bool negative = **at == '-';
	uint64_t magnitude;
	const char *wrong;

	if (negative)
		(*at)++;
	wrong = number(at, 16, INT64_MAX, &magnitude);
	if (!wrong)
		*value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
	return wrong;
}

/* `start end`: a range that isn't empty, of whole pages. */
static const char *range(char **at, struct trace_event *event)
{
	const char *wrong;
	uint64_t end;

	wrong = number(at, 16, UINT64_MAX, &event->address);
	if (!wrong)
		wrong = blank(at);
	if (!wrong)
		wrong = number(at, 16, UINT64_MAX, &end);
	if (wrong)
		return wrong;
	if (end <= event->address || ((event->address | end) & 0xfff))
		return "not a range of pages";
	event->length = end - event->address;
	return NULL;
}

static const char *rights(char **at, struct trace_event *event)
{
	static const char letters[] = "rwx";
	char *p = *at;

	event->prot = 0;
	for (unsigned i = 0; i < 3; i++, p++) {
		if (*p == letters[i])
			event->prot |= 1u << i;
		else if (*p != '-')
			return "rights expected, like rw-p";
	}
	if (*p != 'p' && *p != 's')
		return "rights expected, like rw-p";
	event->flags = *p == 's' ? TRACE_MAP_SHARED : TRACE_MAP_PRIVATE;
	*at = p + 1;
	return NULL;
}

static const char *error_code(char **at, unsigned version, struct trace_event *event)
{
	const char *wrong;
	uint64_t value;

	event->known = true;
	if (**at == '-' && version >= 2) {
		(*at)++;
		event->known = false;
		event->error = 0;
		return NULL;
	}
	wrong = number(at, 16, UINT32_MAX, &value);
	if (!wrong)
		event->error = (uint32_t)value;
	return wrong;
}

/* The rest of the line: printable, not empty. */
static const char *text(char **at, struct trace_event *event)
{
	char *p = *at;

	for (; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			*at = p;
			return "control character in a name";
		}
	}
	if (p == *at)
		return "name expected";
	if (p - *at > TRACE_NAME_MAX)
		return "name too long";
	event->name = *at;
	*at = p;
	return NULL;
}

static const char *task(char **at, int32_t *tid)
{
	uint64_t value = 0;
	const char *wrong = number(at, 10, TRACE_TID_MAX - 1, &value);

	if (!wrong && value == 0)
		wrong = "0 is no task";
	*tid = (int32_t)value;
	return wrong;
}

static const char *descriptor(char **at, struct trace_event *event)
{
	uint64_t value = 0;
	const char *wrong = number(at, 16, UINT32_MAX, &value);

	event->fd = (int32_t)(uint32_t)value;
	return wrong;
}

static const char *device_inode(char **at, struct trace_event *event)
{
	const char *wrong = number(at, 16, UINT64_MAX, &event->device);

	if (!wrong)
		wrong = sign(at, ':', "':' expected");
	return wrong ? wrong : number(at, 10, UINT64_MAX, &event->inode);
}

static const char *field(char **at, char letter, unsigned version, struct trace_event *event)
{
	switch (letter) {
	case 'd':
		return number(at, 10, UINT64_MAX, &event->duration);
	case 'a':
		return number(at, 16, UINT64_MAX, &event->address);
	case 'l':
		return number(at, 16, UINT64_MAX, &event->length);
	case 'p':
		return number(at, 16, UINT64_MAX, &event->prot);
	case 'g':
		event->known = true;
		return number(at, 16, UINT64_MAX, &event->flags);
	case 'o':
		return number(at, 16, UINT64_MAX, &event->offset);
	case 'n':
		return number(at, 16, UINT64_MAX, &event->new_length);
	case 'w':
		return number(at, 16, UINT64_MAX, &event->new_address);
	case 'i':
		return number(at, 10, UINT64_MAX, &event->inode);
	case 'f':
		return descriptor(at, event);
	case 'e':
		return error_code(at, version, event);
	case '=':
		return sign(at, '=', "'=' expected");
	case 'r':
		return signed_number(at, &event->result);
	case 'c':
		return task(at, &event->child);
	case 'b':
		return range(at, event);
	case 'm':
		return rights(at, event);
	case 'y':
		return device_inode(at, event);
	default:
		return text(at, event);
	}
}

static const char *find_op(char **at, unsigned version, struct trace_event *event)
{
	for (unsigned op = 0; op < TRACE_OP_COUNT; op++) {
		if (**at != ops[op].letter)
			continue;
		if (version < ops[op].version)
			return "an op that version 1 does not have";
		(*at)++;
		event->op = (uint8_t)op;
		return NULL;
	}
	return "unknown op";
}

/* `t pid tid cpu OP` */
static const char *prefix(char **at, unsigned version, struct trace_event *event)
{
	uint64_t cpu = 0;
	const char *wrong;

	if ((wrong = number(at, 10, INT64_MAX, &event->time)) || (wrong = blank(at)) ||
	    (wrong = task(at, &event->pid)) || (wrong = blank(at)) ||
	    (wrong = task(at, &event->tid)) || (wrong = blank(at)) ||
	    (wrong = number(at, 10, UINT16_MAX, &cpu)) || (wrong = blank(at)))
		return wrong;
	event->cpu = (uint16_t)cpu;
	return find_op(at, version, event);
}

static const char *fields(char **at, unsigned version, struct trace_event *event)
{
	const char *wrong;

	for (const char *f = ops[event->op].fields; *f; f++) {
		if (*f == '?') {
			f++;
			if (*f == 's')
				event->name = "";
			if (**at == '\0' || (f[1] == '=' && strncmp(*at, " =", 2) == 0))
				continue;
		}
		if ((wrong = blank(at)) || (wrong = field(at, *f, version, event)))
			return wrong;
	}
	return **at == '\0' ? NULL : "more on the line than its op has";
}

const char *trace_parse_line(char *line, unsigned version, struct trace_event *event,
			     size_t *column)
{
	char *at = line;
	const char *wrong;

	memset(event, 0, sizeof(*event));
	wrong = prefix(&at, version, event);
	if (!wrong)
		wrong = fields(&at, version, event);
	*column = (size_t)(at - line);
	return wrong;
}

unsigned trace_parse_header(const char *line)
{
	static const char start[] = "# trace ";
	const char *p = line;

	if (strncmp(p, start, sizeof(start) - 1) != 0)
		return 0;
	for (p += sizeof(start) - 2; (p = strstr(p, " v")) != NULL; p++) {
		if (p[2] >= '1' && p[2] <= '9' && p[3] == ':')
			return (unsigned)(p[2] - '0');
	}
	return 0;
}

/* A line under construction; full once something didn't fit. */
struct line {
	char *text;
	size_t size;
	size_t length;
	bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *format, ...)
{
	va_list args;
	int n;

	if (line->full)
		return;
	va_start(args, format);
	n = vsnprintf(line->text + line->length, line->size - line->length, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= line->size - line->length)
		line->full = true;
	else
		line->length += (size_t)n;
}

static void put_rights(struct line *line, const struct trace_event *event)
{
	put(line, " %c%c%c%c", event->prot & TRACE_PROT_READ ? 'r' : '-',
	    event->prot & TRACE_PROT_WRITE ? 'w' : '-', event->prot & TRACE_PROT_EXEC ? 'x' : '-',
	    event->flags & TRACE_MAP_SHARED ? 's' : 'p');
}

static void put_result(struct line *line, int64_t result)
{
	if (result < 0)
		put(line, " -%" PRIx64, -(uint64_t)result);
	else
		put(line, " %" PRIx64, (uint64_t)result);
}

static void put_field(struct line *line, char letter, const struct trace_event *event)
{
	switch (letter) {
	case 'd':
		put(line, " %" PRIu64, event->duration);
		break;
	case 'a':
		put(line, " %" PRIx64, event->address);
		break;
	case 'l':
		put(line, " %" PRIx64, event->length);
		break;
	case 'p':
		put(line, " %" PRIx64, event->prot);
		break;
	case 'g':
		put(line, " %" PRIx64, event->flags);
		break;
	case 'o':
		put(line, " %" PRIx64, event->offset);
		break;
	case 'n':
		put(line, " %" PRIx64, event->new_length);
		break;
	case 'w':
		put(line, " %" PRIx64, event->new_address);
		break;
	case 'i':
		put(line, " %" PRIu64, event->inode);
		break;
	case 'f':
		put(line, " %" PRIx32, (uint32_t)event->fd);
		break;
	case 'e':
		if (event->known)
			put(line, " %" PRIx32, event->error);
		else
			put(line, " -");
		break;
	case '=':
		put(line, " =");
		break;
	case 'r':
		put_result(line, event->result);
		break;
	case 'c':
		put(line, " %" PRId32, event->child);
		break;
	case 'b':
		put(line, " %" PRIx64 " %" PRIx64, event->address, event->address + event->length);
		break;
	case 'm':
		put_rights(line, event);
		break;
	case 'y':
		put(line, " %" PRIx64 ":%" PRIu64, event->device, event->inode);
		break;
	default:
		put(line, " %s", event->name ? event->name : "?");
	}
}

/* Is there something to write into an optional field? */
static bool is_given(char letter, const struct trace_event *event)
{
	return letter == 's' ? event->name && *event->name : event->known || event->flags != 0;
}

size_t trace_format(const struct trace_event *event, char *text, size_t size)
{
	struct line line = { .text = text, .size = size };

	put(&line, "%" PRIu64 " %" PRId32 " %" PRId32 " %u %c", event->time, event->pid, event->tid,
	    (unsigned)event->cpu, ops[event->op].letter);
	for (const char *f = ops[event->op].fields; *f; f++) {
		if (*f == '?' && !is_given(*++f, event))
			continue;
		put_field(&line, *f, event);
	}
	put(&line, "\n");
	return line.full ? 0 : line.length;
}
