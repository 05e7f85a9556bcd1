/* SPDX-License-Identifier: MIT */
/* The layout as text, as /proc/PID/maps has it (proc(5)), of one version of the tree. */
#include "space/space.h"

struct text {
	char *at;
	size_t size, length; /* of the buffer; of the whole text */
};

static void put(struct text *text, char c)
{
	if (text->length + 1 < text->size)
		text->at[text->length] = c;
	text->length++;
}

static void put_string(struct text *text, const char *s)
{
	while (*s)
		put(text, *s++);
}

/* Hexadecimal, at least `digits` long. */
static void put_hex(struct text *text, uint64_t value, unsigned digits)
{
	unsigned length = 1;

	while (length < 16 && value >> (4 * length))
		length++;
	if (length < digits)
		length = digits;
	while (length--)
		put(text, "0123456789abcdef"[value >> (4 * length) & 15]);
}

static void put_decimal(struct text *text, uint64_t value)
{
	uint64_t unit = 1;

	while (value / unit >= 10)
		unit *= 10;
	for (; unit; unit /= 10)
		put(text, (char)('0' + value / unit % 10));
}

/* As in proc(5): a newline in a name would end the line. */
static void put_name(struct text *text, const char *name)
{
	for (; *name; name++)
		if (*name == '\n')
			put_string(text, "\\012");
		else
			put(text, *name);
}

/* Offset, device, inode. */
static void put_object(struct text *text, const struct vma *vma, const struct quire_object *object)
{
	put(text, ' ');
	put_hex(text, vma->start - vma->mapping->origin, 8);
	put(text, ' ');
	put_hex(text, object->device_major, 2);
	put(text, ':');
	put_hex(text, object->device_minor, 2);
	put(text, ' ');
	put_decimal(text, object->inode);
	put(text, ' ');
}

static void put_vma(struct text *text, const struct vma *vma, bool heap)
{
	const struct quire_object *object = vma->mapping ? vma->mapping->object : NULL;
	const char *name = object ? object->name : heap ? "[heap]" : "";
	size_t begin = text->length;

	put_hex(text, vma->start, 8);
	put(text, '-');
	put_hex(text, vma->end, 8);
	put(text, ' ');
	put(text, vma->flags & VMA_READ ? 'r' : '-');
	put(text, vma->flags & VMA_WRITE ? 'w' : '-');
	put(text, vma->flags & VMA_EXEC ? 'x' : '-');
	put(text, vma->flags & VMA_SHARED ? 's' : 'p');
	if (object)
		put_object(text, vma, object);
	else
		put_string(text, " 00000000 00:00 0 ");
	if (*name) {
		while (text->length - begin < 73)
			put(text, ' ');
		put_name(text, name);
	}
	put(text, '\n');
}

size_t quire_mm_maps(struct quire_mm *mm, char *buffer, size_t size)
{
	struct text text = { buffer, size, 0 };
	uint64_t brk_start, brk;
	struct tree tree;

	section_enter();
	spin_lock(&mm->tree_lock, RANK_TREE);
	tree = tree_snapshot(&mm->tree);
	brk_start = mm->brk_start;
	brk = mm->brk;
	spin_unlock(&mm->tree_lock);
	for_each_vma(vma, &tree, 0, UINT64_MAX)
		put_vma(&text, vma, brk > brk_start && vma->start < brk && vma->end > brk_start);
	section_leave();
	if (size)
		buffer[text.length < size ? text.length : size - 1] = 0;
	return text.length;
}
