/* Waits with times as long as can be asked for, each of which a helper ends after MS milliseconds: `endless MS`.
 *
 * LONG_MAX seconds, and a number of seconds of which 4 ms are left when it is taken as nanoseconds in 64 bits. What the
 * kernel refuses (negative numbers, a whole second in nanoseconds) must not be waited for at all.
 * "ended" is how many waits the helper ended. */
#include "starter.h"
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* 31 * 2^64 nanoseconds and 3.9 milliseconds more; and of select(2)'s second part, 5 * 2^64 nanoseconds and one microsecond. */
#define WRAPS 571849066285L
#define MICRO_WRAPS 92233720368547759L

enum { NANOSLEEP, CLOCK_NANOSLEEP, SELECT, PSELECT, PPOLL, EPOLL, CALLS };

static int data[2], steps[2], set;

static void ignore(int signal)
{
	(void)signal;
}

static long wait_in(int call, long sec, long part)
{
	struct timespec length = { sec, part };
	struct timeval micro = { sec, part };
	struct pollfd one = { .fd = data[0], .events = POLLIN };
	struct epoll_event event;
	fd_set fds;

	FD_ZERO(&fds);
	FD_SET(data[0], &fds);
	switch (call) {
	case NANOSLEEP:
		return syscall(SYS_nanosleep, &length, NULL);
	case CLOCK_NANOSLEEP:
		return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &length, NULL);
#ifdef SYS_select
	case SELECT:
		return syscall(SYS_select, data[0] + 1, &fds, NULL, NULL, &micro);
#endif
	case PSELECT:
		return syscall(SYS_pselect6, data[0] + 1, &fds, NULL, NULL, &length, NULL);
	case PPOLL:
		return syscall(SYS_ppoll, &one, 1UL, &length, NULL, 8UL);
	case EPOLL:
		return syscall(SYS_epoll_pwait2, set, &event, 1, &length, NULL, 8UL);
	default:
		errno = ENOSYS;
		return -1;
	}
}

/* Ends each wait that it is told of, once it is one: sleeps by a signal, others by what is waited for. */
static void help(long ms)
{
	int call;

	while (read(steps[0], &call, sizeof(call)) == sizeof(call)) {
		until_it_waits(getppid());
		sleep_ms(ms);
		if (call == NANOSLEEP || call == CLOCK_NANOSLEEP)
			kill(getppid(), SIGUSR1);
		else if (write(data[1], "x", 1) != 1)
			die("write");
	}
}

static void refused(int call, long sec, long part)
{
	if (wait_in(call, sec, part) >= 0 || (errno != EINVAL && errno != ENOSYS))
		die("what the kernel has to refuse");
}

int main(int argc, char **argv)
{
	static const struct timespec lengths[] = { { WRAPS, 0 }, { LONG_MAX, 999999 }, { 0, MICRO_WRAPS } };
	struct sigaction action = { .sa_handler = ignore };
	struct epoll_event event = { .events = EPOLLIN };
	long ms = argc > 1 ? atol(argv[1]) : 0;
	int ended = 0;
	pid_t helper;
	char c;

	set = epoll_create1(EPOLL_CLOEXEC);
	if (pipe(data) || pipe(steps) || sigaction(SIGUSR1, &action, NULL) || set < 0 ||
	    epoll_ctl(set, EPOLL_CTL_ADD, data[0], &event))
		die("pipes");
	helper = fork();
	if (helper < 0)
		die("fork");
	if (helper == 0) {
		close(steps[1]);
		help(ms);
		_exit(0);
	}
	close(steps[0]);
	for (int call = 0; call < CALLS; call++) {
		refused(call, -1, 0);
		refused(call, LONG_MIN, 0);
		refused(call, 0, -1);
		/* Of select(2) the second part may be as large as it likes. */
		if (call != SELECT) {
			refused(call, 0, 1000000000);
			refused(call, 1, LONG_MAX);
		}
		for (int n = 0; n < (call == SELECT ? 3 : 2); n++) {
			/* Where the kernel does not have it, nobody is to end it. */
			if (wait_in(call, -1, 0) < 0 && errno == ENOSYS)
				continue;
			if (write(steps[1], &call, sizeof(call)) != sizeof(call))
				die("write");
			if (wait_in(call, lengths[n].tv_sec, lengths[n].tv_nsec) != (call <= CLOCK_NANOSLEEP ? -1 : 1))
				die("a wait that the helper ends");
			if (call > CLOCK_NANOSLEEP && read(data[0], &c, 1) != 1)
				die("read");
			ended++;
		}
	}
	close(steps[1]);
	reap_ok(helper);
	printf("{\"self\": %d, \"helper\": %d, \"ended\": %d}\n", getpid(), (int)helper, ended);
	return 0;
}
