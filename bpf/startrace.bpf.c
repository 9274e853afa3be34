/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel side: which process was started when, by whom and how, told in records of exact size
 * through one ring. See event.h for the records.
 */
#include "core.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include "event.h"
#include "state.bpf.h"
#include "verifier.h"
#include "stay.bpf.h"
#include "plain.bpf.h"
#include "scratch.bpf.h"
#include "record.bpf.h"
#include "follow.bpf.h"
#include "path.bpf.h"
#include "fd.bpf.h"
#include "cgroup.bpf.h"
#include "process.bpf.h"
#include "calls.h"
#include "fork.bpf.h"
#include "object.bpf.h"
#include "kind.bpf.h"
#include "mark.bpf.h"
#include "sender.bpf.h"
#include "wait.bpf.h"
#include "task.bpf.h"
#include "moments.bpf.h"
#include "connect.bpf.h"
#include "peer.bpf.h"
#include "link.bpf.h"
#include "python.bpf.h"
#include "files.bpf.h"
#include "profile.bpf.h"
#include "fault.bpf.h"
#include "exec.bpf.h"
#include "exit.bpf.h"
#include "entry.bpf.h"
#include "seed.bpf.h"
#include "signal.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
