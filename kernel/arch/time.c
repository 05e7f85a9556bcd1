/* SPDX-License-Identifier: MIT */
/*
 * Time: the time stamp counter, which runs evenly and alike on all CPUs, measured against the old
 * interval timer; the day from the battery-backed clock; interrupts by the local APIC's timer.
 */
#include "arch/setup.h"

#define PIT_HZ 1193182u
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PIT_GATE 0x61 /* bit 0: channel 2 counts; bit 5: its output */
#define MEASURE_HZ 200
#define MEASURE_RUNS 40
#define NANOSECONDS 1000000000ull

#define RTC_INDEX 0x70
#define RTC_DATA 0x71
#define RTC_STATUS_A 10
#define RTC_STATUS_B 11
#define RTC_UPDATING 0x80
#define RTC_24_HOURS 0x02
#define RTC_BINARY 0x04

uint64_t time_at_boot, tsc_hz;

static uint64_t tsc_at_boot;
static uint64_t ns_per_tick;  /* of the TSC; 32 bits behind the point */
static uint64_t ticks_per_ns; /* of the APIC's timer; likewise */

/* One run of the interval timer, 1 / MEASURE_HZ s: what the two others count meanwhile. */
static void measure(uint64_t *tsc, uint32_t *apic)
{
	uint16_t count = PIT_HZ / MEASURE_HZ;
	uint8_t gate = port_in8(PIT_GATE) & 0xfc;
	uint64_t began;

	port_out8(PIT_GATE, gate);
	port_out8(PIT_COMMAND, 0xb0); /* channel 2, both bytes, output high at the end */
	port_out8(PIT_CHANNEL2, (uint8_t)count);
	port_out8(PIT_CHANNEL2, (uint8_t)(count >> 8));
	apic_timer_set(UINT32_MAX);
	port_out8(PIT_GATE, gate | 1);
	began = tsc_read();
	while (!(port_in8(PIT_GATE) & 0x20))
		;
	*tsc = tsc_read() - began;
	*apic = UINT32_MAX - apic_timer_left();
	apic_timer_set(0);
}

static unsigned rtc_read(uint8_t at, bool binary)
{
	unsigned v;

	port_out8(RTC_INDEX, at);
	v = port_in8(RTC_DATA);
	if (binary)
		return v;
	/* Bit 7 of the hours says "afternoon" on a 12-hour clock. */
	return (v & 0x0f) + (v >> 4 & 7) * 10 + (v & 0x80 && at != 4 ? 80 : v & 0x80);
}

static uint64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
	/* The year begins in March: the leap day is its last. */
	unsigned y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;

	return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static uint64_t rtc_seconds(void)
{
	uint8_t mode;
	unsigned hour, day, month, year;
	uint64_t seconds;

	for (;;) {
		port_out8(RTC_INDEX, RTC_STATUS_A);
		if (!(port_in8(RTC_DATA) & RTC_UPDATING))
			break;
	}
	port_out8(RTC_INDEX, RTC_STATUS_B);
	mode = port_in8(RTC_DATA);
	seconds = rtc_read(0, mode & RTC_BINARY) + 60ull * rtc_read(2, mode & RTC_BINARY);
	hour = rtc_read(4, mode & RTC_BINARY);
	day = rtc_read(7, mode & RTC_BINARY);
	month = rtc_read(8, mode & RTC_BINARY);
	year = 2000 + rtc_read(9, mode & RTC_BINARY);
	if (!(mode & RTC_24_HOURS))
		hour = (hour & 0x7f) % 12 + (hour & 0x80 ? 12 : 0);
	return seconds + 3600 * hour + 86400 * days_since_1970(year, month, day);
}

/* Whatever disturbs a run makes it longer: the shortest is right if a second one agrees. */
static void measure_well(uint64_t *tsc, uint32_t *apic)
{
	uint64_t second = UINT64_MAX, run;
	uint32_t run_apic;

	*tsc = UINT64_MAX;
	for (int i = 0; i < MEASURE_RUNS && (i < 2 || second - *tsc > *tsc / 4096); i++) {
		measure(&run, &run_apic);
		if (run < *tsc) {
			second = *tsc;
			*tsc = run;
			*apic = run_apic;
		} else if (run < second) {
			second = run;
		}
	}
}

void time_init(void)
{
	uint64_t tsc;
	uint32_t apic = 0;

	measure_well(&tsc, &apic);
	tsc_hz = tsc * MEASURE_HZ;
	ns_per_tick = (NANOSECONDS << 32) / tsc_hz;
	ticks_per_ns = ((uint64_t)apic * MEASURE_HZ << 32) / NANOSECONDS;
	tsc_at_boot = tsc_read();
	time_at_boot = rtc_seconds() * NANOSECONDS - time_now();
}

static uint64_t scale(uint64_t value, uint64_t factor)
{
	return (uint64_t)((unsigned __int128)value * factor >> 32);
}

uint64_t time_now(void)
{
	return scale(tsc_read() - tsc_at_boot, ns_per_tick);
}

uint64_t quire_x86_clock(void)
{
	return time_now();
}

void time_delay(uint64_t nanoseconds)
{
	uint64_t end = time_now() + nanoseconds;

	while (time_now() < end)
		__builtin_ia32_pause();
}

/* What is too far away for the timer comes early, and is programmed again then. */
void time_program(uint64_t at)
{
	uint64_t now, ticks;

	if (at == 0) {
		apic_timer_set(0);
		return;
	}
	now = time_now();
	ticks = at > now ? scale(at - now, ticks_per_ns) + 1 : 1;
	apic_timer_set(ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX);
}
