/* SPDX-License-Identifier: MIT */
/*
 * ACPI, as far as the table of interrupt controllers: RSDP ──► RSDT or XSDT ──► MADT. What does not
 * add up is treated as not there.
 */
#include "arch/setup.h"
#include "lib/print.h"
#include "lib/string.h"

#define FOUR_GIB 0x100000000ull

struct root_pointer {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
} __attribute__((packed));

struct table {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[26];
} __attribute__((packed));

enum { LOCAL_APIC = 0, IO_APIC = 1, OVERRIDE = 2, LOCAL_APIC_ADDRESS = 5, LOCAL_X2APIC = 9 };
#define CPU_ENABLED 1

struct record {
	uint8_t type, length;
	union {
		struct {
			uint8_t acpi_id, apic_id;
			uint32_t flags;
		} __attribute__((packed)) local;
		struct {
			uint8_t id, reserved;
			uint32_t address, base;
		} __attribute__((packed)) io;
		struct {
			uint8_t bus, source;
			uint32_t line;
			uint16_t flags;
		} __attribute__((packed)) override;
		struct {
			uint16_t reserved;
			uint64_t address;
		} __attribute__((packed)) address;
		struct {
			uint16_t reserved;
			uint32_t apic_id, flags;
		} __attribute__((packed)) x2;
	};
} __attribute__((packed));

static bool adds_up(const void *at, size_t size)
{
	const uint8_t *bytes = at;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return sum == 0;
}

static const struct table *table_at(uint64_t address)
{
	const struct table *table = physical(address);

	/* Firmware puts its tables below 4 GiB, which is what the direct map is sure to show. */
	if (address == 0 || address >= FOUR_GIB || table->length < sizeof(*table) ||
	    !adds_up(table, table->length))
		return NULL;
	return table;
}

static const struct table *find(const struct root_pointer *pointer, const char *signature)
{
	bool wide = pointer->revision >= 2 && pointer->xsdt != 0;
	const struct table *root = table_at(wide ? pointer->xsdt : pointer->rsdt);
	size_t size = wide ? 8 : 4;

	if (root == NULL)
		return NULL;
	for (size_t at = sizeof(*root); at + size <= root->length; at += size) {
		const struct table *table;
		uint64_t address = 0;

		memcpy(&address, (const char *)root + at, size);
		table = table_at(address);
		if (table != NULL && memcmp(table->signature, signature, 4) == 0)
			return table;
	}
	return NULL;
}

static void add_cpu(struct acpi_machine *machine, uint32_t apic_id, uint32_t flags)
{
	if (!(flags & CPU_ENABLED))
		return;
	if (machine->cpus < MAX_CPUS)
		machine->apic_ids[machine->cpus++] = apic_id;
	else
		print("quire: CPU with APIC %u is not used: there are too many\n", apic_id);
}

static void read_record(const struct record *record, struct acpi_machine *machine)
{
	switch (record->type) {
	case LOCAL_APIC:
		add_cpu(machine, record->local.apic_id, record->local.flags);
		break;
	case LOCAL_X2APIC:
		add_cpu(machine, record->x2.apic_id, record->x2.flags);
		break;
	case LOCAL_APIC_ADDRESS:
		machine->local_apic = record->address.address;
		break;
	case IO_APIC:
		if (record->io.base <= machine->serial_line) {
			machine->io_apic = record->io.address;
			machine->io_apic_base = record->io.base;
		}
		break;
	case OVERRIDE:
		if (record->override.source == 4)
			machine->serial_line = record->override.line;
		break;
	default:
		break;
	}
}

void acpi_read(uint64_t rsdp, struct acpi_machine *machine)
{
	const struct root_pointer *pointer = physical(rsdp);
	const struct table *madt = NULL;
	size_t at = sizeof(struct table) + 8; /* address and flags */

	*machine = (struct acpi_machine){ .local_apic = 0xfee00000,
					  .io_apic = 0xfec00000,
					  .serial_line = 4 };
	if (rsdp != 0 && rsdp < FOUR_GIB && adds_up(pointer, 20))
		madt = find(pointer, "APIC");
	while (madt != NULL && at + 2 <= madt->length) {
		const struct record *record = (const void *)((const char *)madt + at);

		if (record->length < 2 || at + record->length > madt->length)
			break;
		read_record(record, machine);
		at += record->length;
	}
	if (machine->cpus == 0) {
		print("quire: ACPI names no CPUs: only this one is used\n");
		machine->cpus = 1;
	}
}
