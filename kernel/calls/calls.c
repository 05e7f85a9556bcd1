/* SPDX-License-Identifier: MIT */
#include "calls/calls.h"

#include "arch/entry.h"
#include "lib/print.h"
#include "task/task.h"

#define NUMBERS 512

/* The names of all of Linux's, as the build machine's headers have them: made by the build. */
static const char *const names[NUMBERS] = {
#include "call-names.inc"
};

/* Named on the console already: a bit for each number; those beyond share the last one. */
static _Atomic uint64_t named[NUMBERS / 64 + 1];

static int64_t unknown(struct registers *regs)
{
	uint64_t number = MIN(regs->error, NUMBERS);
	uint64_t bit = 1ull << number % 64;

	if (!(atomic_fetch_or_explicit(&named[number / 64], bit, memory_order_relaxed) & bit))
		print("quire: %s: system call %lu (%s) is not there\n", current_task()->name,
		      regs->error,
		      number < NUMBERS && names[number] != NULL ? names[number] : "unknown");
	return -ENOSYS;
}

typedef int64_t (*call_function)(struct registers *regs);

static const call_function calls[NUMBERS] = {
#define CALL(number, name) [number] = call_##name,
#include "calls/fs_calls.h"
#include "calls/memory_calls.h"
#include "calls/signal_calls.h"
#include "calls/task_calls.h"
#undef CALL
};

void system_call(struct registers *regs)
{
	uint64_t number = regs->error;
	call_function call = number < NUMBERS ? calls[number] : NULL;
	int64_t result = likely(call != NULL) ? call(regs) : unknown(regs);

	regs->rax = (uint64_t)result;
	/* Only a call that may begin again has its number still: rt_sigreturn has not. */
	if (unlikely(result >= -ERESTART_NOHAND && result <= -ERESTART) &&
	    (int64_t)regs->error >= 0)
		atomic_fetch_or_explicit(&current_task()->work, WORK_RESTORE, memory_order_relaxed);
}
