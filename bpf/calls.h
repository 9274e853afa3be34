/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * System calls by what a task that sleeps in one waits for. Numbers are the architecture's own; those of
 * 32-bit programs count in another table and are not looked at.
 */
#ifndef STARTRACE_CALLS_H
#define STARTRACE_CALLS_H

enum call_class {
	CALL_OTHER = 0,
	CALL_CHILD,                   /* wait for a child */
	CALL_FORK,
	CALL_FD,                      /* read, write and the like: descriptor in the first argument */
	CALL_CONNECT,
	CALL_ACCEPT,
	CALL_POLL,                    /* array of struct pollfd */
	CALL_SELECT,
	CALL_EPOLL,
	CALL_FUTEX,
	CALL_NANOSLEEP,
	CALL_CLOCK_NANOSLEEP,
	CALL_FLOCK,
	CALL_FCNTL,
	CALL_RANDOM,
	CALL_IOCTL,
};

static __always_inline enum call_class call_class(__s32 nr)
{
	switch (nr) {
#if defined(__TARGET_ARCH_x86)
	case 61: case 247:                                  /* wait4 waitid */
		return CALL_CHILD;
	case 56: case 57: case 58: case 435:                /* clone fork vfork clone3 */
		return CALL_FORK;
	case 0: case 1: case 17: case 18: case 19: case 20: /* read write pread64 pwrite64 readv writev */
	case 40: case 44: case 45: case 46: case 47:        /* sendfile sendto recvfrom sendmsg recvmsg */
	case 74: case 75: case 275: case 277:               /* fsync fdatasync splice sync_file_range */
	case 295: case 296: case 299: case 307: case 327: case 328: /* preadv pwritev recvmmsg sendmmsg preadv2 pwritev2 */
	case 78: case 217: case 187: case 326:              /* getdents getdents64 readahead copy_file_range */
	case 242: case 243:                                 /* mq_timedsend mq_timedreceive */
		return CALL_FD;
	case 42:
		return CALL_CONNECT;
	case 43: case 288:                                  /* accept accept4 */
		return CALL_ACCEPT;
	case 7: case 271:                                   /* poll ppoll */
		return CALL_POLL;
	case 23: case 270:                                  /* select pselect6 */
		return CALL_SELECT;
	case 232: case 281: case 441:                       /* epoll_wait epoll_pwait epoll_pwait2 */
		return CALL_EPOLL;
	case 202: case 449: case 455:                       /* futex futex_waitv futex_wait */
		return CALL_FUTEX;
	case 35:
		return CALL_NANOSLEEP;
	case 230:
		return CALL_CLOCK_NANOSLEEP;
	case 73:
		return CALL_FLOCK;
	case 72:
		return CALL_FCNTL;
	case 318:
		return CALL_RANDOM;
	case 16:
		return CALL_IOCTL;
#elif defined(__TARGET_ARCH_arm64)
	case 260: case 95:
		return CALL_CHILD;
	case 220: case 435:
		return CALL_FORK;
	case 63: case 64: case 65: case 66: case 67: case 68: case 69: case 70:
	case 71: case 206: case 207: case 211: case 212:
	case 82: case 83: case 76: case 84: case 243: case 269: case 286: case 287:
	case 61: case 213: case 285: case 182: case 183:
		return CALL_FD;
	case 203:
		return CALL_CONNECT;
	case 202: case 242:
		return CALL_ACCEPT;
	case 73:
		return CALL_POLL;
	case 72:
		return CALL_SELECT;
	case 22: case 441:
		return CALL_EPOLL;
	case 98: case 449: case 455:
		return CALL_FUTEX;
	case 101:
		return CALL_NANOSLEEP;
	case 115:
		return CALL_CLOCK_NANOSLEEP;
	case 32:
		return CALL_FLOCK;
	case 25:
		return CALL_FCNTL;
	case 278:
		return CALL_RANDOM;
	case 29:
		return CALL_IOCTL;
#endif
	}
	return CALL_OTHER;
}

/* Which of the calls that send something has its bytes where. */
#if defined(__TARGET_ARCH_x86)
#define NR_WRITE 1
#define NR_SENDTO 44
#define NR_SENDMSG 46
#elif defined(__TARGET_ARCH_arm64)
#define NR_WRITE 64
#define NR_SENDTO 206
#define NR_SENDMSG 211
#endif

#if defined(__TARGET_ARCH_x86)
#define NR_EXECVEAT 322
#elif defined(__TARGET_ARCH_arm64)
#define NR_EXECVEAT 281
#endif

/* Calls whose time-out is milliseconds, or a timeval: -1 where the architecture has none. */
#if defined(__TARGET_ARCH_x86)
#define NR_POLL 7
#define NR_SELECT 23
#define NR_FUTEX 202
#elif defined(__TARGET_ARCH_arm64)
#define NR_POLL -1
#define NR_SELECT -1
#define NR_FUTEX 98
#endif
#define NR_EPOLL_PWAIT2 441

/* clock_nanosleep(2): the time given is the one to sleep until. */
#define TIMER_ABSTIME 1
#define CLOCK_MONOTONIC 1
#define CLOCK_BOOTTIME 7

/* A lock with priority inheritance, whose word is the holder's number. */
#define FUTEX_TID_MASK 0x3fffffff
#define FUTEX_WAIT 0
#define FUTEX_WAIT_BITSET 9
#define FUTEX_CLOCK_REALTIME 256
#define FUTEX_CMD_MASK 0x7f                         /* without FUTEX_PRIVATE_FLAG and the clock */

static __always_inline bool locks_pi(__s32 nr, __u64 op)
{
	op &= FUTEX_CMD_MASK;
	return nr == NR_FUTEX && (op == 6 || op == 13);        /* FUTEX_LOCK_PI, FUTEX_LOCK_PI2 */
}

/* fcntl(2) commands that wait for a lock. */
#define F_SETLKW 7
#define F_OFD_SETLKW 38

static __always_inline __u64 call_arg(struct pt_regs *regs, const int n)
{
#if defined(__TARGET_ARCH_x86)
	switch (n) {
	case 0: return regs->di;
	case 1: return regs->si;
	case 2: return regs->dx;
	case 3: return regs->r10;
	default: return regs->r8;
	}
#elif defined(__TARGET_ARCH_arm64)
	/* x0 holds the result by now in some paths; the first argument is kept apart. */
	return n == 0 ? regs->orig_x0 : regs->regs[n];
#endif
}

#endif
