/* SPDX-License-Identifier: MIT */
/* Sending signals: kill(2), tkill, tgkill, sigqueue. All users are root, so permission is never
 * refused. */
#include "calls/calls.h"
#include "lib/string.h"
#include "memory/heap.h"
#include "memory/user.h"
#include "task/signal_parts.h"

static bool known(int signal)
{
	return signal >= 0 && signal <= SIGNALS;
}

static struct signal_info from_current(int signal, int code)
{
	return (struct signal_info){ .signo = signal, .code = code, .pid = current_process()->pid };
}

/* Signal 0 asks only whether there is somebody. */
static int send_process(struct process *process, const struct signal_info *info)
{
	return info->signo ? signal_send(process, info) : 0;
}

static int send_pid(int pid, const struct signal_info *info)
{
	struct process *process = process_find(pid);
	int error;

	if (!process)
		return -ESRCH;
	error = send_process(process, info);
	process_put(process);
	return error;
}

static bool meant(const struct process *process, int group)
{
	return group ? process->group == group
		     : process != init_process && process != current_process();
}

/* => process_lock held. At most `room` of them, with references; returns how many there are. */
static size_t collect(int group, struct process **found, size_t room)
{
	size_t count = 0;

	list_for_each(process, &all_processes, struct process, all) {
		if (!meant(process, group))
			continue;
		if (count < room) {
			process_get(process);
			found[count] = process;
		}
		count++;
	}
	return count;
}

/* group 0: all but the first process and the caller's. */
static int send_many(int group, const struct signal_info *info)
{
	struct process **found = NULL;
	size_t room = 0, count;
	int result = 0;

	for (;;) {
		lock_take(&process_lock);
		count = collect(group, found, room);
		lock_drop(&process_lock);
		if (count <= room)
			break;
		for (size_t i = 0; i < room; i++)
			process_put(found[i]);
		heap_free(found);
		room = count + count / 4;
		found = heap_alloc(room * sizeof(struct process *));
		if (!found)
			return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++) {
		int error = send_process(found[i], info);

		if (error)
			result = error;
		process_put(found[i]);
	}
	heap_free(found);
	return count ? result : -ESRCH;
}

int signal_send_group(int group, const struct signal_info *info)
{
	return send_many(group, info);
}

int64_t call_kill(struct registers *regs)
{
	int pid = (int)ARG(regs, 0), signal = (int)ARG(regs, 1);
	struct signal_info info = from_current(signal, SI_USER);

	if (!known(signal))
		return -EINVAL;
	if (pid > 0)
		return send_pid(pid, &info);
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid == -1)
		return send_many(0, &info);
	return send_many(pid ? -pid : current_process()->group, &info);
}

/* group 0: any. */
static int send_thread(int group, int tid, const struct signal_info *info)
{
	struct task *task = task_find(tid);
	int error = -ESRCH;

	if (!task)
		return -ESRCH;
	if (task->process && (!group || task->process->pid == group))
		error = info->signo ? signal_send_task(task, info) : 0;
	task_put(task);
	return error;
}

int64_t call_tkill(struct registers *regs)
{
	int tid = (int)ARG(regs, 0), signal = (int)ARG(regs, 1);
	struct signal_info info = from_current(signal, SI_TKILL);

	if (tid <= 0 || !known(signal))
		return -EINVAL;
	return send_thread(0, tid, &info);
}

int64_t call_tgkill(struct registers *regs)
{
	int group = (int)ARG(regs, 0), tid = (int)ARG(regs, 1), signal = (int)ARG(regs, 2);
	struct signal_info info = from_current(signal, SI_TKILL);

	if (group <= 0 || tid <= 0 || !known(signal))
		return -EINVAL;
	return send_thread(group, tid, &info);
}

/*
 * What a program says in a siginfo_t: the code, sender and value are passed on. Only to itself may
 * it pretend that the kernel or kill(2) sent it.
 */
static int read_info(uint64_t from, int signal, int pid, struct signal_info *info)
{
	uint8_t bytes[SIGINFO_SIZE];

	if (user_read(bytes, from, sizeof(bytes)))
		return -EFAULT;
	memset(info, 0, sizeof(*info));
	info->signo = signal;
	memcpy(&info->code, bytes + 8, 4);
	if (!known(signal))
		return -EINVAL;
	if ((info->code >= 0 || info->code == SI_TKILL) && pid != current_process()->pid)
		return -EPERM;
	memcpy(&info->pid, bytes + 16, 4);
	memcpy(&info->uid, bytes + 20, 4);
	memcpy(&info->value, bytes + 24, 8);
	if (info->code > 0)
		memcpy(&info->address, bytes + 16, 8);
	return 0;
}

int64_t call_rt_sigqueueinfo(struct registers *regs)
{
	int pid = (int)ARG(regs, 0);
	struct signal_info info;
	int error = read_info(ARG(regs, 2), (int)ARG(regs, 1), pid, &info);

	return error ? error : send_pid(pid, &info);
}

int64_t call_rt_tgsigqueueinfo(struct registers *regs)
{
	int group = (int)ARG(regs, 0), tid = (int)ARG(regs, 1);
	struct signal_info info;
	int error;

	if (group <= 0 || tid <= 0)
		return -EINVAL;
	error = read_info(ARG(regs, 3), (int)ARG(regs, 2), group, &info);
	return error ? error : send_thread(group, tid, &info);
}
