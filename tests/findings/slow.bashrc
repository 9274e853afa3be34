# Start files as they come to be: a loop of substitutions.
for n in $(seq 60); do
	name=$(basename "/some/path/$n")
	test -n "$(echo "$name" | tr a-z A-Z)"
done
