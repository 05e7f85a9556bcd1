/* SPDX-License-Identifier: MIT */
/* ELF files for x86-64: read, checked, mapped. */
#ifndef KERNEL_ELF_H
#define KERNEL_ELF_H

#include "fs/fs.h"

#include <quire/mm.h>

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, table, sections;
	uint32_t flags;
	uint16_t size, table_entry, table_count, section_entry, section_count, section_names;
};

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, address, physical, file_size, memory_size, align;
};

#define ELF_SEGMENT_SIZE 56

/* Addresses are as the file has them: `bias` is added where it is mapped. */
struct elf_image {
	struct file *file;	      /* counted */
	struct quire_object *object;  /* counted */
	struct elf_segment *segments; /* heap; those to load only */
	unsigned count;
	struct elf_header header;
	char *interpreter; /* heap; NULL: none is asked for */
	bool exec_stack;
	uint64_t low, high, align; /* whole pages of all segments */
	uint64_t table;		   /* address of the program headers; 0: not in memory */
	uint64_t code_start, code_end;
};

/*
 * Reads and checks. Takes over the file, on success only. Returns 0, -ENOEXEC (anything in it is
 * not as it must be), -ENOMEM, or what reading says; then there is nothing to close.
 */
int elf_open(struct file *file, struct elf_image *image);
void elf_close(struct elf_image *image); /* one that is all zero is closed already */
/* May it be anywhere? */
bool elf_movable(const struct elf_image *image);
/* Maps all segments of an image that fits there. 0, or a negative error: some may be mapped then.
 */
int elf_map(const struct elf_image *image, struct quire_mm *mm, uint64_t bias);
/* Clears what is in the last page of a segment behind its bytes. => the space is the current one */
int elf_clear(const struct elf_image *image, uint64_t bias);

#endif
