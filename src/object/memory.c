/* SPDX-License-Identifier: MIT */
/*
 * Files over bytes of the caller's memory: a store for where there is no other. Two calls of a
 * store at once never concern the same byte if one of them writes, but for a read of a page that
 * has been cut off meanwhile, whose result nobody uses: so copying is all there is to do. Programs
 * may store to a page while it is written.
 */
#include "object/bytes.h"
#include "object/kinds.h"

/* How much of [offset, offset + length) there is. */
static uint64_t within(const struct quire_buffer *memory, uint64_t offset, uint64_t length)
{
	uint64_t rest = offset < memory->length ? memory->length - offset : 0;

	return length < rest ? length : rest;
}

static int memory_read(void *store, uint64_t offset, const struct quire_buffer *buffers,
		       unsigned count)
{
	const struct quire_buffer *memory = store;

	for (unsigned i = 0; i < count; offset += buffers[i++].length)
		memcpy(buffers[i].bytes, (const char *)memory->bytes + offset,
		       within(memory, offset, buffers[i].length));
	return 0;
}

static int memory_write(void *store, uint64_t offset, const struct quire_buffer *buffers,
			unsigned count)
{
	const struct quire_buffer *memory = store;

	for (unsigned i = 0; i < count; offset += buffers[i++].length)
		bytes_out((unsigned char *)memory->bytes + offset, buffers[i].bytes,
			  within(memory, offset, buffers[i].length));
	return 0;
}

static int memory_size(void *store, uint64_t *size)
{
	const struct quire_buffer *memory = store;

	*size = memory->length;
	return 0;
}

static int memory_remove(void *store, uint64_t offset, uint64_t length)
{
	const struct quire_buffer *memory = store;

	memset((char *)memory->bytes + offset, 0, within(memory, offset, length));
	return 0;
}

static const struct quire_store_ops writable_ops = {
	.read = memory_read,
	.write = memory_write,
	.size = memory_size,
	.remove = memory_remove,
};

static const struct quire_store_ops read_only_ops = {
	.read = memory_read,
	.size = memory_size,
};

int quire_memory_file_create(void *bytes, uint64_t size, bool writable,
			     const struct quire_object_config *config, struct quire_object **out)
{
	struct file *file = file_new(writable ? &writable_ops : &read_only_ops, NULL);

	if (!file)
		return -QUIRE_ENOMEM;
	file->memory = (struct quire_buffer){ .bytes = bytes, .length = size };
	file->store = &file->memory;
	return file_begin(file, config, out);
}
