/* SPDX-License-Identifier: MIT */
/* Time, CPUs, limits, names: the small calls, and rseq. */
#include "tap.h"

#include <fcntl.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

static int64_t now(clockid_t clock)
{
	struct timespec value;

	need(clock_gettime(clock, &value) == 0 && value.tv_nsec >= 0 && value.tv_nsec < 1000000000);
	return value.tv_sec * 1000000000l + value.tv_nsec;
}

static void clocks(void)
{
	struct timespec value;
	int64_t last = now(CLOCK_MONOTONIC);
	struct timeval day;

	for (int i = 0; i < 10000; i++) {
		int64_t next = now(CLOCK_MONOTONIC);

		if (next < last)
			need(false);
		last = next;
	}
	check(gettimeofday(&day, NULL) == 0 &&
	      labs(day.tv_sec - now(CLOCK_REALTIME) / 1000000000) <= 1);
	check(now(CLOCK_REALTIME) > 1600000000l * 1000000000 && now(CLOCK_BOOTTIME) > 0);
	check(clock_getres(CLOCK_MONOTONIC, &value) == 0 && value.tv_sec == 0);
	check(now(CLOCK_MONOTONIC_COARSE) <= now(CLOCK_MONOTONIC) && time(NULL) > 1600000000);
	fails(syscall(SYS_clock_gettime, 99, &value), EINVAL);
	fails(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8ul), EFAULT);
}

static void sleeps(void)
{
	struct timespec time = { 0, 30000000 }, bad = { 0, -1 };
	int64_t start = now(CLOCK_MONOTONIC);

	check(nanosleep(&time, NULL) == 0 && now(CLOCK_MONOTONIC) - start >= 30000000);
	clock_gettime(CLOCK_MONOTONIC, &time);
	start = now(CLOCK_MONOTONIC);
	time.tv_sec += 1;
	check(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == 0);
	check(now(CLOCK_MONOTONIC) - start >= 990000000 &&
	      now(CLOCK_MONOTONIC) - start < 5000000000);
	fails(nanosleep(&bad, NULL), EINVAL);
	check(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &(struct timespec){ 1, 0 }, NULL) ==
	      0);
}

static void time_of_a_process(void)
{
	int64_t start = now(CLOCK_PROCESS_CPUTIME_ID), thread = now(CLOCK_THREAD_CPUTIME_ID), used;
	struct rusage usage;
	struct tms ticks;

	while (now(CLOCK_PROCESS_CPUTIME_ID) - start < 50000000)
		;
	used = now(CLOCK_PROCESS_CPUTIME_ID);
	check(now(CLOCK_THREAD_CPUTIME_ID) - thread > 25000000 && times(&ticks) != -1);
	usleep(100000);
	/* Sleeping costs nothing. */
	check(now(CLOCK_PROCESS_CPUTIME_ID) - used < 50000000);
	check(getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_minflt > 0);
	check(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec + usage.ru_utime.tv_sec +
		      usage.ru_stime.tv_sec >
	      0);
	fails(getrusage(77, &usage), EINVAL);
}

static void affinity(void)
{
	cpu_set_t all, one;
	int cpus;

	need(sched_getaffinity(0, sizeof(all), &all) == 0 && (cpus = CPU_COUNT(&all)) > 0);
	check(sysconf(_SC_NPROCESSORS_ONLN) == cpus);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		check(sched_setaffinity(0, sizeof(one), &one) == 0 && sched_getcpu() == (int)cpu);
		check(sched_getaffinity(0, sizeof(one), &one) == 0 && CPU_COUNT(&one) == 1);
	}
	CPU_ZERO(&one);
	fails(sched_setaffinity(0, sizeof(one), &one), EINVAL);
	fails(sched_getaffinity(0, 1, &one), EINVAL);
	fails(sched_getaffinity(0x3fffffff, sizeof(one), &one), ESRCH);
	check(sched_setaffinity(0, sizeof(all), &all) == 0 && sched_yield() == 0);
}

static _Atomic bool stop;

static void *spins(void *count)
{
	while (!stop)
		(*(_Atomic unsigned long *)count)++;
	return NULL;
}

static void fairness(void)
{
	static _Atomic unsigned long counts[6];
	pthread_t threads[6];

	/* More threads than CPUs, none of which ever calls: all of them get on. */
	for (int i = 0; i < 6; i++)
		need(pthread_create(&threads[i], NULL, spins, (void *)&counts[i]) == 0);
	sleep(1);
	stop = true;
	for (int i = 0; i < 6; i++)
		check(pthread_join(threads[i], NULL) == 0 && counts[i] > 0);
}

static void restartable_sequence(void)
{
	if (__rseq_size == 0)
		skip("the C library has not registered one");
	struct rseq *area = (struct rseq *)(void *)((char *)__builtin_thread_pointer() +
						    __rseq_offset);
	int before = sched_getcpu();
	uint32_t cpu = *(volatile uint32_t *)&area->cpu_id;

	check((int)cpu == before || (int)cpu == sched_getcpu());
	/* Another one for the same thread is refused, and so is a place that is not aligned. */
	fails(syscall(SYS_rseq, area, 32, 0, 0x12345678), EPERM);
	fails(syscall(SYS_rseq, (char *)area + 4, 32, 0, RSEQ_SIG), EINVAL);
	check(syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0);
	fails(syscall(SYS_rseq, (char *)area + 4, 32, 0, RSEQ_SIG), EINVAL);
	check(syscall(SYS_rseq, area, 32, 0, RSEQ_SIG) == 0);
}

static void limits(void)
{
	struct rlimit limit, old;

	check(getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_cur >= 64);
	limit = (struct rlimit){ 50, old.rlim_max };
	check(setrlimit(RLIMIT_NOFILE, &limit) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
	check(limit.rlim_cur == 50);
	int last = 0;
	for (int next; (next = dup(0)) >= 0;)
		last = next;
	check(last == 49 && errno == EMFILE);
	limit = (struct rlimit){ 60, 50 };
	fails(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
	fails(getrlimit(99, &limit), EINVAL);
	check(getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur >= 1 << 20);
}

static void names(void)
{
	struct utsname name;
	struct sysinfo info;
	char text[16] = "", random[32] = { 0 }, more[32] = { 0 };

	check(uname(&name) == 0 && strcmp(name.machine, "x86_64") == 0 &&
	      strcmp(name.sysname, "Linux") == 0);
	check(sysinfo(&info) == 0 && info.totalram > 0 && info.procs > 0 && info.mem_unit > 0);
	check(prctl(PR_SET_NAME, "a name that is longer") == 0 && prctl(PR_GET_NAME, text) == 0);
	check(strcmp(text, "a name that is ") == 0);
	check(getrandom(random, 32, 0) == 32 && getrandom(more, 32, 0) == 32 &&
	      memcmp(random, more, 32));
	fails(getrandom(random, 32, 0x80), EINVAL);
	check(getuid() == geteuid() && getgid() == getegid() && getpid() > 0);
	check(getauxval(AT_PAGESZ) == PAGE && getauxval(AT_RANDOM) && getauxval(AT_PHDR));
	check(getauxval(AT_EXECFN) && access((const char *)getauxval(AT_EXECFN), X_OK) == 0);
	fails(syscall(1000), ENOSYS);
}

TAP_MAIN(CASE(clocks), CASE(sleeps), CASE(time_of_a_process), CASE(affinity), CASE(fairness),
	 CASE(restartable_sequence), CASE(limits), CASE(names))
