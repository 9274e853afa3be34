/* serve HOW WHERE [MS]: a server that works for MS milliseconds (60) before and after it listens, then
 * waits for clients and answers each with one byte; a client that sends 'q' ends it.
 * HOW: accept, poll, select, epoll, select-high (TCP on 127.0.0.1, WHERE is the port; the last by a descriptor
 * above 64), unix-accept, unix-poll, unix-epoll (WHERE is a path), unix-late (an event loop that runs already when the
 * socket comes to listen, and no descriptor comes or goes then), inherited-epoll (the socket comes from another
 * process), daemon (epoll, after two forks and setsid; the first process ends at once).
 * Prints {"self", "before", "after", "waits"} once it listens: CLOCK_BOOTTIME before and after listen(2),
 * and right before it first waits for a client.
 * Expected: ready kind accept; first_listen between before and after. */
#include "starter.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <arpa/inet.h>

static int ep = -1;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void work_ms(long ms)
{
	uint64_t until = now() + ms * 1000000ull;

	while (now() < until)
		;
}

static int is(const char *how, const char *what)
{
	const char *dash = strchr(how, '-');

	return !strcmp(dash ? dash + 1 : how, what);
}

static void await_client(const char *how, int fd)
{
	struct pollfd one = { fd, POLLIN, 0 };
	struct epoll_event event = { .events = EPOLLIN };
	fd_set set;

	if (is(how, "poll")) {
		poll(&one, 1, -1);
	} else if (is(how, "select") || is(how, "high")) {
		FD_ZERO(&set);
		FD_SET(fd, &set);
		select(fd + 1, &set, NULL, NULL, NULL);
	} else if (is(how, "epoll") || is(how, "late") || is(how, "daemon")) {
		if (ep < 0) {
			ep = epoll_create1(EPOLL_CLOEXEC);
			if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0)
				die("epoll");
		}
		epoll_wait(ep, &event, 1, -1);
	}
}

/* Turns of a loop with nothing to do, a millisecond each. */
static void turns(long n)
{
	struct epoll_event event;

	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		die("epoll_create1");
	for (; n > 0; n--)
		epoll_wait(ep, &event, 1, 1);
}

int main(int argc, char **argv)
{
	struct epoll_event event = { .events = EPOLLIN };
	long ms = number(argc, argv, 3, 60);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, client, is_unix, yes = 1;
	uint64_t before, after;
	char byte = 0;

	if (argc < 3) {
		dprintf(2, "usage: serve HOW WHERE [MS]\n");
		return 2;
	}
	is_unix = !strncmp(argv[1], "unix-", 5);
	if (is(argv[1], "daemon")) {
		if (fork())
			return 0;
		setsid();
		if (fork())
			_exit(0);
	}
	before = after = now();
	if (getenv("SERVE_SOCKET")) {
		fd = atoi(getenv("SERVE_SOCKET"));
		goto serve;
	}
	work_ms(ms);
	fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	in.sin_port = htons(atoi(argv[2]));
	strncpy(un.sun_path, argv[2], sizeof un.sun_path - 1);
	if (bind(fd, is_unix ? (void *)&un : (void *)&in, is_unix ? sizeof un : sizeof in) < 0)
		die("bind");
	if (is(argv[1], "late"))
		turns(ms);
	before = now();
	if (listen(fd, 64) < 0)
		die("listen");
	after = now();
	if (is(argv[1], "late")) {
		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0)
			die("epoll_ctl");
		ms = 0;
	}
	if (is(argv[1], "high"))
		fd = dup2(fd, 700);
	if (!strncmp(argv[1], "inherited-", 10) && !getenv("SERVE_SOCKET")) {
		/* As a supervisor hands a socket over: the next image finds it open. */
		char number[12];

		snprintf(number, sizeof number, "%d", fd);
		setenv("SERVE_SOCKET", number, 1);
		fcntl(fd, F_SETFD, 0);
		execv("/proc/self/exe", argv);
		die("exec");
	}
serve:
	work_ms(ms);
	printf("{\"self\": %d, \"before\": %llu, \"after\": %llu, \"waits\": %llu}\n", getpid(),
	       (unsigned long long)before, (unsigned long long)after, (unsigned long long)now());
	fflush(stdout);
	while (byte != 'q') {
		await_client(argv[1], fd);
		client = accept(fd, NULL, NULL);
		if (client < 0)
			die("accept");
		if (read(client, &byte, 1) == 1 && write(client, "x", 1) != 1)
			die("write");
		close(client);
	}
	return 0;
}
