/* SPDX-License-Identifier: MIT */
/* Threads: locks, conditions, barriers, what they own, how they end; futexes by hand; hundreds of
 * them. */
#include "tap.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned long counter;
static _Thread_local unsigned long own = 7;

static long futex(void *word, int operation, unsigned value, const void *timeout, void *other,
		  unsigned last)
{
	return syscall(SYS_futex, word, operation, value, timeout, other, last);
}

static void *counts(void *turns)
{
	for (size_t i = 0; i < (size_t)turns; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
		own++;
	}
	return (void *)(own - 7);
}

static void mutexes(void)
{
	pthread_t threads[8];
	void *result;

	for (int i = 0; i < 8; i++)
		need(pthread_create(&threads[i], NULL, counts, (void *)5000ul) == 0);
	for (int i = 0; i < 8; i++)
		check(pthread_join(threads[i], &result) == 0 && result == (void *)5000ul);
	check(counter == 40000 && own == 7);
}

static unsigned turn;

static void *takes_turns(void *odd)
{
	for (unsigned i = 0; i < 1000; i++) {
		pthread_mutex_lock(&mutex);
		while ((turn & 1) != (odd != NULL))
			pthread_cond_wait(&changed, &mutex);
		turn++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void conditions(void)
{
	pthread_t one, two;

	need(pthread_create(&one, NULL, takes_turns, NULL) == 0);
	need(pthread_create(&two, NULL, takes_turns, &turn) == 0);
	check(pthread_join(one, NULL) == 0 && pthread_join(two, NULL) == 0 && turn == 2000);
	struct timespec soon;
	clock_gettime(CLOCK_REALTIME, &soon);
	soon.tv_nsec += 20000000;
	soon.tv_sec += soon.tv_nsec / 1000000000;
	soon.tv_nsec %= 1000000000;
	pthread_mutex_lock(&mutex);
	check(pthread_cond_timedwait(&changed, &mutex, &soon) == ETIMEDOUT);
	pthread_mutex_unlock(&mutex);
}

static pthread_barrier_t barrier;
static _Atomic unsigned arrived;

static void *meets(void *wrong)
{
	for (unsigned i = 1; i <= 100; i++) {
		arrived++;
		pthread_barrier_wait(&barrier);
		if (arrived < 4 * i)
			*(_Atomic bool *)wrong = true;
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void barriers(void)
{
	static _Atomic bool wrong;
	pthread_t threads[4];

	need(pthread_barrier_init(&barrier, NULL, 4) == 0);
	for (int i = 0; i < 4; i++)
		need(pthread_create(&threads[i], NULL, meets, &wrong) == 0);
	for (int i = 0; i < 4; i++)
		check(pthread_join(threads[i], NULL) == 0);
	check(arrived == 400 && !wrong);
}

static void *returns_own(void *mine)
{
	own = (unsigned long)mine;
	sched_yield();
	return own == (unsigned long)mine ? mine : NULL;
}

static void hundreds(void)
{
	pthread_attr_t attributes;
	pthread_t threads[300];
	void *result;
	unsigned long right = 0;

	need(pthread_attr_init(&attributes) == 0 &&
	     pthread_attr_setstacksize(&attributes, 65536) == 0);
	for (unsigned long round = 0; round < 2; round++) {
		for (unsigned long i = 0; i < 300; i++)
			need(pthread_create(&threads[i], &attributes, returns_own,
					    (void *)(i + 1)) == 0);
		for (unsigned long i = 0; i < 300; i++)
			if (pthread_join(threads[i], &result) == 0 && result == (void *)(i + 1))
				right++;
	}
	check(right == 600);
}

static void futex_results(void)
{
	unsigned word = 5, other = 0;
	struct timespec none = { 0, 1000000 }, bad = { 0, 1000000000 };

	fails(futex(&word, FUTEX_WAIT_PRIVATE, 4, NULL, NULL, 0), EAGAIN);
	fails(futex(&word, FUTEX_WAIT_PRIVATE, 5, &none, NULL, 0), ETIMEDOUT);
	fails(futex(&word, FUTEX_WAIT, 5, &none, NULL, 0), ETIMEDOUT);
	fails(futex(&word, FUTEX_WAIT_PRIVATE, 5, &bad, NULL, 0), EINVAL);
	fails(futex((char *)&word + 1, FUTEX_WAIT_PRIVATE, 5, NULL, NULL, 0), EINVAL);
	fails(futex((void *)8, FUTEX_WAIT_PRIVATE, 5, NULL, NULL, 0), EFAULT);
	fails(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 5, NULL, NULL, 0), EINVAL);
	fails(futex(&word, 99, 5, NULL, NULL, 0), ENOSYS);
	check(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);
	check(futex(&word, FUTEX_REQUEUE_PRIVATE, 1, (void *)1ul, &other, 0) == 0);
	fails(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1ul, &other, 4), EAGAIN);
}

static unsigned first, second;
static _Atomic unsigned woken;

static void *waits(void *unused)
{
	(void)unused;
	futex(&first, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	woken++;
	return NULL;
}

static void requeue(void)
{
	pthread_t threads[6];
	long moved = 0;

	for (int i = 0; i < 6; i++)
		need(pthread_create(&threads[i], NULL, waits, NULL) == 0);
	/* Until all of them wait: they are moved, one by one, and nobody is woken. */
	for (int tries = 0; moved < 6 && tries < 2000; tries++) {
		long result = futex(&first, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)6ul, &second, 0);

		need(result >= 0);
		moved += result;
		usleep(1000);
	}
	check(moved == 6 && woken == 0);
	check(futex(&first, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == 0);
	check(futex(&second, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0) == 2);
	check(futex(&second, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) == 4);
	for (int i = 0; i < 6; i++)
		check(pthread_join(threads[i], NULL) == 0);
	check(woken == 6);
}

static void between_processes(void)
{
	_Atomic unsigned *words = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;

	need(words != MAP_FAILED && (child = fork()) >= 0);
	if (child == 0) {
		while (words[0] == 0)
			futex((void *)&words[0], FUTEX_WAIT, 0, NULL, NULL, 0);
		words[1] = 1;
		futex((void *)&words[1], FUTEX_WAKE, 1, NULL, NULL, 0);
		_exit(0);
	}
	usleep(20000);
	words[0] = 1;
	check(futex((void *)&words[0], FUTEX_WAKE, 1, NULL, NULL, 0) >= 0);
	while (words[1] == 0)
		futex((void *)&words[1], FUTEX_WAIT, 0, NULL, NULL, 0);
	check(exited(child, 0));
}

static pthread_mutex_t *robust_mutex(bool shared)
{
	pthread_mutex_t *lock = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				     -1, 0);
	pthread_mutexattr_t attributes;

	need(lock != MAP_FAILED && pthread_mutexattr_init(&attributes) == 0);
	need(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
	if (shared)
		need(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) == 0);
	need(pthread_mutex_init(lock, &attributes) == 0);
	return lock;
}

static void *dies_with(void *lock)
{
	pthread_mutex_lock(lock);
	return NULL;
}

static void robust(void)
{
	pthread_mutex_t *lock = robust_mutex(false);
	pthread_t thread;
	pid_t child;

	need(pthread_create(&thread, NULL, dies_with, lock) == 0 &&
	     pthread_join(thread, NULL) == 0);
	check(pthread_mutex_lock(lock) == EOWNERDEAD && pthread_mutex_consistent(lock) == 0);
	check(pthread_mutex_unlock(lock) == 0 && pthread_mutex_lock(lock) == 0);
	lock = robust_mutex(true);
	need((child = fork()) >= 0);
	if (child == 0) {
		pthread_mutex_lock(lock);
		kill(getpid(), SIGKILL);
	}
	check(killed(child, SIGKILL) && pthread_mutex_lock(lock) == EOWNERDEAD);
}

static void *ends_its_process(void *unused)
{
	(void)unused;
	usleep(10000);
	_exit(33);
}

static void *forever(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

static void *outlives(void *unused)
{
	(void)unused;
	usleep(20000);
	exit(44);
}

static void ends_of_processes(void)
{
	pthread_t thread;
	pid_t child = fork();

	if (child == 0) {
		for (int i = 0; i < 5; i++)
			pthread_create(&thread, NULL, forever, NULL);
		pthread_create(&thread, NULL, ends_its_process, NULL);
		forever(NULL);
	}
	check(exited(child, 33));
	/* The first thread may go before the others. */
	if ((child = fork()) == 0) {
		pthread_create(&thread, NULL, outlives, NULL);
		pthread_exit(NULL);
	}
	check(exited(child, 44));
	if ((child = fork()) == 0) {
		for (int i = 0; i < 5; i++)
			pthread_create(&thread, NULL, forever, NULL);
		raise(SIGKILL);
	}
	check(killed(child, SIGKILL));
}

static void *says_tid(void *result)
{
	*(long *)result = syscall(SYS_gettid);
	return (void *)(unsigned long)getpid();
}

static void identities(void)
{
	pthread_t thread;
	void *pid;
	long tid;

	need(pthread_create(&thread, NULL, says_tid, &tid) == 0 && pthread_join(thread, &pid) == 0);
	check(tid != syscall(SYS_gettid) && pid == (void *)(unsigned long)getpid());
	check(syscall(SYS_gettid) == getpid() && syscall(SYS_set_tid_address, &tid) == getpid());
	fails(syscall(SYS_tgkill, getpid(), 0x3fffffff, 0), ESRCH);
	check(syscall(SYS_tgkill, getpid(), getpid(), 0) == 0);
}

TAP_MAIN(CASE(mutexes), CASE(conditions), CASE(barriers), CASE(hundreds), CASE(futex_results),
	 CASE(requeue), CASE(between_processes), CASE(robust), CASE(ends_of_processes),
	 CASE(identities))
