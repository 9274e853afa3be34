/* Spends MS milliseconds in one state, and says how long that really was: `spend KIND MS [PATH]`.
 *
 * "blocked" is the time that the main thread was neither running nor waiting for a CPU, by its own clocks
 * and the scheduler's count of its run-queue delay, between "begin" and "end" (CLOCK_BOOTTIME). "helper" is the process
 * that ended the wait, if one did; "fd" the descriptor that it ended by, where there were several; "port" is of the
 * address that was waited for. "gaps" is when a thread
 * that only spins was stopped because of its cgroup, and for how much of that by the cgroup's own count.
 * "turns" are the helper's on the CPU that both spin on.
 * Time that a hypervisor takes away while the thread runs is on no clock of it, and so is among "blocked": what works
 * long besides waiting measures its waits alone. */
#include "starter.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

static long ms;
static const char *path;
static pid_t helper;
#define MAX_GAPS 100
static struct {
	int64_t from, to, held_back;
} gap[MAX_GAPS];
static int gaps;
static int port;
static int ended_by = -1;
/* What was measured wait by wait; negative: from begin to end. */
static int64_t blocked = -1;

struct times {
	int64_t wall, cpu, delay;
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Of the main thread, which opens it at once: later its cgroup may have no memory left for that. */
static int schedstat = -1;

static struct times read_once(void)
{
	struct times t;
	long long ran = 0, delay = 0;
	char text[128];
	ssize_t n;

	if (schedstat < 0)
		schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	n = pread(schedstat, text, sizeof(text) - 1, 0);
	if (n <= 0)
		die("schedstat");
	text[n] = 0;
	if (sscanf(text, "%lld %lld", &ran, &delay) != 2)
		die("schedstat");
	t.delay = delay;
	t.cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	t.wall = clock_ns(CLOCK_BOOTTIME);
	return t;
}

/* All three of one moment: read again where the CPU was lost in between. */
static struct times now(void)
{
	for (int tries = 0;; tries++) {
		int64_t before = clock_ns(CLOCK_BOOTTIME);
		struct times t = read_once();

		if (t.wall - before < 100000 || tries == 1000)
			return t;
	}
}

static struct times begin;

static void start(void)
{
	begin = now();
}

#define MAX_TURNS 2000
/* A spinner's times on the CPU, by its own clock. */
static struct {
	volatile int over;
	int turns;
	struct {
		int64_t from, to;
	} turn[MAX_TURNS];
} *shared;

/* How often the calling thread was given a CPU. */
static long long times_on(int fd)
{
	long long ran, delay, times = 0;
	char text[128];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		die("schedstat");
	text[n] = 0;
	if (sscanf(text, "%lld %lld %lld", &ran, &delay, &times) != 3)
		die("schedstat");
	return times;
}

/* Where its clock stands still, it was interrupted, or lost the CPU, if only to a kernel thread: the scheduler knows. */
static void note_turns(void)
{
	int fd = open("/proc/thread-self/schedstat", O_RDONLY);
	int64_t from = clock_ns(CLOCK_BOOTTIME), last = from, at;
	long long before = times_on(fd), now_on;

	for (; !shared->over; last = at) {
		at = clock_ns(CLOCK_BOOTTIME);
		if (at - last < 5000)
			continue;
		now_on = times_on(fd);
		if (now_on != before && shared->turns < MAX_TURNS) {
			shared->turn[shared->turns].from = from;
			shared->turn[shared->turns++].to = last;
			from = at;
		}
		before = now_on;
	}
}

static void report(const char *kind)
{
	struct times end = now();
	int64_t wall = end.wall - begin.wall;
	int64_t cpu = end.cpu - begin.cpu, delay = end.delay - begin.delay;

	if (blocked < 0)
		blocked = wall - cpu - delay;
	if (helper > 0 && strcmp(kind, "child") && strcmp(kind, "vfork"))
		reap_ok(helper);
	printf("{\"self\": %d, \"helper\": %d, \"kind\": \"%s\", \"wall\": %lld, \"cpu\": %lld, \"delay\": %lld, "
	       "\"blocked\": %lld, \"port\": %d, \"fd\": %d, \"begin\": %lld, \"end\": %lld, \"delay_ever\": %lld, \"gaps\": [",
	       getpid(), (int)helper, kind, (long long)wall, (long long)cpu, (long long)delay,
	       (long long)blocked, port, ended_by, (long long)begin.wall, (long long)end.wall, (long long)now().delay);
	for (int i = 0; i < gaps; i++)
		printf("%s{\"from\": %lld, \"to\": %lld, \"held_back\": %lld}", i ? ", " : "", (long long)gap[i].from,
		       (long long)gap[i].to, (long long)gap[i].held_back);
	printf("], \"turns\": [");
	for (int i = 0; shared && i < shared->turns; i++)
		printf("%s[%lld, %lld]", i ? ", " : "", (long long)shared->turn[i].from, (long long)shared->turn[i].to);
	printf("]}\n");
}

/* Only on these CPUs from here on. */
static void stay_on(unsigned long cpus)
{
	if (syscall(SYS_sched_setaffinity, 0, sizeof(cpus), &cpus) < 0)
		die("sched_setaffinity");
}

/* In a child that ends the parent's wait: all of its sleep is waited for, however late the parent comes to that. */
#define HELPER(...)                          \
	do {                                 \
		helper = fork();             \
		if (helper < 0)              \
			die("fork");         \
		if (helper == 0) {           \
			until_it_waits(getppid()); \
			sleep_ms(ms);        \
			__VA_ARGS__;         \
			_exit(0);            \
		}                            \
	} while (0)

static void write_one(int fd)
{
	if (write(fd, "x", 1) != 1)
		die("write");
}

static void read_one(int fd)
{
	char c;

	if (read(fd, &c, 1) != 1)
		die("read");
}

static pthread_mutex_t mutex;
static int held[2];

/* Its sleep begins when it is waited for, however late the other thread comes to that. */
static void *hold(void *unused)
{
	pthread_mutex_lock(&mutex);
	write_one(held[1]);
	until_it_waits(getpid());
	sleep_ms(ms);
	pthread_mutex_unlock(&mutex);
	return unused;
}

static struct sockaddr_in address_of(const char *ip, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, ip, &a.sin_addr);
	return a;
}

static int listener(struct sockaddr_in *a, int backlog)
{
	socklen_t len = sizeof(*a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*a = address_of("127.0.0.1", 0);
	if (bind(fd, (void *)a, len) || listen(fd, backlog) || getsockname(fd, (void *)a, &len))
		die("listen");
	port = ntohs(a->sin_port);
	return fd;
}

static int connected(struct sockaddr_in *a)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (void *)a, sizeof(*a)))
		die("connect");
	return fd;
}

/* A unix socket that listens: at PATH, or without one in the abstract namespace. */
static int unix_listener(struct sockaddr_un *a, socklen_t *len, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	if (path)
		snprintf(a->sun_path, sizeof(a->sun_path), "%s", path);
	else
		snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "startrace-spend-%d", getpid());
	*len = offsetof(struct sockaddr_un, sun_path) + (path ? strlen(path) + 1 : 1 + strlen(a->sun_path + 1));
	if (bind(fd, (void *)a, *len) || listen(fd, backlog))
		die("listen");
	return fd;
}

static int unix_connected(struct sockaddr_un *a, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	if (connect(fd, (void *)a, len))
		die("connect");
	return fd;
}

static void spin_until(int64_t end)
{
	while (clock_ns(CLOCK_BOOTTIME) < end)
		;
}

/* A file that is not in memory, written by another process, whose waits are its own. */
static int cold_file(size_t size)
{
	char block[65536];
	pid_t writer = fork();
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		die(path);
	if (writer > 0) {
		reap_ok(writer);
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
		return fd;
	}
	memset(block, 'x', sizeof(block));
	for (size_t at = 0; at < size; at += sizeof(block))
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			die("write");
	if (fsync(fd))
		die("fsync");
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	_exit(0);
}

/* Moves this process into the cgroup of that file (its cgroup.procs). */
static void enter(const char *tasks)
{
	int fd = open(tasks, O_WRONLY);

	if (fd < 0 || dprintf(fd, "%d", getpid()) < 0)
		die(tasks);
	close(fd);
}

static void enter_cgroup(void)
{
	enter(path);
}

/* Another file of that cgroup. */
static int of_cgroup(const char *file, int flags)
{
	char name[4096];
	int fd;

	snprintf(name, sizeof(name), "%.*s/%s", (int)(strrchr(path, '/') - path), path, file);
	fd = open(name, flags);
	if (fd < 0)
		die(name);
	return fd;
}

/* Does somebody in it wait for memory? */
static int lacks_memory(int oom_control)
{
	char text[256] = "";

	if (pread(oom_control, text, sizeof(text) - 1, 0) <= 0)
		die("memory.oom_control");
	return strstr(text, "under_oom 1") != NULL;
}

static void take_memory(size_t size)
{
	volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	blocked = 0;
	begin = now();
	for (size_t at = 0; at < size; at += 4096) {
		memory[at] = 1;
		struct times after = { .cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), .wall = clock_ns(CLOCK_BOOTTIME) };

		after.delay = begin.delay;
		if (after.wall - begin.wall - (after.cpu - begin.cpu) < 10000) {
			begin = after;
			continue;
		}
		/* Held back, or another had the CPU. The kernel holds nobody back for less than 10 ms. */
		after = now();
		int64_t waited = after.wall - begin.wall - (after.cpu - begin.cpu) - (after.delay - begin.delay);

		if (waited > 5000000)
			blocked += waited;
		begin = after;
	}
}

/* The page that random numbers are to be written to comes late. */
static void *late_page(int *faults)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*faults = syscall(SYS_userfaultfd, 0);
	if (page == MAP_FAILED || *faults < 0 || ioctl(*faults, UFFDIO_API, &api))
		die("userfaultfd");
	range.range.start = (unsigned long)page;
	range.range.len = 4096;
	if (ioctl(*faults, UFFDIO_REGISTER, &range))
		die("UFFDIO_REGISTER");
	return page;
}

static void give_page(int faults, void *page)
{
	struct uffdio_zeropage zero = { .range = { (unsigned long)page, 4096 } };

	if (ioctl(faults, UFFDIO_ZEROPAGE, &zero))
		die("UFFDIO_ZEROPAGE");
}

/* A file system at PATH, in a mount namespace of its own; returns the descriptor that its requests come from. */
static int mounted(void)
{
	char how[128];
	int fd = open("/dev/fuse", O_RDWR);

	snprintf(how, sizeof(how), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	if (fd < 0 || mkdir(path, 0700) || unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("spend", path, "fuse", MS_NOSUID | MS_NODEV, how))
		die("a file system");
	return fd;
}

/* Answers until a name has been looked up, which is not there, and takes long. */
static void serve_files(int fd)
{
	struct {
		struct fuse_in_header head;
		char rest[1 << 16];
	} request;
	struct {
		struct fuse_out_header head;
		struct fuse_init_out init;
	} answer;
	int looked_up = 0;

	while (!looked_up) {
		if (read(fd, &request, sizeof(request)) <= 0)
			die("fuse");
		memset(&answer, 0, sizeof(answer));
		answer.head = (struct fuse_out_header){ sizeof(answer.head), -ENOSYS, request.head.unique };
		looked_up = request.head.opcode == FUSE_LOOKUP;
		if (request.head.opcode == FUSE_INIT) {
			answer.head = (struct fuse_out_header){ sizeof(answer), 0, request.head.unique };
			answer.init.major = FUSE_KERNEL_VERSION;
			answer.init.minor = 31;
			answer.init.max_write = 4096;
		} else if (looked_up) {
			until_it_waits(getppid());
			sleep_ms(ms);
			answer.head.error = -ENOENT;
		}
		if (write(fd, &answer, answer.head.len) != (ssize_t)answer.head.len)
			die("fuse");
	}
}

static int faults;
static void *page;

static void *give_page_late(void *unused)
{
	sleep_ms(ms);
	give_page(faults, page);
	return unused;
}

/* How long the cgroup of the file PATH has been held back. */
static long long throttled_ns(void)
{
	char name[4096], line[256];
	long long ns = 0;
	FILE *stat;

	snprintf(name, sizeof(name), "%.*s/cpu.stat", (int)(strrchr(path, '/') - path), path);
	stat = fopen(name, "r");
	while (stat && fgets(line, sizeof(line), stat)) {
		if (sscanf(line, "throttled_time %lld", &ns) == 1)
			return ns;
		if (sscanf(line, "throttled_usec %lld", &ns) == 1)
			return ns * 1000;
	}
	die(name);
}

/* Spins, and notes when its clock stood still, and whether the cgroup was held back meanwhile. */
static void spin_and_see(int64_t end)
{
	int64_t last = clock_ns(CLOCK_BOOTTIME), at;
	long long before = throttled_ns(), after;

	for (; last < end; last = at) {
		at = clock_ns(CLOCK_BOOTTIME);
		if (at - last < 1000000)
			continue;
		after = throttled_ns();
		if (after > before && gaps < MAX_GAPS) {
			gap[gaps].from = last;
			gap[gaps].to = at;
			gap[gaps++].held_back = after - before;
			before = after;
		}
		at = clock_ns(CLOCK_BOOTTIME);
	}
}

#define COLD (32UL << 20)

int main(int argc, char **argv)
{
	const char *kind = argc > 2 ? argv[1] : "";
	struct sockaddr_in a;
	struct sockaddr_un u;
	socklen_t u_len;
	int fds[2], others[2], fd, other;

	ms = argc > 2 ? atol(argv[2]) : 0;
	path = argc > 3 ? argv[3] : NULL;
	now();
	if (!strcmp(kind, "child")) {
		HELPER();
		start();
		reap_ok(helper);
		report(kind);
	} else if (!strcmp(kind, "child-signal")) {
		/* As tini, timeout and shells' `wait` do. */
		sigset_t ended;
		int got;

		sigemptyset(&ended);
		sigaddset(&ended, SIGCHLD);
		sigprocmask(SIG_BLOCK, &ended, NULL);
		HELPER();
		start();
		sigwait(&ended, &got);
		report(kind);
	} else if (!strcmp(kind, "child-pidfd")) {
		/* As asyncio does (from CPython 3.12 on). */
		HELPER();
		struct pollfd poll_for = { .fd = (int)syscall(SYS_pidfd_open, helper, 0), .events = POLLIN };

		if (poll_for.fd < 0)
			die("pidfd_open");
		start();
		poll(&poll_for, 1, -1);
		report(kind);
	} else if (!strcmp(kind, "vfork")) {
		start();
		helper = vfork();
		if (helper == 0) {
			struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

			nanosleep(&t, NULL);
			_exit(0);
		}
		report(kind);
	} else if (!strcmp(kind, "pipe")) {
		if (pipe(fds))
			die("pipe");
		HELPER(write_one(fds[1]));
		start();
		read_one(fds[0]);
		report(kind);
	} else if (!strcmp(kind, "fifo-reader") || !strcmp(kind, "fifo-writer")) {
		int reads = !strcmp(kind, "fifo-reader");

		if (mkfifo(path, 0600))
			die("mkfifo");
		HELPER(open(path, reads ? O_WRONLY : O_RDONLY));
		start();
		if (open(path, reads ? O_RDONLY : O_WRONLY) < 0)
			die(path);
		report(kind);
	} else if (!strcmp(kind, "fifo-read")) {
		if (mkfifo(path, 0600))
			die("mkfifo");
		fd = open(path, O_RDWR);
		HELPER(write_one(fd));
		start();
		read_one(fd);
		report(kind);
	} else if (!strcmp(kind, "polled-pipes")) {
		if (pipe(fds) || pipe(others))
			die("pipe");
		struct pollfd poll_for[] = { { .fd = fds[0], .events = POLLIN }, { .fd = others[0], .events = POLLIN } };

		HELPER(write_one(others[1]));
		start();
		poll(poll_for, 2, -1);
		report(kind);
	} else if (!strcmp(kind, "epoll")) {
		struct epoll_event event = { .events = EPOLLIN };

		fd = epoll_create1(0);
		if (pipe(fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, others) ||
		    epoll_ctl(fd, EPOLL_CTL_ADD, fds[0], &event) || epoll_ctl(fd, EPOLL_CTL_ADD, others[0], &event))
			die("a set");
		ended_by = others[0];
		HELPER(write_one(others[1]));
		start();
		epoll_wait(fd, &event, 1, -1);
		report(kind);
	} else if (!strcmp(kind, "futex") || !strcmp(kind, "futex-pi")) {
		pthread_mutexattr_t how;
		pthread_t thread;

		pthread_mutexattr_init(&how);
		pthread_mutexattr_setprotocol(&how, strcmp(kind, "futex") ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE);
		pthread_mutex_init(&mutex, &how);
		/* No other futex is waited for: neither at the beginning nor at the end. */
		if (pipe(held) || pthread_create(&thread, NULL, hold, NULL))
			die("a holder");
		read_one(held[0]);
		start();
		pthread_mutex_lock(&mutex);
		report(kind);
	} else if (!strcmp(kind, "lock") || !strcmp(kind, "lock-posix")) {
		struct flock posix = { .l_type = F_WRLCK };
		int is_posix = kind[4] != 0;

		if (pipe(fds))
			die("pipe");
		helper = fork();
		if (helper == 0) {
			fd = open(path, O_RDWR | O_CREAT, 0600);
			if (is_posix ? fcntl(fd, F_SETLK, &posix) : flock(fd, LOCK_EX))
				die("lock");
			write_one(fds[1]);
			until_it_waits(getppid());
			sleep_ms(ms);
			_exit(0);
		}
		read_one(fds[0]);
		fd = open(path, O_RDWR);
		start();
		if (is_posix ? fcntl(fd, F_SETLKW, &posix) : flock(fd, LOCK_EX))
			die("lock");
		report(kind);
	} else if (!strcmp(kind, "lease")) {
		/* A file that another has a lease on is opened when that one gives it up. */
		sigset_t asked;
		int got;

		if (pipe(fds))
			die("pipe");
		helper = fork();
		if (helper == 0) {
			sigemptyset(&asked);
			sigaddset(&asked, SIGIO);
			sigprocmask(SIG_BLOCK, &asked, NULL);
			fd = open(path, O_RDWR | O_CREAT, 0600);
			if (fcntl(fd, F_SETLEASE, F_WRLCK))
				die("F_SETLEASE");
			write_one(fds[1]);
			sigwait(&asked, &got);
			until_it_waits(getppid());
			sleep_ms(ms);
			if (fcntl(fd, F_SETLEASE, F_UNLCK))
				die("F_SETLEASE");
			_exit(0);
		}
		read_one(fds[0]);
		start();
		if (open(path, O_RDONLY) < 0)
			die(path);
		report(kind);
	} else if (!strcmp(kind, "lookup")) {
		char name[4096];

		fd = mounted();
		helper = fork();
		if (helper == 0) {
			serve_files(fd);
			_exit(0);
		}
		close(fd);
		snprintf(name, sizeof(name), "%s/absent", path);
		start();
		if (open(name, O_RDONLY) >= 0 || errno != ENOENT)
			die(name);
		report(kind);
	} else if (!strcmp(kind, "queue")) {
		struct { long type; char text[1]; } message = { 1, "x" };

		fd = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
		ended_by = fd;
		HELPER(if (msgsnd(fd, &message, 1, 0)) die("msgsnd"));
		start();
		if (msgrcv(fd, &message, 1, 0, 0) != 1)
			die("msgrcv");
		report(kind);
		msgctl(fd, IPC_RMID, NULL);
	} else if (!strcmp(kind, "mqueue")) {
		struct { long flags, most, size, now, unused[4]; } how = { .most = 1, .size = 1 };
		char name[64], c;

		snprintf(name, sizeof(name), "startrace-spend-%d", getpid());
		fd = syscall(SYS_mq_open, name, O_RDWR | O_CREAT, 0600, &how);
		if (fd < 0)
			die("mq_open");
		HELPER(if (syscall(SYS_mq_timedsend, fd, "x", 1, 0, NULL)) die("mq_timedsend"));
		start();
		if (syscall(SYS_mq_timedreceive, fd, &c, 1, NULL, NULL) != 1)
			die("mq_timedreceive");
		report(kind);
		syscall(SYS_mq_unlink, name);
	} else if (!strcmp(kind, "sleep-until")) {
		struct timespec until;

		start();
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += (until.tv_nsec + ms * 1000000) / 1000000000;
		until.tv_nsec = (until.tv_nsec + ms * 1000000) % 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		report(kind);
	} else if (!strcmp(kind, "sleep")) {
		start();
		sleep_ms(ms);
		report(kind);
	} else if (!strcmp(kind, "poll")) {
		struct epoll_event event;

		fd = epoll_create1(0);
		start();
		epoll_wait(fd, &event, 1, (int)ms);
		report(kind);
	} else if (!strcmp(kind, "accept")) {
		fd = listener(&a, 8);
		HELPER(connected(&a));
		start();
		accept(fd, NULL, NULL);
		report(kind);
	} else if (!strcmp(kind, "connect")) {
		/* The queue is full: the next one has to try again after a second. */
		fd = listener(&a, 0);
		connected(&a);
		HELPER(accept(fd, NULL, NULL));
		start();
		connected(&a);
		report(kind);
	} else if (!strcmp(kind, "receive")) {
		fd = listener(&a, 8);
		HELPER(other = accept(fd, NULL, NULL); write_one(other));
		other = connected(&a);
		start();
		read_one(other);
		report(kind);
	} else if (!strcmp(kind, "dns")) {
		char query[8];
		socklen_t len = sizeof(a);

		a = address_of("127.77.0.53", 53);
		port = 53;
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		if (bind(fd, (void *)&a, sizeof(a)))
			die("bind");
		HELPER(struct sockaddr_in from;
		       if (recvfrom(fd, query, sizeof(query), 0, (void *)&from, &len) != 1) die("recvfrom");
		       sendto(fd, "x", 1, 0, (void *)&from, len));
		other = socket(AF_INET, SOCK_DGRAM, 0);
		if (connect(other, (void *)&a, sizeof(a)))
			die("connect");
		write_one(other);
		start();
		read_one(other);
		report(kind);
	} else if (!strcmp(kind, "unix_socket")) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
			die("socketpair");
		HELPER(write_one(fds[1]));
		start();
		read_one(fds[0]);
		report(kind);
	} else if (!strcmp(kind, "unix-receive")) {
		fd = unix_listener(&u, &u_len, 8);
		HELPER(other = accept(fd, NULL, NULL); write_one(other));
		other = unix_connected(&u, u_len);
		start();
		read_one(other);
		report(kind);
	} else if (!strcmp(kind, "unix-accept")) {
		fd = unix_listener(&u, &u_len, 8);
		HELPER(unix_connected(&u, u_len));
		start();
		accept(fd, NULL, NULL);
		report(kind);
	} else if (!strcmp(kind, "unix-connect")) {
		/* The queue is full. */
		fd = unix_listener(&u, &u_len, 0);
		unix_connected(&u, u_len);
		HELPER(accept(fd, NULL, NULL));
		start();
		unix_connected(&u, u_len);
		report(kind);
	} else if (!strcmp(kind, "tty")) {
		if (openpty(&fds[0], &fds[1], NULL, NULL, NULL))
			die("openpty");
		HELPER(if (write(fds[0], "x\n", 2) != 2) die("write"));
		start();
		read_one(fds[1]);
		report(kind);
	} else if (!strcmp(kind, "device")) {
		fd = open("/dev/kmsg", O_RDWR);
		lseek(fd, 0, SEEK_END);
		HELPER(if (write(fd, "startrace: test of a device\n", 28) != 28) die("write"));
		start();
		char line[8192];
		if (read(fd, line, sizeof(line)) <= 0)
			die("read");
		report(kind);
	} else if (!strcmp(kind, "eventfd")) {
		uint64_t n = 1;

		fd = eventfd(0, 0);
		HELPER(if (write(fd, &n, 8) != 8) die("write"));
		start();
		if (read(fd, &n, 8) != 8)
			die("read");
		report(kind);
	} else if (!strcmp(kind, "stopped")) {
		HELPER(kill(getppid(), SIGCONT));
		start();
		raise(SIGSTOP);
		report(kind);
	} else if (!strcmp(kind, "ptraced")) {
		/* The helper is a debugger that halts it while it runs. */
		volatile int *step = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		pid_t self = getpid();
		int status;

		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
		helper = fork();
		if (helper == 0) {
			while (!*step)
				sleep_ms(1);
			if (ptrace(PTRACE_SEIZE, self, 0, 0) || ptrace(PTRACE_INTERRUPT, self, 0, 0) ||
			    waitpid(self, &status, __WALL) != self)
				die("ptrace");
			sleep_ms(ms);
			*step = 2;
			ptrace(PTRACE_DETACH, self, 0, 0);
			_exit(0);
		}
		start();
		for (*step = 1; *step != 2;)
			;
		report(kind);
	} else if (!strcmp(kind, "memory")) {
		/* Its cgroup (version 1) has 32 MiB and no out-of-memory killer: it waits until it gets more. */
		helper = fork();
		if (helper == 0) {
			fd = of_cgroup("memory.limit_in_bytes", O_WRONLY);
			other = of_cgroup("memory.oom_control", O_RDONLY);
			while (!lacks_memory(other))
				sleep_ms(1);
			sleep_ms(ms);
			if (dprintf(fd, "%lu", 256UL << 20) < 0)
				die("limit");
			_exit(0);
		}
		enter_cgroup();
		take_memory(48UL << 20);
		report(kind);
	} else if (!strcmp(kind, "memory-high")) {
		/* A little more than memory.high, 16 MiB: it is held back after each further batch. */
		enter_cgroup();
		take_memory(67UL << 18);
		report(kind);
	} else if (!strcmp(kind, "random")) {
		/* A healthy kernel has random numbers at any time, so that what is late is the place for them. */
		pthread_t thread;

		page = late_page(&faults);
		if (pthread_create(&thread, NULL, give_page_late, NULL))
			die("pthread_create");
		start();
		if (syscall(SYS_getrandom, page, 64, 0) != 64)
			die("getrandom");
		report(kind);
		pthread_join(thread, NULL);
	} else if (!strcmp(kind, "disk")) {
		char block[4096];

		fd = cold_file(COLD);
		start();
		for (size_t at = 0; at < COLD; at += 1024 * 1024)
			if (pread(fd, block, sizeof(block), at) != (ssize_t)sizeof(block))
				die("pread");
		/* A fast disk needs no time worth telling for that; for all of it, it does. */
		void *all;

		if (fcntl(fd, F_SETFL, O_DIRECT) || posix_memalign(&all, 1 << 20, COLD))
			die("O_DIRECT");
		if (pread(fd, all, COLD, 0) <= 0)
			die("pread");
		report(kind);
		unlink(path);
	} else if (!strcmp(kind, "page_fault")) {
		volatile char sum = 0;
		char *map;

		fd = cold_file(COLD);
		map = mmap(NULL, COLD, PROT_READ, MAP_SHARED, fd, 0);
		if (map == MAP_FAILED)
			die("mmap");
		madvise(map, COLD, MADV_RANDOM);
		start();
		for (size_t at = 0; at < COLD; at += 1024 * 1024)
			sum += map[at];
		report(kind);
		unlink(path);
	} else if (!strcmp(kind, "slow-disk") || !strcmp(kind, "slow-fault")) {
		/* Its second cgroup lets it read a page in an eighth of a second: one wait, of a length that is known. */
		char block[4096], *map;

		fd = cold_file(1 << 20);
		map = mmap(NULL, 1 << 20, PROT_READ, MAP_SHARED, fd, 0);
		if (argc < 5 || map == MAP_FAILED)
			die("mmap");
		madvise(map, 1 << 20, MADV_RANDOM);
		enter(argv[4]);
		start();
		if (kind[5] == 'f')
			*(volatile char *)block = map[65536];
		else if (pread(fd, block, sizeof(block), 65536) != (ssize_t)sizeof(block))
			die("pread");
		report(kind);
		unlink(path);
	} else if (!strcmp(kind, "runnable")) {
		/* The other spins for as long as this one measures, and notes its turns. */
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (shared == MAP_FAILED)
			die("mmap");
		stay_on(1 << 0);
		/* Hardly anybody else has turns there. */
		if (setpriority(PRIO_PROCESS, 0, -15))
			die("setpriority");
		helper = fork();
		if (helper == 0) {
			note_turns();
			_exit(0);
		}
		start();
		spin_until(clock_ns(CLOCK_BOOTTIME) + ms * 1000000);
		shared->over = 1;
		report(kind);
	} else if (!strcmp(kind, "crowded")) {
		/* One CPU with a spinner, and with one that has itself moved away and back: a kernel thread does that. */
		int64_t end = clock_ns(CLOCK_BOOTTIME) + ms * 1000000;
		pid_t mover;

		stay_on(1 << 0);
		helper = fork();
		if (helper == 0) {
			prctl(PR_SET_NAME, "spinner");
			spin_until(end);
			_exit(0);
		}
		mover = fork();
		if (mover == 0) {
			prctl(PR_SET_NAME, "mover");
			while (clock_ns(CLOCK_BOOTTIME) < end) {
				spin_until(clock_ns(CLOCK_BOOTTIME) + 500000);
				stay_on(1 << 1);
				stay_on(1 << 0);
			}
			_exit(0);
		}
		start();
		spin_until(end);
		reap_ok(mover);
		report(kind);
	} else if (!strcmp(kind, "throttled")) {
		/* PATH is the file that takes a process into a cgroup with a quota. */
		enter_cgroup();
		start();
		spin_and_see(clock_ns(CLOCK_BOOTTIME) + ms * 1000000);
		report(kind);
	} else {
		dprintf(2, "spend: no kind %s\n", kind);
		return 2;
	}
	return 0;
}
