/* SPDX-License-Identifier: MIT */
/*
 * What a program finds on its stack, made as bytes in the kernel and copied at once.
 *
 *     USER_END   8 bytes of zero
 *                path of the program (AT_EXECFN)
 *                environment strings, argument strings: in order, upwards
 *                "x86_64", 16 random bytes
 *                ... to a multiple of 16
 *                auxiliary vector, its end, environment pointers, NULL, argument pointers, NULL
 *     sp ──►     number of arguments
 */
#include "task/exec_parts.h"

#include "lib/string.h"
#include "memory/heap.h"
#include "task/clock.h"
#include "task/limits.h"
#include "task/random.h"
#include "task/signal_parts.h"

enum {
	AT_NULL = 0,
	AT_PHDR = 3,
	AT_PHENT = 4,
	AT_PHNUM = 5,
	AT_PAGESZ = 6,
	AT_BASE = 7,
	AT_FLAGS = 8,
	AT_ENTRY = 9,
	AT_UID = 11,
	AT_EUID = 12,
	AT_GID = 13,
	AT_EGID = 14,
	AT_PLATFORM = 15,
	AT_HWCAP = 16,
	AT_CLKTCK = 17,
	AT_SECURE = 23,
	AT_RANDOM = 25,
	AT_HWCAP2 = 26,
	AT_EXECFN = 31,
	AT_MINSIGSTKSZ = 51,
};
#define AUXILIARY_WORDS (2 * 20)
#define ROOM_LEAST (128ull << 10)
#define ROOM_MOST (3ull << 20) /* the heap's blocks are up to 4 MiB */
#define STRING_MOST (128ull << 10)

static const char platform[8] = "x86_64";

uint64_t exec_room(const struct process *process)
{
	uint64_t quarter = process->limits[RLIMIT_STACK][0] / 4;

	return MIN(MAX(quarter, ROOM_LEAST), ROOM_MOST);
}

/* Where the next bytes go: downwards for strings, upwards for words. */
struct writer {
	char *image; /* what is at `base` */
	uint64_t base, at;
};

static uint64_t put_bytes(struct writer *to, const void *bytes, size_t size)
{
	to->at -= size;
	memcpy(to->image + (to->at - to->base), bytes, size);
	return to->at;
}

static void put_word(struct writer *to, uint64_t word)
{
	memcpy(to->image + (to->at - to->base), &word, sizeof(word));
	to->at += sizeof(word);
}

static void put_pair(struct writer *to, uint64_t type, uint64_t value)
{
	put_word(to, type);
	put_word(to, value);
}

/* Bytes of the strings and the number of them; -E2BIG. */
static int measure(char *const *vector, uint64_t room, uint64_t *size, uint64_t *count)
{
	for (*size = *count = 0; vector[*count]; ++*count) {
		size_t length = strlen(vector[*count]) + 1;

		if (length > STRING_MOST)
			return -E2BIG;
		*size += length;
		if (*size + (*count + 1) * sizeof(uint64_t) > room)
			return -E2BIG;
	}
	return 0;
}

/* The strings side by side from to->at - size on. Returns where they begin. */
static uint64_t put_strings(struct writer *to, char *const *vector, uint64_t size)
{
	uint64_t at = to->at -= size;

	for (unsigned i = 0; vector[i]; i++) {
		size_t length = strlen(vector[i]) + 1;

		memcpy(to->image + (at - to->base), vector[i], length);
		at += length;
	}
	return to->at;
}

static void put_pointers(struct writer *to, char *const *vector, uint64_t at)
{
	for (unsigned i = 0; vector[i]; i++) {
		put_word(to, at);
		at += strlen(vector[i]) + 1;
	}
	put_word(to, 0);
}

static void put_auxiliary(struct writer *to, const struct exec *exec, uint64_t name,
			  uint64_t platform_at, uint64_t random)
{
	const struct elf_image *program = &exec->program;

	put_pair(to, AT_HWCAP, cpu_features.hwcap);
	put_pair(to, AT_PAGESZ, QUIRE_PAGE_SIZE);
	put_pair(to, AT_CLKTCK, USER_HZ);
	put_pair(to, AT_PHDR, program->table ? program->table + exec->bias : 0);
	put_pair(to, AT_PHENT, ELF_SEGMENT_SIZE);
	put_pair(to, AT_PHNUM, program->header.table_count);
	put_pair(to, AT_BASE, exec->interpreter_bias);
	put_pair(to, AT_FLAGS, 0);
	put_pair(to, AT_ENTRY, program->header.entry + exec->bias);
	put_pair(to, AT_UID, 0);
	put_pair(to, AT_EUID, 0);
	put_pair(to, AT_GID, 0);
	put_pair(to, AT_EGID, 0);
	put_pair(to, AT_SECURE, 0);
	put_pair(to, AT_RANDOM, random);
	put_pair(to, AT_HWCAP2, cpu_features.hwcap2);
	put_pair(to, AT_EXECFN, name);
	put_pair(to, AT_PLATFORM, platform_at);
	put_pair(to, AT_MINSIGSTKSZ, signal_frame_room());
	put_pair(to, AT_NULL, 0);
}

/* How large it all is: one number for each part of the picture. */
struct sizes {
	uint64_t arguments, argument_count, environment, environment_count;
	uint64_t name, total;
};

static int measure_all(const struct exec *exec, struct sizes *sizes)
{
	uint64_t room = exec_room(current_process()), words;

	sizes->name = strlen(exec->name) + 1;
	if (measure(exec->arguments, room, &sizes->arguments, &sizes->argument_count))
		return -E2BIG;
	room -= sizes->arguments + sizes->argument_count * sizeof(uint64_t);
	if (measure(exec->environment, room, &sizes->environment, &sizes->environment_count))
		return -E2BIG;
	words = 3 + sizes->argument_count + sizes->environment_count + AUXILIARY_WORDS;
	/* 8: the zero at the end; 16: random bytes; two roundings to 16. */
	sizes->total = words * 8 + 8 + sizes->name + sizes->environment + sizes->arguments +
		       sizeof(platform) + 16 + 2 * 16;
	sizes->total = (sizes->total + 15) & ~15ull;
	return 0;
}

int exec_make_stack(struct exec *exec)
{
	struct space *space = exec->space;
	struct sizes sizes;
	struct writer to;
	uint64_t name, platform_at, random, words;
	uint8_t secret[16];

	if (measure_all(exec, &sizes))
		return -E2BIG;
	exec->image = heap_zero(sizes.total);
	if (!exec->image)
		return -ENOMEM;
	to = (struct writer){ exec->image, USER_END - sizes.total, USER_END - 8 };
	name = put_bytes(&to, exec->name, sizes.name);
	space->environment_end = to.at;
	space->environment = put_strings(&to, exec->environment, sizes.environment);
	space->arguments = put_strings(&to, exec->arguments, sizes.arguments);
	platform_at = put_bytes(&to, platform, sizeof(platform));
	random_bytes(secret, sizeof(secret));
	random = put_bytes(&to, secret, sizeof(secret));
	words = 3 + sizes.argument_count + sizes.environment_count + AUXILIARY_WORDS;
	exec->sp = (to.at - words * 8) & ~15ull;
	to.at = exec->sp;
	put_word(&to, sizes.argument_count);
	put_pointers(&to, exec->arguments, space->arguments);
	put_pointers(&to, exec->environment, space->environment);
	put_auxiliary(&to, exec, name, platform_at, random);
	space->stack_top = exec->sp;
	/* What is copied begins at sp. */
	memmove(exec->image, exec->image + (exec->sp - to.base), USER_END - exec->sp);
	return 0;
}
