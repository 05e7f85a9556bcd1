/* SPDX-License-Identifier: MIT */
/* Loads, stores and jumps by the real CPU, which may end in a signal, and by a virtual one. */
#ifndef QUIRE_TESTS_ORACLE_ACCESS_H
#define QUIRE_TESTS_ORACLE_ACCESS_H

#include "oracle_calls.h"

#include <signal.h>

/* What an access may do: a verdict, with the value that a load found, or where it was refused. */
struct outcome {
	enum quire_verdict verdict;
	uint64_t value, address;
};

static inline bool outcome_same(const struct outcome *a, const struct outcome *b)
{
	return a->verdict == b->verdict && a->value == b->value && a->address == b->address;
}

struct access {
	enum quire_access kind;
	uint64_t address;
	unsigned size; /* 1, 2, 4, 8 */
	uint64_t value;
};

#define OPCODE_RETURN 0xc3

static _Thread_local sigjmp_buf access_escape;
static _Thread_local volatile sig_atomic_t access_signal, access_code, access_under_way;
static _Thread_local uint64_t access_address;

static inline void access_caught(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (!access_under_way) {
		signal(number, SIG_DFL); /* not ours: die of it */
		return;
	}
	access_signal = number;
	access_code = info->si_code;
	access_address = (uintptr_t)info->si_addr;
	siglongjmp(access_escape, 1);
}

static inline void access_begin(void)
{
	struct sigaction action = { .sa_sigaction = access_caught,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGSEGV, &action, NULL) || sigaction(SIGBUS, &action, NULL))
		abort();
}

__attribute__((noinline, no_sanitize("address", "undefined"), unused)) static uint64_t access_do(
	const struct access *access)
{
	void *p = (void *)(uintptr_t)access->address;

	if (access->kind == QUIRE_EXEC) {
		((void (*)(void))(uintptr_t)access->address)();
		return 0;
	}
	if (access->kind == QUIRE_WRITE) {
		switch (access->size) {
		case 1:
			*(volatile uint8_t *)p = (uint8_t)access->value;
			return 0;
		case 2:
			*(volatile uint16_t *)p = (uint16_t)access->value;
			return 0;
		case 4:
			*(volatile uint32_t *)p = (uint32_t)access->value;
			return 0;
		default:
			*(volatile uint64_t *)p = access->value;
			return 0;
		}
	}
	switch (access->size) {
	case 1:
		return *(volatile uint8_t *)p;
	case 2:
		return *(volatile uint16_t *)p;
	case 4:
		return *(volatile uint32_t *)p;
	default:
		return *(volatile uint64_t *)p;
	}
}

static inline struct outcome linux_access(const struct access *access)
{
	struct outcome outcome = { QUIRE_FAULT_DONE, 0, 0 };

	access_under_way = 1;
	if (sigsetjmp(access_escape, 0) == 0)
		outcome.value = access_do(access);
	else if (access_signal == SIGBUS)
		outcome.verdict = QUIRE_FAULT_BUS;
	else
		outcome.verdict = access_code == SEGV_MAPERR ? QUIRE_FAULT_MAPERR
							     : QUIRE_FAULT_ACCERR;
	if (outcome.verdict != QUIRE_FAULT_DONE)
		outcome.address = access_address;
	access_under_way = 0;
	return outcome;
}

static inline struct outcome quire_access_do(struct quire_soft_cpu *cpu,
					     const struct access *access)
{
	struct outcome outcome = { QUIRE_FAULT_DONE, 0, 0 };
	bool done;

	if (access->kind == QUIRE_EXEC)
		done = quire_soft_translate(cpu, access->address, QUIRE_EXEC) != NULL;
	else if (access->kind == QUIRE_WRITE)
		done = quire_soft_store(cpu, access->address, access->size, access->value);
	else
		done = quire_soft_load(cpu, access->address, access->size, &outcome.value);
	if (!done) {
		outcome.verdict = cpu->verdict;
		outcome.address = cpu->fault_address;
	}
	return outcome;
}

#endif
