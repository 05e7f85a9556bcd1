/* SPDX-License-Identifier: MIT */
/*
 * The archive that the machine is started with: cpio(5), the "newc" format without checksums.
 *
 *     header: "070701", then 13 numbers of 8 hexadecimal digits
 *     name (with NUL), up to a multiple of 4; data, up to a multiple of 4; the next header ...
 *     the name "TRAILER!!!" ends it
 *
 * Files of several names are members with the same number, of which one has the data. Every
 * number is checked against the archive's size before it is used.
 */
#include "fs/special.h"
#include "fs/tree.h"

#include "lib/string.h"
#include "memory/heap.h"

#define MAGIC "070701"
#define HEADER 110u
#define TRAILER "TRAILER!!!"

enum {
	INO,
	MODE,
	UID,
	GID,
	NLINK,
	MTIME,
	SIZE,
	DEV_MAJOR,
	DEV_MINOR,
	RDEV_MAJOR,
	RDEV_MINOR,
	NAME_SIZE,
	CHECK,
	FIELDS
};

struct member {
	uint32_t field[FIELDS];
	const char *name, *data;
};

/* An inode that more names may come for. */
struct known {
	struct list node;
	uint32_t ino, major, minor;
	struct inode *inode;
};

struct archive {
	const char *bytes;
	size_t size, at;
	struct list known;
};

static int malformed(const struct archive *archive, const char *what)
{
	print("quire: the archive is malformed at byte %zu: %s\n", archive->at, what);
	return -EINVAL;
}

static bool parse_field(const char *digits, uint32_t *value)
{
	*value = 0;
	for (int i = 0; i < 8; i++) {
		unsigned digit = digit_value(digits[i]);

		if (digit > 15)
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

/* The member at archive->at, which moves behind it. */
static int next_member(struct archive *archive, struct member *member)
{
	const char *header = archive->bytes + archive->at;
	uint64_t left = archive->size - archive->at, name_end, end;
	uint32_t name_size;

	if (left < HEADER || memcmp(header, MAGIC, 6) != 0)
		return malformed(archive, "no header");
	for (int i = 0; i < FIELDS; i++)
		if (!parse_field(header + 6 + 8 * i, &member->field[i]))
			return malformed(archive, "a number is none");
	name_size = member->field[NAME_SIZE];
	if (name_size == 0 || name_size > PATH_ROOM || name_size > left - HEADER ||
	    header[HEADER + name_size - 1] != 0)
		return malformed(archive, "the name");
	name_end = (HEADER + (uint64_t)name_size + 3) & ~3ull;
	end = name_end + member->field[SIZE];
	if (end > left && member->field[SIZE])
		return malformed(archive, "longer than the archive");
	member->name = header + HEADER;
	member->data = header + name_end;
	archive->at += MIN((end + 3) & ~3ull, left);
	return 0;
}

static struct known *find_known(struct archive *archive, const struct member *member)
{
	list_for_each(known, &archive->known, struct known, node)
		if (known->ino == member->field[INO] && known->major == member->field[DEV_MAJOR] &&
		    known->minor == member->field[DEV_MINOR])
			return known;
	return NULL;
}

static int remember(struct archive *archive, const struct member *member, struct inode *inode)
{
	struct known *known = heap_alloc(sizeof(*known));

	if (!known)
		return -ENOMEM;
	*known = (struct known){ .ino = member->field[INO],
				 .major = member->field[DEV_MAJOR],
				 .minor = member->field[DEV_MINOR],
				 .inode = inode };
	inode_hold(inode);
	list_add(&archive->known, &known->node);
	return 0;
}

static void forget_all(struct archive *archive)
{
	list_for_each_safe(known, &archive->known, struct known, node) {
		inode_put(known->inode);
		heap_free(known);
	}
}

static struct inode *create_link(const struct member *member)
{
	size_t size = member->field[SIZE];
	char *target = heap_alloc(size + 1);
	struct inode *inode;

	if (!target)
		return NULL;
	memcpy(target, member->data, size);
	target[size] = 0;
	inode = inode_create_link(target);
	heap_free(target);
	return inode;
}

/* The inode of a member, without contents. NULL: no memory. */
static struct inode *create(const struct member *member, const char *path)
{
	uint32_t mode = member->field[MODE];
	struct inode *inode;

	switch (mode & S_IFMT) {
	case S_IFREG:
		inode = inode_create_regular(mode & 07777, path);
		break;
	case S_IFLNK:
		inode = create_link(member);
		break;
	case S_IFDIR:
		inode = inode_create(mode);
		break;
	default:
		inode = inode_create_node(
			mode, DEVICE(member->field[RDEV_MAJOR], member->field[RDEV_MINOR]));
	}
	if (inode) {
		inode->owner = member->field[UID];
		inode->group = member->field[GID];
	}
	return inode;
}

static int fill(struct inode *inode, const struct member *member)
{
	int64_t count = 0;

	if (inode->object && member->field[SIZE])
		count = quire_object_write(inode->object, 0, member->data, member->field[SIZE]);
	if (count < 0 || (inode->object && (uint64_t)count != member->field[SIZE]))
		return -ENOMEM;
	return 0;
}

static void set_times(struct inode *inode, const struct member *member)
{
	uint64_t time = member->field[MTIME] * SECOND;

	atomic_store_explicit(&inode->modified, time, memory_order_relaxed);
	atomic_store_explicit(&inode->accessed, time, memory_order_relaxed);
}

static bool type_is_known(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

static int unpack(struct archive *archive, const struct member *member, const char *path)
{
	bool many = member->field[NLINK] > 1 && (member->field[MODE] & S_IFMT) != S_IFDIR;
	struct known *known = many ? find_known(archive, member) : NULL;
	struct inode *inode;
	int error = 0;

	if (known) {
		inode = known->inode;
		inode_hold(inode);
	} else {
		inode = create(member, path);
		if (inode && many)
			error = remember(archive, member, inode);
	}
	if (!inode || error) {
		inode_put(inode);
		return -ENOMEM;
	}
	/* Of several names only one has the data, any of them. */
	if (!many || member->field[SIZE])
		error = fill(inode, member);
	if (error) {
		inode_put(inode);
		return error;
	}
	set_times(inode, member);
	return fs_place(path, inode);
}

/* The path from the root: without "./" or "/" in front. "": the root itself. */
static int unpack_member(struct archive *archive, const struct member *member, char *path)
{
	const char *name = member->name;
	int error;

	while (*name == '/' || (name[0] == '.' && name[1] == '/'))
		name++;
	if (name[0] == '.' && name[1] == 0)
		name++;
	if (!type_is_known(member->field[MODE]))
		return malformed(archive, "a file of an unknown type");
	format(path, PATH_ROOM + 1, "/%s", name);
	error = unpack(archive, member, path);
	if (error)
		print("quire: %s in the archive: error %d\n", path, -error);
	return error;
}

int fs_unpack(const void *bytes, size_t size)
{
	struct archive archive = { .bytes = bytes, .size = size };
	char *path = heap_alloc(PATH_ROOM + 1);
	struct member member;
	int error = path ? 0 : -ENOMEM;

	list_init(&archive.known);
	while (!error) {
		error = next_member(&archive, &member);
		if (error || strcmp(member.name, TRAILER) == 0)
			break;
		error = unpack_member(&archive, &member, path);
	}
	forget_all(&archive);
	heap_free(path);
	return error == -ENOMEM || error == 0 ? error : -EINVAL;
}
