/* SPDX-License-Identifier: MIT */
/* Files whose contents are made when they are opened, and stay as they were then. */
#include "fs/proc.h"
#include "fs/special.h"
#include "fs/tree.h"

#include "lib/string.h"
#include "memory/heap.h"

static int text_open(struct file *file)
{
	struct text *text = heap_zero(sizeof(*text));
	int error = -ENOMEM;

	if (text) {
		error = file->inode->print(file->inode, text);
		if (!error)
			error = text->error;
	}
	if (error && text) {
		text_free(text);
		heap_free(text);
	}
	file->private_data = text;
	return error;
}

static int64_t text_read(struct file *file, void *buffer, size_t size, uint64_t *position)
{
	struct text *text = file->private_data;

	if (*position >= text->length)
		return 0;
	size = MIN(size, text->length - *position);
	memcpy(buffer, text->bytes + *position, size);
	*position += size;
	return (int64_t)size;
}

static int64_t text_seek(struct file *file, int64_t offset, int whence)
{
	struct text *text = file->private_data;

	return seek_sized(file, offset, whence, text->length);
}

static void text_release(struct file *file)
{
	text_free(file->private_data);
	heap_free(file->private_data);
}

const struct file_ops text_file_ops = {
	.open = text_open,
	.read = text_read,
	.seek = text_seek,
	.release = text_release,
};

/* `%c` adds any byte. */
void text_add_bytes(struct text *text, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		text_add(text, "%c", bytes[i]);
}

void proc_add(const char *path, int (*printer)(struct inode *inode, struct text *out))
{
	struct inode *inode = inode_create(S_IFREG | 0444);

	if (inode) {
		inode->print = printer;
		inode->ops = &text_file_ops;
	}
	(void)fs_place(path, inode);
}
