/* SPDX-License-Identifier: MIT */
#include "lib/print.h"

#include "arch/console.h"
#include "lib/errno.h"
#include "lib/list.h"
#include "lib/string.h"
#include "memory/heap.h"

#define MESSAGE_ROOM 1024

/* Where text goes; `length` counts what did not fit, too. */
struct sink {
	char *text;
	size_t size, length;
};

/* One conversion: %[-0][width][.precision][length]letter. */
struct conversion {
	bool left, zero;
	int width, precision; /* precision -1: none */
	int size;	      /* bytes of the integer */
	char letter;
};

static void put(struct sink *sink, char c)
{
	if (sink->length < sink->size)
		sink->text[sink->length] = c;
	sink->length++;
}

static void put_padded(struct sink *sink, const struct conversion *how, const char *text, size_t n)
{
	size_t width = how->width > 0 ? (size_t)how->width : 0;
	size_t pad = width > n ? width - n : 0;

	for (; pad > 0 && !how->left; pad--)
		put(sink, ' ');
	for (size_t i = 0; i < n; i++)
		put(sink, text[i]);
	for (; pad > 0; pad--)
		put(sink, ' ');
}

static void put_number(struct sink *sink, const struct conversion *how, uint64_t value,
		       bool negative)
{
	const char *digits = how->letter == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	unsigned base = how->letter == 'x' || how->letter == 'X' || how->letter == 'p' ? 16 : 10;
	char text[64];
	char *at = text + sizeof(text);
	char *least = at;

	if (how->zero && !how->left && how->width > 0)
		least = at - MIN(how->width - negative, 40);
	do {
		*--at = digits[value % base];
		value /= base;
	} while (value != 0);
	while (at > least)
		*--at = '0';
	if (how->letter == 'p') {
		*--at = 'x';
		*--at = '0';
	}
	if (negative)
		*--at = '-';
	put_padded(sink, how, at, (size_t)(text + sizeof(text) - at));
}

static int parse_width(const char **string, va_list *arguments)
{
	if (**string == '*') {
		(*string)++;
		return va_arg(*arguments, int);
	}
	return (int)parse_number(string, 10);
}

/* From behind the % up to behind the letter. */
static const char *parse(const char *string, struct conversion *how, va_list *arguments)
{
	*how = (struct conversion){ .precision = -1, .size = sizeof(int) };
	for (;; string++) {
		if (*string == '-')
			how->left = true;
		else if (*string == '0')
			how->zero = true;
		else
			break;
	}
	how->width = parse_width(&string, arguments);
	if (how->width < 0) {
		how->left = true;
		how->width = -how->width;
	}
	if (*string == '.') {
		string++;
		how->precision = parse_width(&string, arguments);
	}
	for (; *string == 'l' || *string == 'z'; string++)
		how->size = sizeof(long);
	for (; *string == 'h'; string++)
		how->size /= 2;
	how->letter = *string;
	return *string != '\0' ? string + 1 : string;
}

static void convert_signed(struct sink *sink, const struct conversion *how, va_list *arguments)
{
	int64_t value = how->size == 8 ? va_arg(*arguments, int64_t) : va_arg(*arguments, int);

	if (how->size == 2)
		value = (int16_t)value;
	else if (how->size == 1)
		value = (int8_t)value;
	put_number(sink, how, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

static void convert_unsigned(struct sink *sink, const struct conversion *how, va_list *arguments)
{
	uint64_t value = how->size == 8 ? va_arg(*arguments, uint64_t)
					: va_arg(*arguments, unsigned);

	if (how->size < 4)
		value &= (1ull << how->size * 8) - 1;
	put_number(sink, how, value, false);
}

static void convert(struct sink *sink, const struct conversion *how, va_list *arguments)
{
	const char *text;
	char c;

	switch (how->letter) {
	case 'd':
	case 'i':
		convert_signed(sink, how, arguments);
		break;
	case 'u':
	case 'x':
	case 'X':
		convert_unsigned(sink, how, arguments);
		break;
	case 'p':
		put_number(sink, how, (uintptr_t)va_arg(*arguments, void *), false);
		break;
	case 'c':
		c = (char)va_arg(*arguments, int);
		put_padded(sink, how, &c, 1);
		break;
	case 's':
		text = va_arg(*arguments, const char *);
		text = text != NULL ? text : "(null)";
		put_padded(sink, how, text,
			   strnlen(text, how->precision < 0 ? SIZE_MAX : (size_t)how->precision));
		break;
	default: /* %% */
		put(sink, how->letter);
	}
}

int vformat(char *text, size_t size, const char *string, va_list arguments)
{
	struct sink sink = { .text = text, .size = size };
	struct conversion how;
	va_list copy;

	va_copy(copy, arguments);
	while (*string != '\0') {
		if (*string != '%') {
			put(&sink, *string++);
			continue;
		}
		string = parse(string + 1, &how, &copy);
		convert(&sink, &how, &copy);
	}
	va_end(copy);
	if (size > 0)
		text[MIN(sink.length, size - 1)] = '\0';
	return (int)sink.length;
}

int format(char *text, size_t size, const char *string, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, string);
	length = vformat(text, size, string, arguments);
	va_end(arguments);
	return length;
}

static void send(void (*write)(const char *, size_t), const char *string, va_list arguments)
{
	char text[MESSAGE_ROOM];
	int length = vformat(text, sizeof(text), string, arguments);

	write(text, MIN((size_t)length, sizeof(text) - 1));
}

void print(const char *string, ...)
{
	va_list arguments;

	va_start(arguments, string);
	send(console_write, string, arguments);
	va_end(arguments);
}

void report(const char *string, ...)
{
	va_list arguments;

	va_start(arguments, string);
	send(report_write, string, arguments);
	va_end(arguments);
}

/* Room for `more` bytes and a NUL. */
static bool text_grow(struct text *text, size_t more)
{
	size_t room = MAX(text->room * 2, text->length + more + 256);
	char *bytes;

	if (text->error != 0)
		return false;
	if (text->length + more < text->room)
		return true;
	bytes = heap_alloc(room);
	if (bytes == NULL) {
		text->error = -ENOMEM;
		return false;
	}
	if (text->length > 0)
		memcpy(bytes, text->bytes, text->length);
	heap_free(text->bytes);
	text->bytes = bytes;
	text->room = room;
	return true;
}

void text_add(struct text *text, const char *string, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, string);
	length = vformat(NULL, 0, string, arguments);
	va_end(arguments);
	if (!text_grow(text, (size_t)length))
		return;
	va_start(arguments, string);
	vformat(text->bytes + text->length, text->room - text->length, string, arguments);
	va_end(arguments);
	text->length += (size_t)length;
}

void text_free(struct text *text)
{
	heap_free(text->bytes);
	*text = (struct text){ 0 };
}
