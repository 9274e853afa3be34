/* What the starters share: errors that name the call, and reaping.
 *
 * Every starter prints exactly one line of JSON on stdout, with the pids it made by role, after
 * they have all ended (unless its head comment says otherwise). "self" is the starter itself.
 * Children never print; they leave by exec or _exit, so that nothing is flushed twice. */
#ifndef STARTER_H
#define STARTER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRUE_PATH "/bin/true"

extern char **environ;

__attribute__((noreturn, unused)) static void die(const char *what)
{
	int error = errno;

	dprintf(2, "%s: %s: %s\n", program_invocation_short_name, what, strerror(error));
	_exit(1);
}

/* The wait status of one child. */
__attribute__((unused)) static int reap(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid");
	return status;
}

/* Waits for a child that has to end with status 0. */
__attribute__((unused)) static void reap_ok(pid_t pid)
{
	int status = reap(pid);

	if (status != 0) {
		dprintf(2, "%s: child %d ended with wait status 0x%x\n",
			program_invocation_short_name, (int)pid, status);
		_exit(1);
	}
}

__attribute__((unused)) static void sleep_ms(long ms)
{
	struct timespec left = { ms / 1000, (ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

/* Until a task does not run. */
__attribute__((unused)) static void until_it_waits(pid_t pid)
{
	char name[64], text[512], *end;

	snprintf(name, sizeof(name), "/proc/%d/stat", pid);
	for (;;) {
		int fd = open(name, O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		if (n <= 0)
			die(name);
		close(fd);
		text[n] = 0;
		end = strrchr(text, ')');
		if (end && end[1] && end[2] != 'R')
			return;
		sleep_ms(1);
	}
}

/* Until the creator has ended, however late a busy machine lets it. */
__attribute__((unused)) static void outlive(pid_t creator)
{
	while (getppid() == creator)
		sleep_ms(1);
}

/* Executes /bin/true with one argument that tells which start it is. */
__attribute__((noreturn, unused)) static void exec_true(const char *mark)
{
	char *argv[] = { "true", (char *)mark, NULL };

	execv(TRUE_PATH, argv);
	die("execv " TRUE_PATH);
}

__attribute__((unused)) static void send_pid(int fd, pid_t pid)
{
	if (write(fd, &pid, sizeof pid) != sizeof pid)
		die("write of a pid");
}

__attribute__((unused)) static pid_t receive_pid(int fd)
{
	pid_t pid = 0;

	if (read(fd, &pid, sizeof pid) != sizeof pid)
		die("read of a pid");
	return pid;
}

__attribute__((unused)) static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe2");
}

/* A positive number from the command line, or what is taken without one. */
__attribute__((unused)) static long number(int argc, char **argv, int index, long otherwise)
{
	char *end;
	long value;

	if (index >= argc)
		return otherwise;
	errno = 0;
	value = strtol(argv[index], &end, 10);
	if (errno || *end || end == argv[index] || value < 0) {
		dprintf(2, "%s: not a number: %s\n", program_invocation_short_name, argv[index]);
		_exit(2);
	}
	return value;
}

#endif
