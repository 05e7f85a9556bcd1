/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own locks. Kernel code is not preemptible: it gives its CPU away only where it
 * sleeps (task/wait.h). So a spin lock needs no more than the word.
 *
 * struct lock: never held across a sleep, a user copy, or a call of Quire that may sleep or flush.
 *   Two ways to take it, one for each lock: plain, if no interrupt handler takes it; else
 *   irq-saving. With interrupts disabled nothing of Quire may be called but quire_x86_switch.
 * struct mutex (task/wait.h): may be held across all of these.
 *
 * Order: mutexes, then plain locks, then irq locks; within a kind as the owners' headers say.
 */
#ifndef KERNEL_LOCK_H
#define KERNEL_LOCK_H

#include "lib/list.h"

#include <stdatomic.h>

struct lock {
	_Atomic uint32_t held;
};

#define LOCK_INIT                                                                                  \
	{                                                                                          \
		0                                                                                  \
	}

static inline uint64_t irq_save(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; popq %0; cli" : "=r"(flags)::"memory");
	return flags;
}

static inline void irq_restore(uint64_t flags)
{
	if (flags & 0x200)
		__asm__ volatile("sti" ::: "memory");
}

static inline void irq_enable(void)
{
	__asm__ volatile("sti" ::: "memory");
}

static inline void irq_disable(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static inline void lock_take(struct lock *lock)
{
	while (atomic_exchange_explicit(&lock->held, 1, memory_order_acquire))
		while (atomic_load_explicit(&lock->held, memory_order_relaxed))
			__builtin_ia32_pause();
}

static inline void lock_drop(struct lock *lock)
{
	atomic_store_explicit(&lock->held, 0, memory_order_release);
}

static inline uint64_t lock_take_irq(struct lock *lock)
{
	uint64_t flags = irq_save();

	lock_take(lock);
	return flags;
}

static inline void lock_drop_irq(struct lock *lock, uint64_t flags)
{
	lock_drop(lock);
	irq_restore(flags);
}

#endif
