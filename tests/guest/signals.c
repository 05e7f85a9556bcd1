/* SPDX-License-Identifier: MIT */
/* Signals: handlers, masks, other stacks, calls that are interrupted or restarted, timers,
 * children. */
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

static volatile sig_atomic_t seen, last_code, order[8], orders;
static volatile uintptr_t where; /* on which stack */
static volatile pid_t sender;

static void handler(int signal, siginfo_t *info, void *context)
{
	(void)context;
	seen++;
	last_code = info->si_code;
	sender = info->si_pid;
	where = (uintptr_t)&info;
	if (orders < 8)
		order[orders++] = signal;
}

static void handle(int signal, int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	need(sigaction(signal, &action, NULL) == 0);
	seen = orders = 0;
}

static sigset_t set_of(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	return set;
}

static void handlers(void)
{
	struct sigaction old;

	handle(SIGUSR1, 0);
	check(raise(SIGUSR1) == 0 && seen == 1 && last_code == SI_TKILL);
	check(kill(getpid(), SIGUSR1) == 0 && seen == 2 && last_code == SI_USER &&
	      sender == getpid());
	check(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 3 }) == 0 &&
	      last_code == SI_QUEUE);
	check(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_sigaction == handler);
	handle(SIGUSR1, (int)SA_RESETHAND);
	raise(SIGUSR1);
	check(sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	fails(sigaction(SIGKILL, &old, NULL), EINVAL);
	fails(sigaction(SIGSTOP, &old, NULL), EINVAL);
	fails(sigaction(65, &old, NULL), EINVAL);
	fails(kill(getpid(), 65), EINVAL);
	fails(kill(0x3fffffff, SIGUSR1), ESRCH);
	check(kill(getpid(), 0) == 0);
}

static void masks(void)
{
	sigset_t one = set_of(SIGUSR1), old, pending;

	handle(SIGUSR1, 0);
	need(sigprocmask(SIG_BLOCK, &one, &old) == 0);
	for (int i = 0; i < 3; i++)
		raise(SIGUSR1);
	check(seen == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1));
	need(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
	check(seen == 1);
	/* Real-time signals queue. */
	one = set_of(SIGRTMIN + 1);
	handle(SIGRTMIN + 1, 0);
	sigprocmask(SIG_BLOCK, &one, &old);
	for (int i = 0; i < 3; i++)
		raise(SIGRTMIN + 1);
	sigprocmask(SIG_SETMASK, &old, NULL);
	check(seen == 3);
	/* What can't be blocked is not. */
	sigfillset(&one);
	check(sigprocmask(SIG_SETMASK, &one, NULL) == 0 && sigprocmask(SIG_BLOCK, NULL, &old) == 0);
	check(!sigismember(&old, SIGKILL) && sigismember(&old, SIGTERM));
}

static void raises_both(int signal)
{
	sigset_t now;

	order[orders++] = signal;
	if (orders > 1)
		return;
	raise(SIGUSR1);
	raise(SIGUSR2);
	sigprocmask(SIG_BLOCK, NULL, &now);
	order[orders++] = sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2);
}

static void masks_of_handlers(void)
{
	struct sigaction action = { .sa_handler = raises_both, .sa_mask = set_of(SIGUSR2) };
	sigset_t now;

	/* Both wait until it returns: itself, and what its mask names. */
	handle(SIGUSR2, 0);
	need(sigaction(SIGUSR1, &action, NULL) == 0);
	raise(SIGUSR1);
	check(orders == 4 && order[0] == SIGUSR1 && order[1] == 1 && seen == 1);
	check(order[2] == SIGUSR1 || order[3] == SIGUSR1);
	sigprocmask(SIG_BLOCK, NULL, &now);
	check(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
	/* SA_NODEFER: itself does not wait. */
	action.sa_flags = SA_NODEFER;
	need(sigaction(SIGUSR1, &action, NULL) == 0);
	orders = 0;
	raise(SIGUSR1);
	check(order[0] == SIGUSR1 && order[1] == SIGUSR1 && order[2] == 0);
}

static void other_stack(void)
{
	static char stack[65536];
	stack_t given = { .ss_sp = stack, .ss_size = sizeof(stack) }, old;

	need(sigaltstack(&given, NULL) == 0);
	handle(SIGUSR1, SA_ONSTACK);
	raise(SIGUSR1);
	check(seen == 1 && where >= (uintptr_t)stack && where < (uintptr_t)stack + sizeof(stack));
	handle(SIGUSR1, 0);
	raise(SIGUSR1);
	check(where < (uintptr_t)stack || where >= (uintptr_t)stack + sizeof(stack));
	check(sigaltstack(NULL, &old) == 0 && old.ss_sp == stack && old.ss_flags == 0);
	given.ss_size = 100;
	fails(sigaltstack(&given, NULL), ENOMEM);
	given.ss_flags = 12345;
	fails(sigaltstack(&given, NULL), EINVAL);
	given.ss_flags = SS_DISABLE;
	check(sigaltstack(&given, NULL) == 0 && sigaltstack(NULL, &old) == 0 &&
	      old.ss_flags == SS_DISABLE);
}

static void changes_registers(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)signal;
	(void)info;
	user->uc_mcontext.gregs[REG_RBX] = 0x1234;
	user->uc_mcontext.gregs[REG_RIP] += 2;
}

static void contexts(void)
{
	struct sigaction action = { .sa_sigaction = changes_registers, .sa_flags = SA_SIGINFO };
	unsigned long rbx = 1;
	double vector[2] = { 1.5, 2.5 }, after[2];

	need(sigaction(SIGILL, &action, NULL) == 0);
	/* ud2 is two bytes; the vector registers are as they were. */
	__asm__ volatile("movupd %2, %%xmm15\n\tud2\n\tmovupd %%xmm15, %1"
			 : "+b"(rbx), "=m"(after)
			 : "m"(vector)
			 : "xmm15", "memory");
	check(rbx == 0x1234 && after[0] == 1.5 && after[1] == 2.5);
}

static void traps(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	pid_t child = fork();

	if (child == 0) {
		volatile int zero = 0;

		_exit(7 / zero);
	}
	check(killed(child, SIGFPE));
	if ((child = fork()) == 0)
		__builtin_trap();
	check(killed(child, SIGILL));
	if ((child = fork()) == 0)
		__asm__ volatile("hlt");
	check(killed(child, SIGSEGV));
	need(sigaction(SIGTRAP, &action, NULL) == 0);
	seen = 0;
	__asm__ volatile("int3");
	check(seen == 1);
}

static void *interrupts(void *thread)
{
	usleep(30000);
	pthread_kill(*(pthread_t *)thread, SIGUSR1);
	return NULL;
}

static void interrupted_calls(void)
{
	pthread_t self = pthread_self(), other;
	struct timespec long_time = { 5, 0 }, left;
	int ends[2];
	char byte;

	need(pipe(ends) == 0);
	handle(SIGUSR1, 0);
	need(pthread_create(&other, NULL, interrupts, &self) == 0);
	fails(read(ends[0], &byte, 1), EINTR);
	pthread_join(other, NULL);
	need(pthread_create(&other, NULL, interrupts, &self) == 0);
	fails(nanosleep(&long_time, &left), EINTR);
	check(left.tv_sec == 4 && seen == 2);
	pthread_join(other, NULL);
	need(pthread_create(&other, NULL, interrupts, &self) == 0);
	fails(pause(), EINTR);
	pthread_join(other, NULL);
}

static void *interrupts_and_writes(void *ends)
{
	usleep(30000);
	kill(getpid(), SIGUSR1);
	usleep(30000);
	return (void *)write(((int *)ends)[1], "x", 1);
}

static void restarted_calls(void)
{
	sigset_t one = set_of(SIGUSR1), old;
	pthread_t other;
	int ends[2];
	char byte = 0;

	need(pipe(ends) == 0);
	handle(SIGUSR1, SA_RESTART);
	/* The other thread must not take it. */
	sigprocmask(SIG_BLOCK, &one, &old);
	need(pthread_create(&other, NULL, interrupts_and_writes, ends) == 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	check(read(ends[0], &byte, 1) == 1 && byte == 'x' && seen == 1);
	pthread_join(other, NULL);
}

static void suspended(void)
{
	sigset_t one = set_of(SIGUSR1), none, now;

	sigemptyset(&none);
	handle(SIGUSR1, 0);
	sigprocmask(SIG_BLOCK, &one, NULL);
	raise(SIGUSR1);
	fails(sigsuspend(&none), EINTR);
	check(seen == 1 && sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1));
	/* Taken without a handler. */
	siginfo_t info;
	struct timespec soon = { 0, 10000000 };
	kill(getpid(), SIGUSR1);
	check(sigwaitinfo(&one, &info) == SIGUSR1 && info.si_code == SI_USER && seen == 1);
	fails(sigtimedwait(&one, &info, &soon), EAGAIN);
}

static void timers(void)
{
	struct itimerval interval = { { 0, 10000 }, { 0, 10000 } }, left;

	handle(SIGALRM, 0);
	need(setitimer(ITIMER_REAL, &interval, NULL) == 0);
	while (seen < 5)
		pause();
	check(getitimer(ITIMER_REAL, &left) == 0 && left.it_interval.tv_usec == 10000);
	memset(&interval, 0, sizeof(interval));
	need(setitimer(ITIMER_REAL, &interval, &left) == 0);
	int before = seen;
	usleep(50000);
	check(seen <= before + 1);
	check(alarm(100) == 0 && alarm(0) >= 99);
	interval.it_value.tv_usec = 1000000;
	fails(setitimer(ITIMER_REAL, &interval, NULL), EINVAL);
	/* A thread that never calls is reached, too. */
	handle(SIGALRM, 0);
	interval.it_value.tv_usec = 10000;
	need(setitimer(ITIMER_REAL, &interval, NULL) == 0);
	while (!seen)
		;
	check(seen == 1);
}

static void children(void)
{
	pid_t child;

	handle(SIGCHLD, 0);
	need((child = fork()) >= 0);
	if (child == 0)
		_exit(5);
	while (!seen)
		usleep(1000);
	check(sender == child && last_code == CLD_EXITED && exited(child, 5));
	seen = 0;
	need((child = fork()) >= 0);
	if (child == 0)
		for (;;)
			pause();
	check(kill(child, SIGTERM) == 0 && killed(child, SIGTERM) && last_code == CLD_KILLED);
	signal(SIGCHLD, SIG_IGN);
	need((child = fork()) >= 0);
	if (child == 0)
		_exit(0);
	fails(waitpid(child, NULL, 0), ECHILD);
}

static void *blocks_and_waits(void *got)
{
	sigset_t one = set_of(SIGUSR2);
	int signal;

	sigwait(&one, &signal);
	*(_Atomic int *)got = signal;
	return NULL;
}

static void directed(void)
{
	static _Atomic int got;
	sigset_t one = set_of(SIGUSR2);
	pthread_t other;

	sigprocmask(SIG_BLOCK, &one, NULL);
	need(pthread_create(&other, NULL, blocks_and_waits, (void *)&got) == 0);
	check(pthread_kill(other, SIGUSR2) == 0 && pthread_join(other, NULL) == 0 &&
	      got == SIGUSR2);
	/* To the process: whoever can take it does. */
	handle(SIGUSR1, 0);
	sigset_t all;
	sigfillset(&all);
	got = 0;
	need(pthread_create(&other, NULL, blocks_and_waits, (void *)&got) == 0);
	sigprocmask(SIG_BLOCK, &all, NULL);
	kill(getpid(), SIGUSR2);
	check(pthread_join(other, NULL) == 0 && got == SIGUSR2);
}

TAP_MAIN(CASE(handlers), CASE(masks), CASE(masks_of_handlers), CASE(other_stack), CASE(contexts),
	 CASE(traps), CASE(interrupted_calls), CASE(restarted_calls), CASE(suspended), CASE(timers),
	 CASE(children), CASE(directed))
