/* SPDX-License-Identifier: MIT */
/*
 * The state of the floating-point and vector units: saved and loaded at each switch, by XSAVE. The
 * kernel itself does not use these units, so they keep a program's state during its system calls.
 */
#include "task/task.h"

#include "lib/string.h"
#include "memory/heap.h"

#define X87_CONTROL 0x37f
#define MXCSR_AT 24
#define MXCSR 0x1f80
#define HEADER_AT 512 /* of XSAVE: which components are there */
#define PKRU_COMPONENT 9
#define PKRU_INITIAL 0x55555554u /* all keys but 0 deny access */

static uint32_t pkru_offset(void)
{
	uint32_t size, offset, c, d;

	__asm__("cpuid"
		: "=a"(size), "=b"(offset), "=c"(c), "=d"(d)
		: "a"(13), "c"(PKRU_COMPONENT));
	return offset;
}

void extended_reset(void *area)
{
	const uint16_t control = X87_CONTROL;
	const uint32_t mxcsr = MXCSR, pkru = PKRU_INITIAL;
	const uint64_t present = 1ull << PKRU_COMPONENT;
	uint8_t *at = area;

	memset(at, 0, cpu_features.xsave_size);
	memcpy(at, &control, sizeof(control));
	memcpy(at + MXCSR_AT, &mxcsr, sizeof(mxcsr));
	if (cpu_features.xsave_mask >> PKRU_COMPONENT & 1) {
		memcpy(at + HEADER_AT, &present, sizeof(present));
		memcpy(at + pkru_offset(), &pkru, sizeof(pkru));
	}
}

void *extended_create(void)
{
	void *area = heap_alloc(cpu_features.xsave_size);

	if (area)
		extended_reset(area);
	return area;
}

void extended_free(void *area)
{
	heap_free(area);
}

void extended_save(void *area)
{
	uint32_t low = (uint32_t)cpu_features.xsave_mask;
	uint32_t high = (uint32_t)(cpu_features.xsave_mask >> 32);

	__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(low), "d"(high) : "memory");
}

void extended_load(const void *area)
{
	uint32_t low = (uint32_t)cpu_features.xsave_mask;
	uint32_t high = (uint32_t)(cpu_features.xsave_mask >> 32);

	__asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"(low), "d"(high) : "memory");
}
