/* SPDX-License-Identifier: MIT */
/*
 * The explorer's atomics: each is a call that may give the processor to another virtual CPU before
 * it takes effect (sync/atomic.h says what each must mean).
 */
#ifndef EXPLORE_PORT_ATOMIC_H
#define EXPLORE_PORT_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum explore_order { EXPLORE_RELAXED, EXPLORE_ACQUIRE, EXPLORE_RELEASE, EXPLORE_FULL };

/* Where in the source an access stands. */
struct explore_site {
	const char *file, *what;
	int line;
};

uint64_t explore_load(const volatile void *p, unsigned size, enum explore_order,
		      const struct explore_site *);
void explore_store(volatile void *p, unsigned size, uint64_t value, enum explore_order,
		   const struct explore_site *);
/* Read-modify-writes return the old value, and each is a full barrier. */
uint64_t explore_xchg(volatile void *p, unsigned size, uint64_t value, const struct explore_site *);
uint64_t explore_add(volatile void *p, unsigned size, uint64_t value, const struct explore_site *);
bool explore_cas(volatile void *p, unsigned size, void *expected, uint64_t desired,
		 const struct explore_site *);
void explore_fence(const struct explore_site *);

#define EXPLORE_SITE(text) static const struct explore_site site_ = { __FILE__, text, __LINE__ }
#define EXPLORE_VALUE(p) __typeof__(atomic_load_explicit(p, memory_order_relaxed))
#define EXPLORE_LOAD(p, order)                                                                     \
	({                                                                                         \
		EXPLORE_SITE(#p);                                                                  \
		(EXPLORE_VALUE(p)) explore_load((p), sizeof(*(p)), order, &site_);                 \
	})
#define EXPLORE_STORE(p, v, order)                                                                 \
	({                                                                                         \
		EXPLORE_SITE(#p);                                                                  \
		EXPLORE_VALUE(p) value_ = (v);                                                     \
		explore_store((p), sizeof(*(p)), (uint64_t)value_, order, &site_);                 \
	})
#define EXPLORE_RMW(operation, p, v)                                                               \
	({                                                                                         \
		EXPLORE_SITE(#p);                                                                  \
		EXPLORE_VALUE(p) value_ = (v);                                                     \
		(EXPLORE_VALUE(p)) operation((p), sizeof(*(p)), (uint64_t)value_, &site_);         \
	})

#define at_load(p) EXPLORE_LOAD(p, EXPLORE_RELAXED)
#define at_load_acquire(p) EXPLORE_LOAD(p, EXPLORE_ACQUIRE)
#define at_store(p, v) EXPLORE_STORE(p, v, EXPLORE_RELAXED)
#define at_store_release(p, v) EXPLORE_STORE(p, v, EXPLORE_RELEASE)
#define at_xchg(p, v) EXPLORE_RMW(explore_xchg, p, v)
#define at_add(p, v) EXPLORE_RMW(explore_add, p, v)
#define at_sub(p, v)                                                                               \
	({                                                                                         \
		EXPLORE_SITE(#p);                                                                  \
		EXPLORE_VALUE(p) value_ = (v);                                                     \
		(EXPLORE_VALUE(p)) explore_add((p), sizeof(*(p)), -(uint64_t)value_, &site_);      \
	})
#define at_cas(p, old, new)                                                                        \
	({                                                                                         \
		EXPLORE_SITE(#p);                                                                  \
		EXPLORE_VALUE(p) value_ = (new);                                                   \
		explore_cas((p), sizeof(*(p)), (old), (uint64_t)value_, &site_);                   \
	})
#define at_fence()                                                                                 \
	({                                                                                         \
		EXPLORE_SITE("fence");                                                             \
		explore_fence(&site_);                                                             \
	})

#endif
