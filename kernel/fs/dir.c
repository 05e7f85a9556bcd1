/* SPDX-License-Identifier: MIT */
/* Directories as files: getdents(2); and where a process is: chdir(2), getcwd(2), readlink(2). */
#include "fs/path.h"
#include "fs/special.h"

#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"

/* Sets *info to the entry at or behind its cookie. => fs_lock */
static bool next_entry(struct inode *directory, struct dirent_info *info)
{
	if (info->cookie < COOKIE_FIRST) {
		bool parent = info->cookie == 1 && directory->parent;
		struct inode *inode = parent ? directory->parent : directory;

		strlcpy(info->name, info->cookie ? ".." : ".", sizeof(info->name));
		info->number = inode->number;
		info->mode = inode->mode;
		info->cookie++;
		return true;
	}
	if (info->cookie < COOKIE_DYNAMIC)
		list_for_each(entry, &directory->entries, struct entry, node) {
			if (entry->cookie < info->cookie)
				continue;
			memcpy(info->name, entry->name, entry->length + 1u);
			info->number = entry->inode->number;
			info->mode = entry->inode->mode;
			info->cookie = entry->cookie + 1;
			return true;
		}
	if (!directory->dynamic)
		return false;
	info->cookie = MAX(info->cookie, COOKIE_DYNAMIC);
	return directory->dynamic->next(directory, info);
}

/*
 * One record of getdents64: number u64, cookie u64, length u16, type u8, name. The older getdents
 * has no type there but in the record's last byte. Its length, 0: no room.
 */
static size_t put_record(char *at, size_t room, const struct dirent_info *info, bool old)
{
	size_t length = strlen(info->name), head = old ? 18 : 19;
	size_t size = (head + length + 1 + old + 7) & ~7ull;
	uint8_t type = (uint8_t)((info->mode & S_IFMT) >> 12);
	uint16_t size16 = (uint16_t)size;

	if (size > room)
		return 0;
	memset(at, 0, size);
	memcpy(at, &info->number, 8);
	memcpy(at + 8, &info->cookie, 8);
	memcpy(at + 16, &size16, 2);
	memcpy(at + (old ? size - 1 : 18), &type, 1);
	memcpy(at + head, info->name, length);
	return size;
}

/* As many records as fit into the buffer: bytes; EINVAL: not one. => fs_lock, position_mutex */
static int64_t fill(struct file *file, char *buffer, size_t room, bool old)
{
	struct dirent_info *info = heap_alloc(sizeof(*info));
	size_t done = 0, size = 0;
	bool found;

	if (!info)
		return -ENOMEM;
	info->cookie = file->position;
	while ((found = next_entry(file->inode, info))) {
		size = put_record(buffer + done, room - done, info, old);
		if (size == 0)
			break;
		done += size;
		file->position = info->cookie;
	}
	heap_free(info);
	return found && done == 0 ? -EINVAL : (int64_t)done;
}

static int64_t read_directory(struct file *file, uint64_t address, size_t room, bool old)
{
	uint64_t position;
	char *buffer;
	int64_t count;

	if (!file_can_read(file))
		return -EBADF;
	if (!is_directory(file->inode))
		return -ENOTDIR;
	if (file->inode->links == 0)
		return -ENOENT;
	room = MIN(room, 32768u);
	buffer = heap_alloc(MAX(room, 1u));
	if (!buffer)
		return -ENOMEM;
	mutex_take(&fs_lock);
	mutex_take(&file->position_mutex);
	position = file->position;
	count = fill(file, buffer, room, old);
	mutex_drop(&fs_lock);
	if (count > 0 && user_write(address, buffer, (size_t)count)) {
		file->position = position;
		count = -EFAULT;
	}
	mutex_drop(&file->position_mutex);
	heap_free(buffer);
	return count;
}

static int64_t get_entries(struct registers *regs, bool old)
{
	struct file *file = file_get((int)ARG(regs, 0));
	int64_t result;

	if (!file)
		return -EBADF;
	result = read_directory(file, ARG(regs, 1), (uint32_t)ARG(regs, 2), old);
	file_put(file);
	return result;
}

int64_t call_getdents(struct registers *regs)
{
	return get_entries(regs, true);
}

int64_t call_getdents64(struct registers *regs)
{
	return get_entries(regs, false);
}

static int64_t directory_seek(struct file *file, int64_t offset, int whence)
{
	if (whence == SEEK_CUR && offset == 0)
		return (int64_t)file->position;
	if (whence != SEEK_SET || offset < 0)
		return -EINVAL;
	file->position = (uint64_t)offset;
	return offset;
}

const struct file_ops directory_file_ops = { .seek = directory_seek };
const struct file_ops path_file_ops = { 0 };

static int64_t change_directory(int error, struct inode *inode)
{
	if (error)
		return error;
	if (is_directory(inode)) {
		mutex_take(&fs_lock);
		context_change(inode);
		mutex_drop(&fs_lock);
	} else {
		error = -ENOTDIR;
	}
	inode_put(inode);
	return error;
}

int64_t call_chdir(struct registers *regs)
{
	struct inode *inode;
	int error = inode_from_user(AT_FDCWD, ARG(regs, 0), PATH_FOLLOW, &inode);

	return change_directory(error, inode);
}

int64_t call_fchdir(struct registers *regs)
{
	struct file *file = file_get((int)ARG(regs, 0));
	int64_t result;

	if (!file)
		return -EBADF;
	inode_hold(file->inode);
	result = change_directory(0, file->inode);
	file_put(file);
	return result;
}

int64_t call_getcwd(struct registers *regs)
{
	struct inode *directory;
	char *text = heap_alloc(PATH_ROOM);
	int64_t length;

	if (!text)
		return -ENOMEM;
	mutex_take(&fs_lock);
	directory = context_directory();
	length = tree_path(directory, NULL, text, PATH_ROOM);
	mutex_drop(&fs_lock);
	inode_put(directory);
	if (length >= 0) {
		length++; /* the NUL counts */
		if ((uint64_t)length > ARG(regs, 1))
			length = -ERANGE;
		else if (user_write(ARG(regs, 0), text, (size_t)length))
			length = -EFAULT;
	}
	heap_free(text);
	return length;
}

static int64_t read_link(int descriptor, uint64_t path, uint64_t address, int64_t room)
{
	struct inode *inode;
	int64_t result;

	if ((int)room <= 0)
		return -EINVAL;
	result = inode_from_user(descriptor, path, descriptor == AT_FDCWD ? 0 : PATH_EMPTY, &inode);
	if (result)
		return result;
	if (is_link(inode)) {
		result = MIN((int64_t)strlen(inode->link), (int)room);
		if (user_write(address, inode->link, (size_t)result))
			result = -EFAULT;
	} else {
		result = -EINVAL;
	}
	inode_put(inode);
	return result;
}

int64_t call_readlink(struct registers *regs)
{
	return read_link(AT_FDCWD, ARG(regs, 0), ARG(regs, 1), (int64_t)ARG(regs, 2));
}

int64_t call_readlinkat(struct registers *regs)
{
	return read_link((int)ARG(regs, 0), ARG(regs, 1), ARG(regs, 2), (int64_t)ARG(regs, 3));
}
