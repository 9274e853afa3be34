# Something that opens files, and something that has to be sampled.
cat /etc/hostname
i=0
while [ $i -lt 30000 ]; do i=$((i + 1)); done
