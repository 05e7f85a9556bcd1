/* SPDX-License-Identifier: MIT */
/*
 * One run: fibers, and who goes on.
 *
 *     READY ── run_pause ──► PAUSED     eligible again when somebody has stored something
 *       │  ◄────────────────────
 *       ├──── run_sleep ──► BLOCKED     until run_wake of the same address
 *       └──── program ends ──► ENDED
 *
 * Only one fiber runs at a time, and it is left only here. A preemption is a switch away from a
 * READY CPU; the other switches are free. Who spins gives way: it could do nothing else before
 * somebody stores something, so no schedule is lost, and a spin loop does not count as many. Two
 * who spin and store, retrying, could keep a third from ever going on: each may do so only a few
 * times before one that does not spin has had its turn.
 */
#include "inside.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <ucontext.h>

#define FAIR_SPINS 2
#define SECONDS_MAX 10 /* of processor time, for one run */

enum phase phase = PHASE_SETUP;
struct vcpu vcpus[CPUS];
unsigned vcpu_count, self;
uint64_t writes;
char run_message[512];
const char *scenario_name;

static ucontext_t contexts[CPUS], outside;
static char stacks[CPUS][STACK_SIZE] __attribute__((aligned(4096)));
static enum ending ending;
static jmp_buf check_failed;
static const struct scenario *scenario;
static unsigned steps, stuck, preemptions, delays;
static uint64_t stuck_writes, time_now, run_number;

unsigned run_preemptions(void)
{
	return preemptions;
}

unsigned run_delays(void)
{
	return delays;
}

void run_delayed(void)
{
	delays++;
}

uint64_t explore_time(void)
{
	/* Part of what a state is: a history is judged by its times. */
	if (phase == PHASE_RUN)
		memory_touch(&time_now);
	return ++time_now;
}

/* --- ends --- */

static _Noreturn void leave_run(enum ending how)
{
	ending = how;
	setcontext(&outside);
	abort();
}

_Noreturn void run_cut(void)
{
	leave_run(RUN_CUT);
}

_Noreturn void explore_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(run_message, sizeof(run_message), format, arguments);
	va_end(arguments);
	if (phase == PHASE_RUN) {
		report_note("FAILED: %s", run_message);
		leave_run(RUN_FAILED);
	}
	if (phase == PHASE_CHECK)
		longjmp(check_failed, 1);
	/* There is no way back to before it. */
	printf("not ok - %s: in setup: %s\n", scenario_name, run_message);
	exit(2);
}

void explore_equal(uint64_t a, uint64_t b, const char *what, const char *file, int line)
{
	if (a != b)
		explore_fail("%s:%d: %s is %#llx, not %#llx", file, line, what,
			     (unsigned long long)a, (unsigned long long)b);
}

/* A wild access ends a schedule, not the search. */
static void crashed(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *at = context;
	char place[256];

	explore_fail("signal %d for address %p at %s", signal, info->si_addr,
		     report_place((const char *)at->uc_mcontext.gregs[REG_RIP] + 1, place,
				  sizeof(place)));
}

/* A loop that makes no step and no access that is seen. */
static void too_long(int signal)
{
	static uint64_t last;
	static unsigned ticks;

	(void)signal;
	ticks = last == run_number ? ticks + 1 : 0;
	last = run_number;
	if (ticks == SECONDS_MAX && phase != PHASE_SETUP)
		explore_fail("endless: a run of more than %u s", SECONDS_MAX);
}

void run_catch_crashes(void)
{
	static char stack[1 << 16];
	const stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	const struct sigaction action = {
		.sa_sigaction = crashed,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};

	sigaltstack(&other, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGFPE, &action, NULL);

	const struct sigaction clock = {
		.sa_handler = too_long,
		.sa_flags = SA_ONSTACK | SA_NODEFER | SA_RESTART,
	};
	const struct itimerval second = { { 1, 0 }, { 1, 0 } };

	sigaction(SIGVTALRM, &clock, NULL);
	setitimer(ITIMER_VIRTUAL, &second, NULL);
}

/* --- switching --- */

static void switch_to(unsigned next, const char *why)
{
	struct vcpu *old = &vcpus[self];
	unsigned from = self;

	if (next == self)
		return;
	report_switch(why, next);
	if (vcpus[next].state == READY)
		for (unsigned i = 0; i < vcpu_count; i++)
			vcpus[i].spins = 0;
	old->stack_low = __builtin_frame_address(0);
	self = next;
	world_become(next);
	swapcontext(&contexts[from], &contexts[next]);
}

static bool eligible(unsigned cpu, bool fair)
{
	const struct vcpu *v = &vcpus[cpu];

	return v->state == READY ||
	       (v->state == PAUSED && v->mark != writes && (!fair || v->spins <= FAIR_SPINS));
}

/*
 * Those who could go on beside this CPU, in cyclic order. Fair: where the choice is free; there are
 * only so many preemptions.
 */
static unsigned others(unsigned *cpus, bool fair)
{
	unsigned count = 0;

	for (unsigned i = 1; i < vcpu_count; i++)
		if (eligible((self + i) % vcpu_count, fair))
			cpus[count++] = (self + i) % vcpu_count;
	return count;
}

static void nobody_left(void)
{
	char who[128] = "";

	for (unsigned i = 0; i < vcpu_count; i++)
		if (vcpus[i].state == BLOCKED)
			snprintf(who + strlen(who), sizeof(who) - strlen(who), " %u", i);
	if (who[0])
		explore_fail("deadlock: asleep for ever: CPU%s", who);
	leave_run(RUN_ENDED);
}

/* This CPU can't go on for now: another one, or itself if all who are left spin. */
static void give_way(const char *why)
{
	unsigned cpus[CPUS], count = others(cpus, true);

	if (count > 0) {
		switch_to(cpus[search_choose(CHOICE_NEXT, cpus, count)], why);
		return;
	}
	/* Everybody spins, sleeps or has ended. A turn for each of those who spin. */
	for (unsigned i = 1; i <= vcpu_count; i++) {
		unsigned cpu = (self + i) % vcpu_count;

		if (vcpus[cpu].state != PAUSED)
			continue;
		if (stuck_writes != writes)
			stuck = 0;
		stuck_writes = writes;
		if (++stuck > STUCK_MAX)
			explore_fail("livelock: everybody waits for somebody else's store");
		switch_to(cpu, "spins as well");
		return;
	}
	nobody_left();
}

void run_step(bool shared)
{
	struct vcpu *me = &vcpus[self];
	unsigned cpus[CPUS] = { self }, count;

	me->step++;
	if (++steps > STEPS_MAX)
		explore_fail("livelock: %u steps", steps);
	if (!shared)
		return;
	count = preemptions < options.preemptions ? 1 + others(cpus + 1, false) : 1;
	unsigned chosen = search_choose(CHOICE_PREEMPT, cpus, count);

	if (chosen == 0)
		return;
	preemptions++;
	switch_to(cpus[chosen], "preempted");
}

void run_pause(void)
{
	if (phase != PHASE_RUN) {
		world_let_others_answer();
		return;
	}
	/* What others hold back is seen in the end: hardware does not hold it for ever. */
	for (unsigned i = 0; i < vcpu_count; i++)
		memory_drain(i);
	vcpus[self].step++;
	if (++steps > STEPS_MAX)
		explore_fail("livelock: %u steps", steps);
	vcpus[self].mark = writes;
	vcpus[self].spins++;
	vcpus[self].state = PAUSED;
	give_way("spins");
	vcpus[self].state = READY;
}

void run_sleep(const volatile void *address)
{
	if (phase != PHASE_RUN)
		explore_fail("sleeps outside a run");
	memory_drain(self);
	vcpus[self].step++;
	vcpus[self].sleeps_on = address;
	vcpus[self].state = BLOCKED;
	give_way("sleeps");
}

void run_wake(const volatile void *address)
{
	for (unsigned i = 0; i < vcpu_count; i++)
		if (vcpus[i].state == BLOCKED && vcpus[i].sleeps_on == address)
			vcpus[i].state = READY;
	writes++;
}

/* --- a run --- */

static void fiber(void)
{
	scenario->run[self]();
	world_end_program();
	memory_drain(self);
	writes++;
	vcpus[self].step++;
	vcpus[self].state = ENDED;
	give_way("ends");
	abort();
}

static void prepare(void)
{
	for (unsigned i = 0; i < vcpu_count; i++) {
		struct vcpu *v = &vcpus[i];

		v->state = READY;
		v->step = v->spins = 0;
		v->history = i;
		v->now = 0;
		v->buffered = 0;
		v->stack_low = v->stack_top = stacks[i] + STACK_SIZE;
		getcontext(&contexts[i]);
		contexts[i].uc_stack.ss_sp = stacks[i];
		contexts[i].uc_stack.ss_size = STACK_SIZE;
		contexts[i].uc_link = NULL;
		makecontext(&contexts[i], fiber, 0);
	}
	steps = stuck = preemptions = delays = 0;
	writes = stuck_writes = time_now = 0;
	run_message[0] = 0;
}

static void schedule(void)
{
	unsigned cpus[CPUS];

	for (unsigned i = 0; i < vcpu_count; i++)
		cpus[i] = i;
	self = 0;
	self = cpus[search_choose(CHOICE_NEXT, cpus, vcpu_count)];
	report_switch("begins", self);
	world_become(self);
	swapcontext(&outside, &contexts[self]); /* until leave_run */
}

enum ending run_once(const struct scenario *which)
{
	volatile bool begun = false;

	scenario = which;
	run_number++;
	prepare();
	world_begin_run();
	memory_begin_run();
	watch_begin_run();
	phase = PHASE_RUN;
	getcontext(&outside); /* once before the run, and once by leave_run */
	if (!begun) {
		begun = true;
		schedule();
	}
	phase = PHASE_CHECK;
	if (ending == RUN_ENDED) {
		if (setjmp(check_failed) == 0)
			world_check(scenario);
		else
			ending = RUN_FAILED;
	}
	watch_undo();
	phase = PHASE_SETUP;
	return ending;
}
