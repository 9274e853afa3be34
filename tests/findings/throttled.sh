# throttled.sh CMD...: runs CMD with a quarter of a CPU (cgroup v1), and takes the cgroup away.
set -e
group=/sys/fs/cgroup/cpu/startrace-findings-$$
mkdir "$group"
echo 100000 > "$group/cpu.cfs_period_us"
echo 25000 > "$group/cpu.cfs_quota_us"
sh -c "echo \$\$ > $group/tasks && exec \"\$@\"" sh "$@"
rmdir "$group"
