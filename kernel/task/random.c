/* SPDX-License-Identifier: MIT */
/*
 * Random bytes: ChaCha20 (RFC 8439), keyed from RDRAND where the CPU has it and from the time stamp
 * counter. Each request runs the cipher under the key and then replaces the key by the cipher's
 * next output, so that what was given out cannot be computed later.
 *
 * Without RDRAND the seed is the time stamp alone: good for hash tables, not for secrets.
 */
#include "task/random.h"

#include "arch/cpu.h"
#include "calls/calls.h"
#include "lib/string.h"
#include "memory/user.h"

#define WORDS 16
#define KEY_WORDS 8

enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };

static struct lock random_lock;
static uint32_t key[KEY_WORDS];
static bool seeded;

static inline uint32_t rotate(uint32_t x, unsigned by)
{
	return x << by | x >> (32 - by);
}

static void quarter(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	*a += *b;
	*d = rotate(*d ^ *a, 16);
	*c += *d;
	*b = rotate(*b ^ *c, 12);
	*a += *b;
	*d = rotate(*d ^ *a, 8);
	*c += *d;
	*b = rotate(*b ^ *c, 7);
}

static void block(const uint32_t with[KEY_WORDS], uint32_t counter, uint32_t out[WORDS])
{
	uint32_t start[WORDS] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

	memcpy(start + 4, with, KEY_WORDS * sizeof(uint32_t));
	start[12] = counter;
	memcpy(out, start, sizeof(start));
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 4; i++)
			quarter(&out[i], &out[4 + i], &out[8 + i], &out[12 + i]);
		for (unsigned i = 0; i < 4; i++)
			quarter(&out[i], &out[4 + (i + 1) % 4], &out[8 + (i + 2) % 4],
				&out[12 + (i + 3) % 4]);
	}
	for (unsigned i = 0; i < WORDS; i++)
		out[i] += start[i];
}

static bool has_rdrand(void)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> 30 & 1;
}

/* => random_lock held */
static void seed(void)
{
	bool rdrand = has_rdrand();

	for (unsigned i = 0; i < KEY_WORDS; i++) {
		uint64_t word = 0;

		if (rdrand)
			__asm__ volatile("rdrand %0" : "+r"(word)::"cc");
		word ^= tsc_read() ^ time_at_boot << (i * 7);
		key[i] = (uint32_t)(word ^ word >> 32);
	}
	seeded = true;
}

/* Bytes for one request, which are a key of its own if it needs more; the common key moves on. */
static void draw(uint32_t own[KEY_WORDS])
{
	uint32_t out[WORDS];

	lock_take(&random_lock);
	if (!seeded)
		seed();
	block(key, 0, out);
	memcpy(key, out, sizeof(key));
	lock_drop(&random_lock);
	memcpy(own, out + KEY_WORDS, KEY_WORDS * sizeof(uint32_t));
}

void random_bytes(void *to, size_t size)
{
	uint32_t own[KEY_WORDS], out[WORDS];
	uint8_t *at = to;

	draw(own);
	if (size <= sizeof(own)) {
		memcpy(to, own, size);
		return;
	}
	for (uint32_t counter = 0; size > 0; counter++) {
		size_t part = MIN(size, sizeof(out));

		block(own, counter, out);
		memcpy(at, out, part);
		at += part;
		size -= part;
	}
}

int64_t call_getrandom(struct registers *regs)
{
	uint64_t at = ARG(regs, 0), size = MIN(ARG(regs, 1), (uint64_t)INT32_MAX);
	uint8_t bytes[256];
	uint64_t done = 0, both = GRND_RANDOM | GRND_INSECURE;

	if (ARG(regs, 2) & ~(both | GRND_NONBLOCK) || (ARG(regs, 2) & both) == both)
		return -EINVAL;
	while (done < size) {
		size_t part = MIN(size - done, sizeof(bytes)), missing;

		random_bytes(bytes, part);
		missing = user_write_some(at + done, bytes, part);
		done += part - missing;
		if (missing)
			return done ? (int64_t)done : -EFAULT;
	}
	return (int64_t)done;
}
