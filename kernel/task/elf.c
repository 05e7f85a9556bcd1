/* SPDX-License-Identifier: MIT */
/*
 * ELF files: every number in one is checked before it is used, so that a damaged file is ENOEXEC
 * and nothing else.
 *
 *     file       │ header │ ... │ text │ data │          a segment's bytes are inside the file
 *                               └──────┴──┐
 *     memory          bias + address: │ text │ data │ bss │   segments ascend and don't overlap
 *                                     └ file pages, private ┘└ anonymous
 *
 * Offset and address of a segment agree modulo the page size, so its pages are those of the file.
 * Two segments may share a page: the later one maps it, as in Linux.
 */
#include "task/elf.h"

#include "arch/cpu.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/space.h"
#include "memory/user.h"

enum { ET_EXEC = 2, ET_DYN = 3, EM_X86_64 = 62, PF_X = 1, PF_W = 2, PF_R = 4 };
enum { PT_LOAD = 1, PT_INTERP = 3 };
#define PT_GNU_STACK 0x6474e551u

#define SEGMENTS_MAX (65536 / ELF_SEGMENT_SIZE)
#define PAGE QUIRE_PAGE_SIZE

_Static_assert(sizeof(struct elf_header) == 64 && sizeof(struct elf_segment) == ELF_SEGMENT_SIZE,
	       "as the format has it");

static uint64_t page_down(uint64_t address)
{
	return address & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t address)
{
	return page_down(address + PAGE - 1);
}

/* All of it, or it is no program. */
static int read_whole(struct file *file, void *to, size_t size, uint64_t offset)
{
	int64_t done = file_read_at(file, to, size, offset);

	if (done < 0)
		return (int)done;
	return (size_t)done == size ? 0 : -ENOEXEC;
}

static int check_header(const struct elf_header *header)
{
	/* Magic, 64 bits, little endian, version 1. */
	static const uint8_t ident[] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };

	if (memcmp(header->ident, ident, sizeof(ident)) != 0 || header->machine != EM_X86_64 ||
	    header->version != 1 || (header->type != ET_EXEC && header->type != ET_DYN) ||
	    header->table_entry != ELF_SEGMENT_SIZE || header->table_count == 0 ||
	    header->table_count > SEGMENTS_MAX)
		return -ENOEXEC;
	return 0;
}

/* What it says about itself, without a look at the others. */
static int check_load(const struct elf_segment *segment, uint64_t size)
{
	uint64_t end;

	if (segment->file_size > segment->memory_size || segment->offset > size ||
	    segment->file_size > size - segment->offset ||
	    __builtin_add_overflow(segment->address, segment->memory_size, &end) ||
	    end > USER_END || segment->align & (segment->align - 1) || segment->align > USER_END ||
	    (segment->address - segment->offset) % PAGE != 0)
		return -ENOEXEC;
	return 0;
}

/* Takes a segment to load over to image->segments. */
static int add_load(struct elf_image *image, const struct elf_segment *segment)
{
	uint64_t table = image->header.table;

	if (segment->memory_size == 0)
		return 0;
	if (check_load(segment, quire_object_size(image->object)))
		return -ENOEXEC;
	if (image->count > 0) {
		const struct elf_segment *last = &image->segments[image->count - 1];

		if (segment->address < last->address + last->memory_size)
			return -ENOEXEC;
	} else {
		image->low = page_down(segment->address);
	}
	image->high = page_up(segment->address + segment->memory_size);
	image->align = MAX(image->align, segment->align);
	if (table >= segment->offset && table - segment->offset < segment->file_size)
		image->table = table - segment->offset + segment->address;
	if (segment->flags & PF_X && image->code_end == 0)
		image->code_start = segment->address;
	if (segment->flags & PF_X)
		image->code_end = segment->address + segment->memory_size;
	image->segments[image->count++] = *segment;
	return 0;
}

static int read_interpreter(struct elf_image *image, const struct elf_segment *segment)
{
	int error;

	if (image->interpreter)
		return 0;
	if (segment->file_size < 2 || segment->file_size > PATH_ROOM)
		return -ENOEXEC;
	image->interpreter = heap_alloc(segment->file_size);
	if (!image->interpreter)
		return -ENOMEM;
	error = read_whole(image->file, image->interpreter, segment->file_size, segment->offset);
	if (error == 0 && image->interpreter[segment->file_size - 1] != 0)
		error = -ENOEXEC;
	return error;
}

/* The table is read to the heap whole; what is to be loaded moves to its front. */
static int read_segments(struct elf_image *image)
{
	size_t size = (size_t)image->header.table_count * ELF_SEGMENT_SIZE;
	int error;

	image->segments = heap_alloc(size);
	if (!image->segments)
		return -ENOMEM;
	error = read_whole(image->file, image->segments, size, image->header.table);
	for (unsigned i = 0; error == 0 && i < image->header.table_count; i++) {
		struct elf_segment segment = image->segments[i];

		if (segment.type == PT_LOAD)
			error = add_load(image, &segment);
		else if (segment.type == PT_INTERP)
			error = read_interpreter(image, &segment);
		else if (segment.type == PT_GNU_STACK)
			image->exec_stack = segment.flags & PF_X;
	}
	return error;
}

static int check_image(const struct elf_image *image)
{
	if (image->count == 0 || image->header.entry >= image->high ||
	    (image->header.type == ET_EXEC && image->low < SPACE_START))
		return -ENOEXEC;
	return 0;
}

static int open_object(struct elf_image *image)
{
	if (!image->file->ops->object)
		return -EACCES;
	return image->file->ops->object(image->file, &image->object);
}

int elf_open(struct file *file, struct elf_image *image)
{
	int error;

	memset(image, 0, sizeof(*image));
	image->file = file;
	error = open_object(image);
	if (error == 0)
		error = read_whole(file, &image->header, sizeof(image->header), 0);
	if (error == 0)
		error = check_header(&image->header);
	if (error == 0)
		error = read_segments(image);
	if (error == 0)
		error = check_image(image);
	if (error) {
		image->file = NULL;
		elf_close(image);
	}
	return error;
}

void elf_close(struct elf_image *image)
{
	if (image->file)
		file_put(image->file);
	if (image->object)
		quire_object_put(image->object);
	heap_free(image->segments);
	heap_free(image->interpreter);
	memset(image, 0, sizeof(*image));
}

bool elf_movable(const struct elf_image *image)
{
	return image->header.type == ET_DYN;
}

static int protection(const struct elf_segment *segment)
{
	return (segment->flags & PF_R ? QUIRE_PROT_READ : 0) |
	       (segment->flags & PF_W ? QUIRE_PROT_WRITE : 0) |
	       (segment->flags & PF_X ? QUIRE_PROT_EXEC : 0);
}

static int map_segment(const struct elf_image *image, const struct elf_segment *segment,
		       struct quire_mm *mm, uint64_t bias)
{
	uint64_t start = page_down(segment->address + bias);
	uint64_t file_end = page_up(segment->address + bias + segment->file_size);
	uint64_t end = page_up(segment->address + bias + segment->memory_size);
	int all = QUIRE_PROT_READ | QUIRE_PROT_WRITE | QUIRE_PROT_EXEC, prot = protection(segment);
	int flags = QUIRE_MAP_PRIVATE | QUIRE_MAP_FIXED;
	int64_t at;

	if (segment->file_size == 0)
		file_end = start;
	if (file_end > start) {
		at = quire_mmap_object(mm, start, file_end - start, prot, flags, image->object,
				       page_down(segment->offset), all);
		if (at < 0)
			return (int)at;
	}
	if (end > file_end) {
		at = quire_mmap(mm, file_end, end - file_end, prot, flags | QUIRE_MAP_ANONYMOUS);
		if (at < 0)
			return (int)at;
	}
	return 0;
}

int elf_map(const struct elf_image *image, struct quire_mm *mm, uint64_t bias)
{
	int error = 0;

	for (unsigned i = 0; error == 0 && i < image->count; i++)
		error = map_segment(image, &image->segments[i], mm, bias);
	return error;
}

/*
 * To the end of the page, as the dynamic loader expects, but not into a next segment that shares
 * it. A segment that may not be written keeps what the file has there.
 */
static int clear_tail(const struct elf_segment *segment, const struct elf_segment *next,
		      uint64_t bias)
{
	uint64_t start = segment->address + segment->file_size, end = page_up(start);

	if (segment->memory_size == segment->file_size || segment->file_size == 0 ||
	    !(segment->flags & PF_W))
		return 0;
	if (next)
		end = MIN(end, next->address);
	return user_clear(start + bias, end - start);
}

int elf_clear(const struct elf_image *image, uint64_t bias)
{
	int error = 0;

	for (unsigned i = 0; error == 0 && i < image->count; i++)
		error = clear_tail(&image->segments[i],
				   i + 1 < image->count ? &image->segments[i + 1] : NULL, bias);
	return error;
}
