/* SPDX-License-Identifier: MIT */
/* Threads of programs without a C library. */
#ifndef THREAD_H
#define THREAD_H

#include "bare.h"

#include <linux/futex.h>
#include <linux/sched.h>

#define THREAD_STACK 65536ul

/* `running` is the thread's number until it has ended and needs its stack no more. */
struct thread {
	_Atomic uint32_t running;
	unsigned char *stack;
};

static inline void pause_cpu(void)
{
	__asm__ volatile("pause" ::: "memory");
}

static inline void thread_start(struct thread *thread, void (*begin)(void *), void *argument)
{
	long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		     CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	long result;

	if (!thread->stack)
		thread->stack = map(NULL, THREAD_STACK, RW, PRIVATE | MAP_POPULATE, -1);
	void **top = (void **)(void *)(thread->stack + THREAD_STACK - 64);
	top[0] = argument;
	top[1] = (void *)(uintptr_t)begin;
	register void *child __asm__("r10") = &thread->running;
	register long tls __asm__("r8") = 0;
	__asm__ volatile("syscall\n\t"
			 "test %%eax, %%eax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rdi\n\t"
			 "pop %%rax\n\t"
			 "call *%%rax\n\t"
			 "xor %%edi, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n"
			 "1:"
			 : "=a"(result)
			 : "a"(__NR_clone), "D"(flags), "S"(top), "d"(&thread->running), "r"(child),
			   "r"(tls), [exit] "i"(__NR_exit)
			 : "rcx", "r11", "memory");
	must(result > 0, "clone");
}

static inline void thread_join(struct thread *thread)
{
	uint32_t number;

	while ((number = thread->running) != 0)
		call(__NR_futex, (long)&thread->running, FUTEX_WAIT, number, 0, 0, 0);
}

static inline void sleep_nanoseconds(uint64_t count)
{
	uint64_t span[2] = { count / 1000000000, count % 1000000000 };

	call2(__NR_nanosleep, span, 0);
}

#endif
