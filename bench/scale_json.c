/* SPDX-License-Identifier: MIT */
/* JSON into a tree. What \u stands for is not decoded: no name here has it. */
#include "scale.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH 64

struct reader {
	const char *at;
	unsigned depth;
};

static struct json *read_value(struct reader *);

static void skip_space(struct reader *r)
{
	while (*r->at && strchr(" \t\r\n", *r->at))
		r->at++;
}

static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (*r->at != c)
		return false;
	r->at++;
	return true;
}

/* => behind the opening quote. NULL: it does not end */
static char *read_string(struct reader *r)
{
	const char *end = r->at;
	char *text, *to;

	while (*end && *end != '"')
		end += *end == '\\' && end[1] ? 2 : 1;
	if (!*end || !(text = malloc((size_t)(end - r->at) + 1)))
		return NULL;
	for (to = text; r->at < end; r->at++) {
		if (*r->at == '\\')
			r->at++;
		*to++ = *r->at;
	}
	*to = 0;
	r->at++;
	return text;
}

static bool read_member(struct reader *r, struct json *parent, struct json ***last)
{
	char *key = NULL;

	if (parent->type == JSON_OBJECT &&
	    (!take(r, '"') || !(key = read_string(r)) || !take(r, ':'))) {
		free(key);
		return false;
	}
	**last = read_value(r);
	if (!**last) {
		free(key);
		return false;
	}
	(**last)->key = key;
	*last = &(**last)->next;
	return true;
}

static bool read_members(struct reader *r, struct json *parent, char end)
{
	struct json **last = &parent->first;

	if (take(r, end))
		return true;
	do
		if (!read_member(r, parent, &last))
			return false;
	while (take(r, ','));
	return take(r, end);
}

static bool read_word(struct reader *r, struct json *value)
{
	static const struct {
		const char *text;
		enum json_type type;
		double number;
	} words[] = { { "null", JSON_NULL, 0 },
		      { "true", JSON_BOOL, 1 },
		      { "false", JSON_BOOL, 0 } };
	char *end;

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i].text);

		if (strncmp(r->at, words[i].text, length) != 0)
			continue;
		value->type = words[i].type;
		value->number = words[i].number;
		r->at += length;
		return true;
	}
	if (*r->at != '-' && !isdigit((unsigned char)*r->at))
		return false;
	value->type = JSON_NUMBER;
	value->number = strtod(r->at, &end);
	r->at = end;
	return true;
}

static bool read_into(struct reader *r, struct json *value)
{
	if (take(r, '{')) {
		value->type = JSON_OBJECT;
		return read_members(r, value, '}');
	}
	if (take(r, '[')) {
		value->type = JSON_ARRAY;
		return read_members(r, value, ']');
	}
	if (take(r, '"')) {
		value->type = JSON_STRING;
		value->string = read_string(r);
		return value->string != NULL;
	}
	return read_word(r, value);
}

static struct json *read_value(struct reader *r)
{
	struct json *value = calloc(1, sizeof(*value));
	bool read = value && r->depth++ < DEPTH && read_into(r, value);

	r->depth--;
	if (read)
		return value;
	json_free(value);
	return NULL;
}

struct json *json_read(const char *path)
{
	FILE *file = fopen(path, "r");
	struct json *value = NULL;
	struct reader r = { 0 };
	char *text = NULL;
	size_t size = 0;

	if (!file || getdelim(&text, &size, 0, file) < 0) {
		fprintf(stderr, "scale_model: %s: can't be read\n", path);
	} else {
		r.at = text;
		value = read_value(&r);
		skip_space(&r);
		if (value && *r.at) {
			json_free(value);
			value = NULL;
		}
		if (!value)
			fprintf(stderr, "scale_model: %s: no JSON, at byte %zu\n", path,
				(size_t)(r.at - text));
	}
	if (file)
		fclose(file);
	free(text);
	return value;
}

void json_free(struct json *value)
{
	while (value) {
		struct json *next = value->next;

		json_free(value->first);
		free(value->key);
		free(value->string);
		free(value);
		value = next;
	}
}

const struct json *json_get(const struct json *object, const char *key)
{
	for (const struct json *j = object ? object->first : NULL; j; j = j->next)
		if (j->key && strcmp(j->key, key) == 0)
			return j;
	return NULL;
}

const char *json_string(const struct json *object, const char *key)
{
	const struct json *j = json_get(object, key);

	return j && j->type == JSON_STRING ? j->string : "";
}

double json_number(const struct json *object, const char *key)
{
	const struct json *j = json_get(object, key);

	return j && j->type == JSON_NUMBER ? j->number : 0;
}
