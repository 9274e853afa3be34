# retry.sh SLOW MS: what containers do: a loop of a helper that tries to connect and a sleep, until the other
# service is there, which takes so long.
"$1" late-server "$2" > port &
while [ ! -s port ]; do :; done
port=$(cat port)
begin=$(date +%s%N)
until "$1" try "$port"; do
	sleep 0.05
done
end=$(date +%s%N)
echo "{\"self\": $$, \"cost_ns\": $((end - begin))}"
wait
