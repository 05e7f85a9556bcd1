/* SPDX-License-Identifier: MIT */
/* For tests of the locks and of grace periods: threads that are CPUs, without the rest of Quire. */
#ifndef QUIRE_TESTS_THREADS_H
#define QUIRE_TESTS_THREADS_H

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "sync/grace.h"

#define MILLISECOND 1000000ull

static _Atomic unsigned thread_failures;

/* cmocka's assertions work on the main thread only. */
#define thread_check(x)                                                                            \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #x);                        \
			at_add(&thread_failures, 1u);                                              \
		}                                                                                  \
	} while (0)

static void *grace_block;

/* Grace periods for so many CPUs; the calling thread is CPU 0, offline. */
__attribute__((unused)) static void cpus_start(unsigned cpus, uint64_t stall_ns)
{
	grace_block = aligned_alloc(128, grace_memory(cpus));
	assert_non_null(grace_block);
	grace_init(grace_block, cpus, stall_ns);
	soft_cpu_index = 0;
	at_store(&thread_failures, 0u);
}

__attribute__((unused)) static void cpus_stop(void)
{
	assert_int_equal(at_load(&thread_failures), 0);
	free(grace_block);
	grace_cpus = NULL;
}

struct thread {
	pthread_t id;
	unsigned cpu;
	void (*work)(unsigned cpu);
};

static void *thread_main(void *p)
{
	const struct thread *thread = p;

	soft_cpu_index = thread->cpu;
	grace_online();
	thread->work(thread->cpu);
	grace_offline();
	return NULL;
}

__attribute__((unused)) static void thread_start(struct thread *thread, unsigned cpu,
						 void (*work)(unsigned cpu))
{
	thread->cpu = cpu;
	thread->work = work;
	assert_int_equal(pthread_create(&thread->id, NULL, thread_main, thread), 0);
}

__attribute__((unused)) static void thread_join(struct thread *thread)
{
	assert_int_equal(pthread_join(thread->id, NULL), 0);
}

/* CPUs 0 to count - 1, each a thread, online, runs work. */
__attribute__((unused)) static void threads_run(unsigned count, void (*work)(unsigned cpu))
{
	struct thread threads[16];

	assert_true(count <= 16);
	for (unsigned i = 0; i < count; i++)
		thread_start(&threads[i], i, work);
	for (unsigned i = 0; i < count; i++)
		thread_join(&threads[i]);
}

__attribute__((unused)) static void nap(uint64_t ns)
{
	usleep((useconds_t)(ns / 1000));
}

/* Wait until the word has (at least) that value. */
__attribute__((unused)) static void await(_Atomic uint32_t *word, uint32_t value)
{
	for (unsigned turn = 0; at_load_acquire(word) < value; turn++)
		port_pause(turn);
}

__attribute__((unused)) static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Does it panic? It runs in a process of its own. */
__attribute__((unused)) static bool panics(void (*work)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		/* What it says on its way is expected; and cmocka shall not catch the signal. */
		signal(SIGABRT, SIG_DFL);
		assert_non_null(freopen("/dev/null", "w", stderr));
		work();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
