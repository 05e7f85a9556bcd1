/* SPDX-License-Identifier: MIT */
/* Files: their contents, names and errors; directories, links, times; vectors, positions, and what
 * is not a regular file. */
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define HERE "/tmp/files"

/* Each case works in one directory, and leaves nothing there. */
static void begin(void)
{
	need(mkdir(HERE, 0755) == 0 || errno == EEXIST);
	need(chdir(HERE) == 0);
}

static int make(const char *name, const char *text)
{
	int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	need(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
	return file;
}

static void contents(void)
{
	char text[64] = "";
	struct stat about;

	begin();
	int file = make("one", "hello, world");
	check(lseek(file, 7, SEEK_SET) == 7 && read(file, text, 64) == 5 &&
	      memcmp(text, "world", 5) == 0);
	check(read(file, text, 64) == 0 && lseek(file, -5, SEEK_END) == 7 &&
	      lseek(file, 1, SEEK_CUR) == 8);
	fails(lseek(file, -9, SEEK_CUR), EINVAL);
	fails(lseek(file, 0, 77), EINVAL);
	/* A hole reads as zeros. */
	check(pwrite(file, "end", 3, 10000) == 3 && fstat(file, &about) == 0 &&
	      about.st_size == 10003);
	check(pread(file, text, 10, 5000) == 10 && text[0] == 0 && text[9] == 0);
	check(ftruncate(file, 3) == 0 && pread(file, text, 64, 0) == 3 &&
	      memcmp(text, "hel", 3) == 0);
	check(ftruncate(file, 8) == 0 && pread(file, text, 64, 0) == 8 && text[3] == 0 &&
	      text[7] == 0);
	fails(ftruncate(file, -1), EINVAL);
	int end = open("one", O_WRONLY | O_APPEND);
	check(write(end, "++", 2) == 2 && pread(file, text, 64, 0) == 10 &&
	      memcmp(text + 8, "++", 2) == 0);
	fails(read(end, text, 1), EBADF);
	check(truncate("one", 1) == 0 && stat("one", &about) == 0 && about.st_size == 1);
	check(unlink("one") == 0 && pread(file, text, 1, 0) == 1);
}

static void opening(void)
{
	struct stat about;

	begin();
	close(make("there", "x"));
	fails(open("missing", O_RDONLY), ENOENT);
	fails(open("there/below", O_RDONLY), ENOTDIR);
	fails(open("there", O_CREAT | O_EXCL | O_RDWR, 0600), EEXIST);
	fails(open("there", O_DIRECTORY | O_RDONLY), ENOTDIR);
	fails(open(HERE, O_WRONLY), EISDIR);
	fails(open("", O_RDONLY), ENOENT);
	char name[PATH_MAX + 10];
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	fails(open(name, O_RDONLY), ENAMETOOLONG);
	name[300] = 0;
	fails(open(name, O_RDONLY | O_CREAT, 0600), ENAMETOOLONG);
	umask(027);
	int file = open("masked", O_CREAT | O_RDWR, 0777);
	check(fstat(file, &about) == 0 && (about.st_mode & 07777) == 0750 &&
	      S_ISREG(about.st_mode));
	check(fchmod(file, 0640) == 0 && stat("masked", &about) == 0 &&
	      (about.st_mode & 07777) == 0640);
	check((fcntl(file, F_GETFL) & O_ACCMODE) == O_RDWR && access("masked", R_OK | W_OK) == 0);
	fails(access("missing", F_OK), ENOENT);
	int last = -1;
	for (int next; (next = open("there", O_RDONLY)) >= 0;)
		last = next;
	check(errno == EMFILE && last > 50);
	fails(open("also-new", O_CREAT | O_RDWR, 0600), EMFILE);
	unlink("there"), unlink("masked");
}

static void directories(void)
{
	begin();
	check(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0);
	fails(mkdir("d", 0755), EEXIST);
	fails(mkdir("no/d", 0755), ENOENT);
	close(make("d/file", "x"));
	fails(rmdir("d"), ENOTEMPTY);
	fails(rmdir("d/file"), ENOTDIR);
	fails(unlink("d/e"), EISDIR);
	char where[PATH_MAX];
	check(chdir("d/e") == 0 && getcwd(where, sizeof(where)) && strcmp(where, HERE "/d/e") == 0);
	check(access("../file", F_OK) == 0 && access("../../d/./e/../file", F_OK) == 0);
	fails(syscall(SYS_getcwd, where, 3ul), ERANGE);
	int base = open(HERE "/d", O_RDONLY | O_DIRECTORY), file = openat(base, "file", O_RDONLY);
	check(base >= 0 && file >= 0);
	fails(read(base, where, 10), EISDIR);
	fails(openat(file, "x", O_RDONLY), ENOTDIR);
	fails(openat(77, "x", O_RDONLY), EBADF);
	check(fchdir(base) == 0 && access("e", F_OK) == 0 &&
	      unlinkat(base, "e", AT_REMOVEDIR) == 0);
	check(unlink("file") == 0 && chdir("/") == 0 && rmdir(HERE "/d") == 0);
	fails(chdir(HERE "/d"), ENOENT);
}

static void listings(void)
{
	struct dirent *entry;
	unsigned found = 0, dots = 0, wrong = 0;
	char name[32];

	begin();
	need(mkdir("list", 0755) == 0);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "list/name-%d", i);
		close(make(name, ""));
	}
	DIR *directory = opendir("list");
	need(directory);
	while ((entry = readdir(directory))) {
		dots += strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
		found += strncmp(entry->d_name, "name-", 5) == 0;
		wrong += entry->d_name[0] == 'n' && entry->d_type != DT_REG &&
			 entry->d_type != DT_UNKNOWN;
	}
	check(found == 500 && dots == 2 && wrong == 0);
	rewinddir(directory);
	check(readdir(directory) != NULL);
	closedir(directory);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "list/name-%d", i);
		unlink(name);
	}
	check(rmdir("list") == 0);
}

static void links(void)
{
	struct stat a, b;
	char text[64];

	begin();
	close(make("original", "text"));
	check(link("original", "second") == 0 && stat("original", &a) == 0 &&
	      stat("second", &b) == 0);
	check(a.st_ino == b.st_ino && a.st_nlink == 2);
	fails(link("original", "second"), EEXIST);
	check(unlink("original") == 0 && stat("second", &b) == 0 && b.st_nlink == 1);
	check(symlink("second", "pointer") == 0 && stat("pointer", &a) == 0 &&
	      a.st_ino == b.st_ino);
	check(lstat("pointer", &a) == 0 && S_ISLNK(a.st_mode) && a.st_size == 6);
	check(readlink("pointer", text, sizeof(text)) == 6 && memcmp(text, "second", 6) == 0);
	fails(readlink("second", text, sizeof(text)), EINVAL);
	fails(open("pointer", O_RDONLY | O_NOFOLLOW), ELOOP);
	check(symlink("loop", "loop") == 0);
	fails(open("loop", O_RDONLY), ELOOP);
	check(unlink("loop") == 0 && unlink("pointer") == 0 && access("second", F_OK) == 0);
	unlink("second");
}

static void renames(void)
{
	struct stat about;

	begin();
	close(make("a", "aaa"));
	close(make("b", "bbbbb"));
	check(rename("a", "b") == 0 && stat("b", &about) == 0 && about.st_size == 3);
	fails(rename("a", "c"), ENOENT);
	check(mkdir("x", 0755) == 0 && mkdir("x/y", 0755) == 0 && rename("b", "x/y/b") == 0);
	fails(rename("x", "x/y/z"), EINVAL);
	close(make("plain", ""));
	fails(rename("plain", "x/y"), EISDIR);
	fails(rename("x/y", "plain"), ENOTDIR);
	check(rename("x/y", "w") == 0 && access("w/b", F_OK) == 0);
	check(unlink("w/b") == 0 && unlink("plain") == 0 && rmdir("w") == 0 && rmdir("x") == 0);
}

static void times(void)
{
	struct timespec given[2] = { { 1000, 5 }, { 2000, 7 } };
	struct stat about, after;

	begin();
	int file = make("times", "x");
	check(futimens(file, given) == 0 && fstat(file, &about) == 0);
	check(about.st_atim.tv_sec == 1000 && about.st_mtim.tv_sec == 2000 &&
	      about.st_mtim.tv_nsec == 7);
	check(write(file, "y", 1) == 1 && fstat(file, &after) == 0 && after.st_mtim.tv_sec > 2000);
	check(after.st_nlink == 1 && after.st_blksize > 0 && after.st_ino == about.st_ino);
	struct statx more;
	check(statx(AT_FDCWD, "times", 0, STATX_BASIC_STATS, &more) == 0 && more.stx_size == 2);
	check(fstatat(file, "", &about, AT_EMPTY_PATH) == 0 && about.st_size == 2);
	struct statfs system;
	check(statfs(HERE, &system) == 0 && system.f_bsize > 0 && fsync(file) == 0);
	unlink("times");
}

static void vectors(void)
{
	char a[4], b[8];
	struct iovec out[3] = { { (char *)"abc", 3 }, { (char *)"", 0 }, { (char *)"defgh", 5 } };
	struct iovec in[2] = { { a, 4 }, { b, 8 } };

	begin();
	int file = make("vector", "");
	check(writev(file, out, 3) == 8 && lseek(file, 0, SEEK_SET) == 0 &&
	      readv(file, in, 2) == 8);
	check(memcmp(a, "abcd", 4) == 0 && memcmp(b, "efgh", 4) == 0);
	fails(syscall(SYS_writev, file, out, -1l), EINVAL);
	fails(syscall(SYS_writev, file, out, 5000l), EINVAL);
	struct iovec huge[2] = { { a, 4 }, { b, SIZE_MAX } };
	fails(readv(file, huge, 2), EINVAL);
	int copy = make("copy", "");
	off_t from = 2;
	check(copy_file_range(file, &from, copy, NULL, 4, 0) == 4 && from == 6);
	check(pread(copy, a, 4, 0) == 4 && memcmp(a, "cdef", 4) == 0);
	unlink("vector"), unlink("copy");
}

static void shared_positions(void)
{
	char byte;

	begin();
	int file = make("position", "0123456789"), same = dup(file),
	    other = open("position", O_RDONLY);
	pid_t child;

	check(lseek(file, 3, SEEK_SET) == 3 && read(same, &byte, 1) == 1 && byte == '3');
	check(read(other, &byte, 1) == 1 && byte == '0');
	need((child = fork()) >= 0);
	if (child == 0)
		_exit(read(file, &byte, 1) != 1 || byte != '4');
	check(exited(child, 0) && read(file, &byte, 1) == 1 && byte == '5');
	unlink("position");
}

static void devices(void)
{
	unsigned char bytes[64] = { 1 }, sum = 0;
	int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR),
	    random = open("/dev/urandom", O_RDONLY);

	need(null >= 0 && zero >= 0 && random >= 0);
	check(write(null, bytes, 64) == 64 && read(null, bytes, 64) == 0);
	check(read(zero, bytes, 64) == 64 && bytes[0] == 0 && read(random, bytes, 64) == 64);
	for (int i = 0; i < 64; i++)
		sum |= bytes[i];
	check(sum != 0);
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
	check(p != MAP_FAILED && *(char *)p == 0);
	struct winsize size;
	fails(ioctl(null, TIOCGWINSZ, &size), ENOTTY);
	check(!isatty(null));
}

static void own_proc(void)
{
	char path[PATH_MAX], name[64];
	struct stat about;

	begin();
	int file = make("proc", "x");
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	ssize_t length = readlink(name, path, sizeof(path));
	check(length == (ssize_t)strlen(HERE "/proc") &&
	      memcmp(path, HERE "/proc", (size_t)length) == 0);
	length = readlink("/proc/self/exe", path, sizeof(path));
	check(length > 0 && path[0] == '/');
	check(stat("/proc/self", &about) == 0 && S_ISDIR(about.st_mode));
	snprintf(name, sizeof(name), "/proc/%d/maps", getpid());
	check(access(name, R_OK) == 0);
	fails(open("/proc/self/missing", O_RDONLY), ENOENT);
	unlink("proc");

	/* What never had a name can't be opened by the one that /proc gives it. */
	int event = (int)syscall(SYS_eventfd2, 0, 0);
	char nameless[32];

	snprintf(nameless, sizeof(nameless), "/proc/self/fd/%d", event);
	fails(open(nameless, O_RDWR), ENXIO);
	close(event);
}

TAP_MAIN(CASE(contents), CASE(opening), CASE(directories), CASE(listings), CASE(links),
	 CASE(renames), CASE(times), CASE(vectors), CASE(shared_positions), CASE(devices),
	 CASE(own_proc))
