/* SPDX-License-Identifier: MIT */
/*
 * Atomics: the only way in which the core touches memory that another CPU may touch at the same
 * time.
 *
 * A thin layer over C11, so that a port can put its own in place (an explorer makes each of these a
 * scheduling point): a port's <port_atomic.h> defines every macro below; "sync/atomic_c11.h" is the
 * definition that ports without wishes of their own include.
 *
 *   at_load(p)  at_load_acquire(p)         at_store(p, v)  at_store_release(p, v)
 *   at_xchg(p, v)                          full barrier; returns the old value
 *   at_cas(p, old, new)                    full barrier when it succeeds, acquire when it fails;
 *                                          old is a pointer that receives the value seen
 *   at_add(p, v)  at_sub(p, v)             full barrier; return the old value
 *   at_fence()                             a full fence: orders earlier stores with later loads
 *
 * Memory model. The protocols assume a multi-copy-atomic machine (x86, ARMv8, RISC-V): a store that
 * one other CPU has seen, every CPU has seen. Each access that is not relaxed names its partner in
 * a comment. Stand-alone acquire and release fences are not used: ThreadSanitizer does not
 * understand them.
 */
#ifndef QUIRE_SYNC_ATOMIC_H
#define QUIRE_SYNC_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <port_atomic.h>

#if !defined(at_load) || !defined(at_load_acquire) || !defined(at_store) ||                        \
	!defined(at_store_release) || !defined(at_xchg) || !defined(at_cas) || !defined(at_add) || \
	!defined(at_sub) || !defined(at_fence)
#error "the port's <port_atomic.h> must define every operation of sync/atomic.h"
#endif

#endif
