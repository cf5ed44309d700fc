# platforms: systrap kvm
bash -c 'kill -SEGV $$'; echo "segv $?"
bash -c 'kill -TERM $$'; echo "term $?"
bash -c 'kill -KILL $$'; echo "kill $?"
bash -c 'kill -INT $$'; echo "int $?"
perl -e 'kill "STOP", $$' & p=$!
sleep 0.3; kill -9 $p; wait $p; echo "stopped and killed $?"
sleep 100 & p=$!; kill $p; wait $p; echo "$?"
(trap 'echo got it; exit 9' TERM; while :; do sleep 0.05; done) & p=$!; sleep 0.3; kill $p; wait $p; echo "$?"
timeout 0.3 sleep 5; echo "timeout $?"
timeout -s KILL 0.3 sleep 5; echo "timeout $?"
yes | head -1; echo "${PIPESTATUS[@]}"
perl -e 'my $x = unpack("p", pack("J", 8)); ' ; echo "perl segv $?"
