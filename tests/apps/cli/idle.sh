# timeout: 60
# An idle sandbox burns no CPU, and a busy one can be interrupted.
. "$TESTS/apps/cli/lib.bash" || exit 2
"$RINGFENCE" do --platform="$PLATFORM" -- sh -c 'sleep 30 & sleep 30 & sleep 30' >/dev/null & p=$!
sleep 1.5
ticks() { for q in $p $(descendants $p | cut -d' ' -f1); do cat /proc/$q/stat; done 2>/dev/null | sed 's/.*) //' | awk '{ s += $12 + $13 } END { print s + 0 }'; }
a=$(ticks)
sleep 4
b=$(ticks)
[ $((b - a)) -le 4 ] || wrong "an idle sandbox used $((b - a)) ticks of 10 ms in 4 s"
kill $p; wait $p 2>/dev/null
finish
