/* slow CASE [ARGS]: does one thing that makes starts slow (or nearly that), and prints what it cost by its own
 * clock: one line {"self": PID, "cost_ns": N}. The cases are in findings.toml; each has its comment here. */
#include "../programs/starter.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

static int64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_BOOTTIME, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

/* The same without what this thread waited for a CPU: that is the machine's doing, and no cost of a wait before. */
static int64_t waited_for_a_cpu(const char *path)
{
	char text[128];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	long long ran, waited;

	if (n <= 0)
		die("schedstat");
	text[n] = 0;
	if (sscanf(text, "%lld %lld", &ran, &waited) != 2)
		die("schedstat");
	close(fd);
	return waited;
}

static int64_t served(void)
{
	return now() - waited_for_a_cpu("/proc/thread-self/schedstat");
}

/* The same without what it computed, either: what is left is what it stood still for. */
static int64_t blocked(void)
{
	struct timespec cpu;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	return served() - cpu.tv_sec * 1000000000LL - cpu.tv_nsec;
}

static void told(int64_t cost)
{
	printf("{\"self\": %d, \"cost_ns\": %lld}\n", getpid(), (long long)cost);
}

/* What children tell their parent. */
static volatile int64_t *shared;

/* Computes for so long, by the CPU's clock. */
static void compute_ms(long ms)
{
	struct timespec at;
	int64_t end;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
	end = at.tv_sec * 1000000000LL + at.tv_nsec + ms * 1000000LL;
	do {
		/* That clock is a system call: nearly all of the time is to be the program's own. */
		for (volatile int n = 0; n < 50000; n++)
			;
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
	} while (at.tv_sec * 1000000000LL + at.tv_nsec < end);
}

/* sleep MS TIMES: a fixed time, so many times. */
static int64_t case_sleep(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 100), times = number(argc, argv, 3, 1);
	int64_t begin = now();

	while (times-- > 0)
		sleep_ms(ms);
	return now() - begin;
}

/* wait-event MS: the same time, but for a child's word on a pipe. */
static int64_t case_wait_event(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 100);
	int fds[2];
	int64_t begin;
	char byte;
	pid_t child;

	make_pipe(fds);
	child = fork();
	if (child == 0) {
		compute_ms(ms);
		if (write(fds[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	begin = now();
	if (read(fds[0], &byte, 1) != 1)
		die("read");
	begin = now() - begin;
	reap_ok(child);
	return begin;
}

static void fill(long mib)
{
	size_t size = (size_t)mib << 20;
	char *memory;

	if (size == 0)
		return;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	madvise(memory, size, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < size; at += 4096)
		memory[at] = 1;
}

#define MAX_RIVALS 16

/* Goes to one CPU, where so many others compute from now on; how many they are. */
static long with_rivals(long n, pid_t *others)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof one, &one) < 0)
		die("sched_setaffinity");
	if (n > MAX_RIVALS)
		n = MAX_RIVALS;
	for (long i = 0; i < n; i++) {
		others[i] = fork();
		if (others[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_SET_NAME, "rival");
			for (;;)
				;
		}
		if (others[i] < 0)
			die("fork");
	}
	return n;
}

static void without_rivals(long n, pid_t *others)
{
	for (long i = 0; i < n; i++) {
		kill(others[i], SIGKILL);
		reap(others[i]);
	}
}

/* fork MIB TIMES: forks (and the copies end at once). The cost is what fork() took. */
static int64_t case_fork(int argc, char **argv)
{
	long times = number(argc, argv, 3, 1);
	int64_t cost = 0;

	fill(number(argc, argv, 2, 512));
	while (times-- > 0) {
		int64_t begin = now();
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		cost += now() - begin;
		reap_ok(child);
	}
	return cost;
}

/*
 * fork-crowded MIB TIMES N: the same on a CPU that N others want as well. It computes before each fork, or it would come to
 * each one with a turn of its own before it: so the CPU is lost within some of them.
 */
static int64_t case_fork_crowded(int argc, char **argv)
{
	long times = number(argc, argv, 3, 1);
	pid_t others[MAX_RIVALS];
	int64_t cost = 0;
	long n;

	fill(number(argc, argv, 2, 16));
	n = with_rivals(number(argc, argv, 4, 2), others);
	while (times-- > 0) {
		int64_t begin;
		pid_t child;

		compute_ms(1);
		begin = now();
		child = fork();
		if (child == 0)
			_exit(0);
		cost += now() - begin;
		reap_ok(child);
	}
	without_rivals(n, others);
	return cost;
}

/* fork-exec MIB TIMES, posix-spawn MIB TIMES: /bin/true, waited for. The cost is all of it. */
static int64_t case_fork_exec(int argc, char **argv)
{
	long times = number(argc, argv, 3, 1);
	int64_t begin;

	fill(number(argc, argv, 2, 512));
	begin = now();
	while (times-- > 0) {
		pid_t child = fork();

		if (child == 0)
			exec_true("forked");
		reap_ok(child);
	}
	return now() - begin;
}

static int64_t case_posix_spawn(int argc, char **argv)
{
	char *arguments[] = { "true", "spawned", NULL };
	long times = number(argc, argv, 3, 1);
	int64_t begin;

	fill(number(argc, argv, 2, 512));
	begin = now();
	while (times-- > 0) {
		pid_t child;

		if (posix_spawn(&child, TRUE_PATH, NULL, NULL, arguments, environ) != 0)
			die("posix_spawn");
		reap_ok(child);
	}
	return now() - begin;
}

/* vfork MS: the child computes for so long before its exec. */
static __attribute__((noinline)) pid_t vfork_slowly(long ms)
{
	static char *const arguments[] = { "true", "vforked", NULL };
	pid_t child = vfork();

	if (child < 0)
		die("vfork");
	if (child == 0) {
		compute_ms(ms);
		execv(TRUE_PATH, arguments);
		_exit(127);
	}
	return child;
}

static int64_t case_vfork(int argc, char **argv)
{
	int64_t begin = now();
	pid_t child = vfork_slowly(number(argc, argv, 2, 20));

	begin = now() - begin;
	reap_ok(child);
	return begin;
}

/* close-loop N: a child closes so many descriptors one by one; close-range: at once. */
static int64_t close_all(int argc, char **argv, int loop)
{
	long n = number(argc, argv, 2, 1 << 20);
	pid_t child = fork();

	if (child == 0) {
		int64_t begin = now();

		if (loop)
			for (int fd = 3; fd < n; fd++)
				close(fd);
		else
			syscall(SYS_close_range, 3, ~0U, 0);
		*shared = now() - begin;
		exec_true("closed");
	}
	reap_ok(child);
	return *shared;
}

static int64_t case_close_loop(int argc, char **argv)
{
	return close_all(argc, argv, 1);
}

static int64_t case_close_range(int argc, char **argv)
{
	return close_all(argc, argv, 0);
}

/* setup MS: a child computes in user space before its exec; no descriptors. */
static int64_t case_setup(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 20);
	pid_t child = fork();

	if (child == 0) {
		compute_ms(ms);
		exec_true("late");
	}
	reap_ok(child);
	return ms * 1000000;
}

/* path-walk DIRECTORIES: execvp through so many directories that do not have it. */
static int64_t case_path_walk(int argc, char **argv)
{
	long directories = number(argc, argv, 2, 1000);
	size_t room = (size_t)directories * 64 + 64, used = 0;
	char *path = malloc(room);
	pid_t child;

	if (!path)
		die("malloc");
	path[0] = 0;
	for (long n = 0; n < directories; n++)
		used += (size_t)snprintf(path + used, room - used, "/usr/share/doc/startrace-nothing-here-%ld:", n);
	snprintf(path + used, room - used, "/bin");
	child = fork();
	if (child == 0) {
		char *arguments[] = { "true", "walked", NULL }, *at = path, *end;
		int64_t begin = now();

		/* As execvp does it, with our own clock before the one that works. */
		while ((end = strchr(at, ':')) != NULL) {
			static char program[4096];
			int used = 0;

			/* A long way to walk, as on slow file systems. */
			while (used < 2800)
				used += snprintf(program + used, sizeof program - (size_t)used, "/usr/..");
			snprintf(program + used, sizeof program - (size_t)used, "%.*s/true", (int)(end - at), at);
			execv(program, arguments);
			at = end + 1;
		}
		*shared = now() - begin;
		execv("/bin/true", arguments);
		_exit(127);
	}
	reap_ok(child);
	return *shared;
}

/* wrapper MS: computes for so long, and then executes the program that was meant. */
static int64_t case_wrapper(int argc, char **argv)
{
	int64_t begin = now();

	compute_ms(number(argc, argv, 2, 30));
	told(now() - begin);
	fflush(stdout);
	exec_true("wrapped");
}

/* big-exec MIB: executes while it has much memory of its own. */
static int64_t case_big_exec(int argc, char **argv)
{
	pid_t child = fork();

	if (child == 0) {
		fill(number(argc, argv, 2, 512));
		exec_true("big");
	}
	reap_ok(child);
	return 0;
}

/* sleep-for MS CHILD_MS, wait-for MS CHILD_MS: a child that computes for CHILD_MS is waited for by a fixed sleep
 * of MS, or by waitpid. */
static int64_t await_child(int argc, char **argv, int sleeps)
{
	int64_t begin = now();
	pid_t child = fork();

	if (child == 0) {
		compute_ms(number(argc, argv, 3, 5));
		_exit(0);
	}
	if (sleeps)
		sleep_ms(number(argc, argv, 2, 100));
	reap_ok(child);
	return now() - begin;
}

static int64_t case_sleep_for(int argc, char **argv)
{
	return await_child(argc, argv, 1);
}

static int64_t case_wait_for(int argc, char **argv)
{
	return await_child(argc, argv, 0);
}

/* helpers N MS: so many children one after the other, each of which computes for so long. */
static int64_t case_helpers(int argc, char **argv)
{
	long n = number(argc, argv, 2, 20), ms = number(argc, argv, 3, 2);
	int64_t begin = now();

	while (n-- > 0) {
		pid_t child = fork();

		if (child == 0) {
			compute_ms(ms);
			exec_true("helper");
		}
		reap_ok(child);
	}
	return now() - begin;
}

/* helper-and-more MS OWN_MS: one child that computes for so long, and then something of its own. */
static int64_t case_helper_and_more(int argc, char **argv)
{
	int64_t cost = now();
	pid_t child = fork();

	if (child == 0) {
		compute_ms(number(argc, argv, 2, 60));
		exec_true("helper");
	}
	reap_ok(child);
	cost = now() - cost;
	compute_ms(number(argc, argv, 3, 40));
	return cost;
}

/* naps N MS: so many children that sleep for so long, one after the other; naps-together N MS: all at once. */
static int64_t naps(int argc, char **argv, int together)
{
	long n = number(argc, argv, 2, 5), ms = number(argc, argv, 3, 40);
	int64_t begin = now();

	for (long i = 0; i < n; i++) {
		pid_t child = fork();

		if (child == 0) {
			char seconds[32];
			char *arguments[] = { "sleep", seconds, NULL };

			snprintf(seconds, sizeof seconds, "%ld.%03ld", ms / 1000, ms % 1000);
			execv("/bin/sleep", arguments);
			_exit(127);
		}
		if (child < 0)
			die("fork");
		if (!together)
			reap_ok(child);
	}
	for (long i = 0; together && i < n; i++)
		if (wait(NULL) < 0)
			die("wait");
	return now() - begin;
}

static int64_t case_naps(int argc, char **argv)
{
	return naps(argc, argv, 0);
}

static int64_t case_naps_together(int argc, char **argv)
{
	return naps(argc, argv, 1);
}

/* together N MS: the same children all at once. */
static int64_t case_together(int argc, char **argv)
{
	long n = number(argc, argv, 2, 20), ms = number(argc, argv, 3, 2);
	int64_t begin = now();

	for (long i = 0; i < n; i++) {
		pid_t child = fork();

		if (child == 0) {
			compute_ms(ms);
			exec_true("helper");
		}
		if (child < 0)
			die("fork");
	}
	for (long i = 0; i < n; i++)
		if (wait(NULL) < 0)
			die("wait");
	return now() - begin;
}

static void *waiter(void *pipe)
{
	char byte;

	if (read(((int *)pipe)[0], &byte, 1) < 0)
		die("read");
	return NULL;
}

/* thread-fork THREADS: forks without an exec, with so many other threads. */
static int64_t case_thread_fork(int argc, char **argv)
{
	long threads = number(argc, argv, 2, 2);
	pthread_t ids[16];
	int fds[2];
	pid_t child;

	if (threads > 16)
		threads = 16;
	make_pipe(fds);
	for (long n = 0; n < threads; n++)
		if (pthread_create(&ids[n], NULL, waiter, fds) != 0)
			die("pthread_create");
	sleep_ms(5);
	child = fork();
	if (child == 0)
		_exit(0);
	reap_ok(child);
	sleep_ms(5);
	close(fds[1]);
	for (long n = 0; n < threads; n++)
		pthread_join(ids[n], NULL);
	return 0;
}

/* dns MS: a name server of our own on 127.0.0.53:53 (in a network namespace of its own) that answers so late. */
static int64_t case_dns(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 100);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(53) };
	int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), client;
	char packet[64] = "question";
	int64_t begin;
	pid_t child;

	at.sin_addr.s_addr = htonl(0x7f000001);
	if (bind(server, (struct sockaddr *)&at, sizeof at) < 0)
		die("bind port 53");
	child = fork();
	if (child == 0) {
		struct sockaddr_in from;
		socklen_t size = sizeof from;
		ssize_t got = recvfrom(server, packet, sizeof packet, 0, (struct sockaddr *)&from, &size);

		sleep_ms(ms);
		if (got > 0)
			sendto(server, packet, (size_t)got, 0, (struct sockaddr *)&from, size);
		_exit(0);
	}
	client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (connect(client, (struct sockaddr *)&at, sizeof at) < 0)
		die("connect");
	begin = now();
	if (send(client, packet, 32, 0) < 0)
		die("send");
	{
		struct pollfd set = { .fd = client, .events = POLLIN };

		if (poll(&set, 1, 5000) <= 0)
			die("poll");
	}
	if (recv(client, packet, sizeof packet, 0) < 0)
		die("recv");
	begin = now() - begin;
	reap_ok(child);
	return begin;
}

/* connect MS: a peer on TCP that was there before and answers so late. */
static int64_t case_connect(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 100);
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof at;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client;
	char byte = 0;
	int64_t begin;
	pid_t child;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(server, (struct sockaddr *)&at, sizeof at) < 0 || listen(server, 8) < 0 ||
	    getsockname(server, (struct sockaddr *)&at, &size) < 0)
		die("listen");
	child = fork();
	if (child == 0) {
		int peer = accept(server, NULL, NULL);

		sleep_ms(ms);
		if (write(peer, "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	begin = now();
	if (connect(client, (struct sockaddr *)&at, sizeof at) < 0)
		die("connect");
	if (read(client, &byte, 1) != 1)
		die("read");
	begin = now() - begin;
	reap_ok(child);
	return begin;
}

/* lock MS: a file lock that a child holds for so long. */
static int64_t case_lock(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 50);
	char name[] = "/tmp/startrace-lock-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC), ready[2];
	int64_t begin;
	pid_t child;
	char byte;

	make_pipe(ready);
	child = fork();
	if (child == 0) {
		int own = open(name, O_RDWR | O_CLOEXEC);

		if (flock(own, LOCK_EX) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		compute_ms(ms);
		flock(own, LOCK_UN);
		_exit(0);
	}
	if (read(ready[0], &byte, 1) != 1)
		die("read");
	begin = now();
	if (flock(fd, LOCK_EX) < 0)
		die("flock");
	begin = now() - begin;
	unlink(name);
	reap_ok(child);
	return begin;
}

/* fsync N: so many writes, each synced. */
static int64_t case_fsync(int argc, char **argv)
{
	long n = number(argc, argv, 2, 20);
	char name[] = "./startrace-fsync-XXXXXX";
	static char block[1 << 20];
	int fd = mkostemp(name, O_CLOEXEC);
	int64_t cost = 0;

	if (fd < 0)
		die("mkostemp");
	while (n-- > 0) {
		int64_t begin;

		if (write(fd, block, sizeof block) != sizeof block)
			die("write");
		begin = served();
		if (fsync(fd) < 0)
			die("fsync");
		cost += served() - begin;
	}
	unlink(name);
	return cost;
}

/* cold MIB FILE: reads a file that was dropped from memory; warm: one that is there. The cost is what it stood still for:
 * how fast the machine copies is another matter. */
static int64_t read_file(int argc, char **argv, int drop)
{
	long mib = number(argc, argv, 2, 16);
	char name[] = "./startrace-cold-XXXXXX";
	static char block[1 << 16];
	int fd = mkostemp(name, O_CLOEXEC);
	int64_t begin;

	if (fd < 0)
		die("mkostemp");
	for (long n = 0; n < mib * 16; n++)
		if (write(fd, block, sizeof block) != sizeof block)
			die("write");
	if (drop && (fsync(fd) < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0))
		die("drop");
	if (drop)
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	begin = blocked();
	lseek(fd, 0, SEEK_SET);
	while (read(fd, block, sizeof block) > 0)
		;
	begin = blocked() - begin;
	unlink(name);
	/* One that never stood still: three clocks are not read at once. */
	return begin > 0 ? begin : 0;
}

static int64_t case_cold(int argc, char **argv)
{
	return read_file(argc, argv, 1);
}

static int64_t case_warm(int argc, char **argv)
{
	return read_file(argc, argv, 0);
}

/* starve MS N: computes for so long on a CPU that N others want as well. The cost is what was waited for it. */
static int64_t case_starve(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 100), n = number(argc, argv, 3, 2);
	struct timespec cpu;
	int64_t begin, used;
	pid_t others[MAX_RIVALS];

	n = with_rivals(n, others);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	used = cpu.tv_sec * 1000000000LL + cpu.tv_nsec;
	begin = now();
	compute_ms(ms);
	begin = now() - begin;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	used = cpu.tv_sec * 1000000000LL + cpu.tv_nsec - used;
	without_rivals(n, others);
	return begin - used;
}

/* run N PROGRAM: starts it so many times, one after the other. What they waited for a CPU is no part of the cost. */
static int64_t case_run(int argc, char **argv)
{
	long times = number(argc, argv, 2, 10);
	int64_t begin = served();

	if (argc < 4)
		die("run N PROGRAM");
	while (times-- > 0) {
		pid_t child;

		char theirs[64];
		siginfo_t over;

		if (posix_spawn(&child, argv[3], NULL, NULL, argv + 3, environ) != 0)
			die("posix_spawn");
		/* Of a child that is over, but still there. */
		if (waitid(P_PID, child, &over, WEXITED | WNOWAIT) != 0)
			die("waitid");
		snprintf(theirs, sizeof theirs, "/proc/%d/schedstat", child);
		begin += waited_for_a_cpu(theirs);
		reap_ok(child);
	}
	return served() - begin;
}

/* compute MS: nothing else. */
static int64_t case_compute(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 100);

	compute_ms(ms);
	return ms * 1000000;
}

/* peer MS: a process that was there before this start, reached by a unix socket, answers so late. This is the
 * second half of itself: the first half starts the peer and then executes the second. */
static int64_t case_peer(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 60);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char byte = 'x';

	snprintf(at.sun_path, sizeof at.sun_path, "/tmp/startrace-peer-%d", getpid());
	if (argc < 4) {
		/* The peer, then a child that is the start in question. */
		int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		pid_t peer, client;
		char delay[32];

		unlink(at.sun_path);
		if (bind(server, (struct sockaddr *)&at, sizeof at) < 0 || listen(server, 8) < 0)
			die("listen");
		peer = fork();
		if (peer == 0) {
			int fd = accept(server, NULL, NULL);

			if (read(fd, &byte, 1) == 1) {
				sleep_ms(ms);
				if (write(fd, &byte, 1) != 1)
					_exit(1);
			}
			_exit(0);
		}
		sleep_ms(2);
		snprintf(delay, sizeof delay, "%ld", ms);
		client = fork();
		if (client == 0) {
			char *arguments[] = { argv[0], "peer", delay, at.sun_path, NULL };

			execv("/proc/self/exe", arguments);
			die("execv");
		}
		reap_ok(client);
		reap_ok(peer);
		unlink(at.sun_path);
		return -1;
	}
	{
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int64_t begin;

		snprintf(at.sun_path, sizeof at.sun_path, "%s", argv[3]);
		if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
			die("connect");
		begin = now();
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("peer");
		return now() - begin;
	}
}

/* A socket with a port of its own that nobody listens on yet. */
static int bound(struct sockaddr_in *at)
{
	socklen_t len = sizeof *at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(at, 0, sizeof *at);
	at->sin_family = AF_INET;
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)at, len) < 0 || getsockname(fd, (struct sockaddr *)at, &len) < 0)
		die("bind");
	return fd;
}

/* Listens after so long, and takes one client. */
static pid_t serve_late(int server, long ms)
{
	pid_t child = fork();

	if (child == 0) {
		sleep_ms(ms);
		if (listen(server, 8) < 0 || accept(server, NULL, NULL) < 0)
			_exit(1);
		_exit(0);
	}
	return child;
}

/* Tries to connect until it succeeds; the cost is the time from the first try to the beginning of the last. */
static int64_t try_until(const struct sockaddr *at, socklen_t len, long step)
{
	int64_t begin = now(), last;

	for (;;) {
		int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), failed;

		last = now();
		failed = connect(fd, at, len) < 0;
		close(fd);
		if (!failed)
			return last - begin;
		sleep_ms(step);
	}
}

/* retry MS STEP: what it needs listens after so long; it tries every so often. */
static int64_t case_retry(int argc, char **argv)
{
	struct sockaddr_in at;
	int server = bound(&at);
	pid_t child = serve_late(server, number(argc, argv, 2, 200));
	int64_t cost = try_until((struct sockaddr *)&at, sizeof at, number(argc, argv, 3, 40));

	reap_ok(child);
	compute_ms(10);
	return cost;
}

/* ordered MS: the same after it is there: as if it were started by whoever knows. */
static int64_t case_ordered(int argc, char **argv)
{
	struct sockaddr_in at;
	int server = bound(&at);
	int64_t cost;
	pid_t child;

	if (listen(server, 8) < 0)
		die("listen");
	child = serve_late(server, 0);
	cost = try_until((struct sockaddr *)&at, sizeof at, number(argc, argv, 2, 40));
	reap_ok(child);
	compute_ms(10);
	return cost;
}

/* refused-once MS: what is refused is done without; it sleeps, but for something else. */
static int64_t case_refused_once(int argc, char **argv)
{
	struct sockaddr_in at, other;
	int server = bound(&at), another = bound(&other);
	int64_t begin = now();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
		die("it is there");
	sleep_ms(number(argc, argv, 2, 60));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&other, sizeof other) == 0)
		die("it is there");
	close(server);
	close(another);
	return now() - begin;
}

/* retry-unix MS STEP: the same as retry, with a unix socket that is not there yet. */
static int64_t case_retry_unix(int argc, char **argv)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	long ms = number(argc, argv, 2, 200);
	int64_t cost;
	pid_t child;

	snprintf(at.sun_path, sizeof at.sun_path, "./startrace-late-%d", getpid());
	child = fork();
	if (child == 0) {
		sleep_ms(ms);
		if (bind(server, (struct sockaddr *)&at, sizeof at) < 0 || listen(server, 8) < 0 ||
		    accept(server, NULL, NULL) < 0)
			_exit(1);
		_exit(0);
	}
	cost = try_until((struct sockaddr *)&at, sizeof at, number(argc, argv, 3, 40));
	reap_ok(child);
	unlink(at.sun_path);
	compute_ms(10);
	return cost;
}

/* late-server MS: prints the port that it will listen on after so long, and takes one client; try PORT: connects
 * once. The halves of retry.sh. */
static int64_t case_late_server(int argc, char **argv)
{
	struct sockaddr_in at;
	int server = bound(&at);

	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	close(1);
	sleep_ms(number(argc, argv, 2, 200));
	if (listen(server, 8) < 0 || accept(server, NULL, NULL) < 0)
		die("serve");
	exit(0);
}

static int64_t case_try(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_port = htons(number(argc, argv, 2, 1));
	exit(connect(fd, (struct sockaddr *)&at, sizeof at) < 0);
}

/* fail CODE, crash: ends badly. */
static int64_t case_fail(int argc, char **argv)
{
	exit((int)number(argc, argv, 2, 3));
}

static int64_t case_crash(int argc, char **argv)
{
	struct rlimit none = { 0, 0 };
	pid_t child = fork();

	(void)argc;
	(void)argv;
	if (child == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	reap(child);
	return 0;
}

/* tty MS: reads a line from a terminal on which somebody types after so long. */
static int64_t case_tty(int argc, char **argv)
{
	long ms = number(argc, argv, 2, 60);
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	int64_t begin;
	pid_t child;
	char line[16];

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		die("posix_openpt");
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	child = fork();
	if (child == 0) {
		sleep_ms(ms);
		if (write(master, "yes\n", 4) != 4)
			_exit(1);
		sleep_ms(20);
		_exit(0);
	}
	begin = now();
	if (read(slave, line, sizeof line) <= 0)
		die("read");
	begin = now() - begin;
	reap_ok(child);
	return begin;
}

static int faults;
static void *late;
static long late_ms;

static void *give_page(void *unused)
{
	struct uffdio_zeropage zero = { .range = { (unsigned long)late, 4096 } };

	sleep_ms(late_ms);
	if (ioctl(faults, UFFDIO_ZEROPAGE, &zero))
		die("UFFDIO_ZEROPAGE");
	return unused;
}

/* random MS [FILE]: asks for random numbers, by getrandom or of a file, for a page that comes so late. (The kernel
 * itself waits for entropy but once after it was booted.) With 0, the page is there. */
static int64_t case_random(int argc, char **argv)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = argc > 3 ? open(argv[3], O_RDONLY | O_CLOEXEC) : -1;
	pthread_t thread;
	int64_t begin;
	ssize_t got;

	late_ms = number(argc, argv, 2, 80);
	late = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (late == MAP_FAILED || (argc > 3 && fd < 0))
		die("random");
	if (late_ms) {
		faults = syscall(SYS_userfaultfd, 0);
		range.range.start = (unsigned long)late;
		range.range.len = 4096;
		if (faults < 0 || ioctl(faults, UFFDIO_API, &api) || ioctl(faults, UFFDIO_REGISTER, &range))
			die("userfaultfd");
		if (pthread_create(&thread, NULL, give_page, NULL))
			die("pthread_create");
	}
	begin = now();
	got = argc > 3 ? read(fd, late, 64) : syscall(SYS_getrandom, late, 64, 0);
	begin = now() - begin;
	if (got != 64)
		die("no random numbers");
	if (late_ms)
		pthread_join(thread, NULL);
	return begin;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int64_t (*run)(int argc, char **argv);
	} cases[] = {
		{ "sleep", case_sleep }, { "wait-event", case_wait_event }, { "fork", case_fork }, { "fork-crowded", case_fork_crowded },
		{ "fork-exec", case_fork_exec }, { "posix-spawn", case_posix_spawn }, { "vfork", case_vfork },
		{ "close-loop", case_close_loop }, { "close-range", case_close_range }, { "setup", case_setup },
		{ "path-walk", case_path_walk }, { "helpers", case_helpers }, { "together", case_together },
		{ "thread-fork", case_thread_fork }, { "dns", case_dns }, { "connect", case_connect },
		{ "lock", case_lock }, { "fsync", case_fsync }, { "cold", case_cold }, { "warm", case_warm },
		{ "starve", case_starve }, { "compute", case_compute }, { "peer", case_peer }, { "fail", case_fail },
		{ "crash", case_crash }, { "tty", case_tty }, { "wrapper", case_wrapper }, { "helper-and-more", case_helper_and_more },
		{ "naps", case_naps }, { "run", case_run }, { "naps-together", case_naps_together },
		{ "retry", case_retry }, { "ordered", case_ordered }, { "refused-once", case_refused_once },
		{ "retry-unix", case_retry_unix }, { "late-server", case_late_server }, { "try", case_try },
		{ "big-exec", case_big_exec }, { "sleep-for", case_sleep_for }, { "wait-for", case_wait_for },
		{ "random", case_random },
	};

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	for (size_t n = 0; argc > 1 && n < sizeof cases / sizeof *cases; n++)
		if (strcmp(argv[1], cases[n].name) == 0) {
			int64_t cost = cases[n].run(argc, argv);

			if (cost >= 0)
				told(cost);
			return 0;
		}
	dprintf(2, "usage: slow CASE [ARGS]\n");
	return 2;
}
