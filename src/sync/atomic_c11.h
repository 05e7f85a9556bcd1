/* SPDX-License-Identifier: MIT */
/* The atomics of sync/atomic.h in C11; see there for what each means. */
#ifndef QUIRE_SYNC_ATOMIC_C11_H
#define QUIRE_SYNC_ATOMIC_C11_H

#include <stdatomic.h>

#define at_load(p) atomic_load_explicit((p), memory_order_relaxed)
#define at_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define at_store(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define at_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define at_fence() atomic_thread_fence(memory_order_seq_cst)

/*
 * What makes a read-modify-write a full barrier: nothing more where it is one instruction that
 * orders everything, as on x86 and with ARM's LSE. A port to a machine where it is a loop around
 * two, whose store may pass later loads, defines this as AT_FENCED before it includes this file.
 */
#ifndef AT_FULL
#define AT_FULL(operation) (operation)
#endif
#define AT_FENCED(operation)                                                                       \
	({                                                                                         \
		__typeof__(operation) result_ = (operation);                                       \
                                                                                                   \
		at_fence();                                                                        \
		result_;                                                                           \
	})

#define at_xchg(p, v) AT_FULL(atomic_exchange_explicit((p), (v), memory_order_seq_cst))
#define at_cas(p, old, new)                                                                        \
	AT_FULL(atomic_compare_exchange_strong_explicit((p), (old), (new), memory_order_seq_cst,   \
							memory_order_acquire))
#define at_add(p, v) AT_FULL(atomic_fetch_add_explicit((p), (v), memory_order_acq_rel))
#define at_sub(p, v) AT_FULL(atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel))

#endif
