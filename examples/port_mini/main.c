/* SPDX-License-Identifier: MIT */
/* Brings the port up: the first things to try on a port of your own, in this order. */
#include "mini.h"
#include <stdio.h>

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			printf("line %d: not so: %s\n", __LINE__, #x);                             \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static char *byte(struct quire_mm *mm, uint64_t address, enum quire_access access)
{
	return mini_access(mm, address, access);
}

int main(void)
{
	const int rw = QUIRE_PROT_READ | QUIRE_PROT_WRITE;
	const int anonymous = QUIRE_MAP_PRIVATE | QUIRE_MAP_ANONYMOUS;
	struct quire_mm *mm, *child;

	CHECK(mini_start(8 << 20) == 0);
	CHECK(quire_mm_create(NULL, &mm) == 0);

	/* Nothing is mapped; then something is. It reads as zero and keeps what is written. */
	CHECK(byte(mm, 0x100000, QUIRE_READ) == NULL);
	int64_t got = quire_mmap(mm, 0, 1 << 20, rw, anonymous);
	uint64_t base = (uint64_t)got;

	CHECK(got > 0);
	CHECK(*byte(mm, base + 5000, QUIRE_READ) == 0);
	*byte(mm, base + 5000, QUIRE_WRITE) = 7;
	CHECK(*byte(mm, base + 5000, QUIRE_READ) == 7);
	CHECK(byte(mm, base + 5000, QUIRE_EXEC) == NULL);

	/* Copy-on-write, both ways round. */
	CHECK(quire_fork(mm, &child) == 0);
	*byte(mm, base + 5000, QUIRE_WRITE) = 8;
	CHECK(*byte(child, base + 5000, QUIRE_READ) == 7);
	*byte(child, base + 5000, QUIRE_WRITE) = 9;
	CHECK(*byte(mm, base + 5000, QUIRE_READ) == 8);
	quire_mm_destroy(child);

	/* Rights that are taken away, and a mapping that is. */
	CHECK(quire_mprotect(mm, base, 8192, QUIRE_PROT_READ) == 0);
	CHECK(byte(mm, base + 5000, QUIRE_WRITE) == NULL);
	CHECK(*byte(mm, base + 5000, QUIRE_READ) == 8);
	CHECK(quire_munmap(mm, base, 4096 * 2) == 0);
	CHECK(byte(mm, base + 5000, QUIRE_READ) == NULL);
	CHECK(*byte(mm, base + 8192, QUIRE_READ) == 0);

	/* Nothing is broken inside, and nothing is left. */
	const char *broken = quire_validate(NULL);

	CHECK(broken == NULL);
	quire_mm_destroy(mm);
	CHECK(mini_stop() == 0);
	puts("the port works");
	return 0;
}
