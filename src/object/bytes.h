/* SPDX-License-Identifier: MIT */
/*
 * Bytes of pages that programs may have mapped: others may be at the same ones at any time, so they
 * are touched by relaxed accesses, eight at a time where that is possible. What they meet is their
 * business: a byte is the old one or the new one.
 */
#ifndef QUIRE_OBJECT_BYTES_H
#define QUIRE_OBJECT_BYTES_H

#include "port.h"
#include "sync/atomic.h"

static inline bool bytes_by_word(const void *page, uint64_t length)
{
	return length >= 8 && ((uintptr_t)page & 7) == 0;
}

/* From a page to the caller's memory. */
static inline void bytes_out(unsigned char *to, const unsigned char *page, uint64_t length)
{
	while (length > 0) {
		if (bytes_by_word(page, length)) {
			uint64_t word = at_load((const _Atomic uint64_t *)(const void *)page);

			memcpy(to, &word, 8);
			to += 8, page += 8, length -= 8;
		} else {
			*to++ = at_load((const _Atomic unsigned char *)page);
			page++, length--;
		}
	}
}

/* From the caller's memory to a page. */
static inline void bytes_in(unsigned char *page, const unsigned char *from, uint64_t length)
{
	while (length > 0) {
		if (bytes_by_word(page, length)) {
			uint64_t word;

			memcpy(&word, from, 8);
			at_store((_Atomic uint64_t *)(void *)page, word);
			page += 8, from += 8, length -= 8;
		} else {
			at_store((_Atomic unsigned char *)page, *from++);
			page++, length--;
		}
	}
}

static inline void bytes_clear(unsigned char *page, uint64_t length)
{
	while (length > 0) {
		if (bytes_by_word(page, length)) {
			at_store((_Atomic uint64_t *)(void *)page, 0ull);
			page += 8, length -= 8;
		} else {
			at_store((_Atomic unsigned char *)page, (unsigned char)0);
			page++, length--;
		}
	}
}

#endif
