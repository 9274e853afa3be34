# squeezed.sh MIB CMD...: runs CMD with so much memory, page cache included (cgroup v1), and takes the cgroup away.
set -e
group=/sys/fs/cgroup/memory/startrace-findings-$$
limit=$1
shift
mkdir "$group"
echo $((limit << 20)) > "$group/memory.limit_in_bytes"
sh -c "echo \$\$ > $group/tasks && exec \"\$@\"" sh "$@"
rmdir "$group"
