# Something that opens files, something that has to be sampled, and an interpreter that is nowhere in PATH: whoever
# looks into it has to find it while the recording goes on.
cat /etc/hostname
i=0
while [ $i -lt 30000 ]; do i=$((i + 1)); done
PYTHON -S -I -c 'import time; time.sleep(2); import multiprocessing, json'
