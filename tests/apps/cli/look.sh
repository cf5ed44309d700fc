# ps, exec, kill, stats, stacks and trace of a running sandbox; names; what is gone is cleared away.
. "$TESTS/apps/cli/lib.bash" || exit 2
name=look$$
start() { # CMD…: a sandbox of that name that has printed "up"
    rm -f "$tmp/up"
    "$RINGFENCE" do --platform="$PLATFORM" --name=$name -- "$@" >"$tmp/up" 2>"$tmp/do.err" &
    pid=$!
    for _ in $(seq 200); do grep -q up "$tmp/up" 2>/dev/null && return; sleep 0.05; done
    wrong "the sandbox did not start: $(cat "$tmp/do.err")"
}
rfl() { timeout 20 "$RINGFENCE" "$@"; }

start sh -c 'trap "exit 3" USR1; echo up; sleep 60 & while :; do wait; done'
rfl ps | grep -q "^$name  *running  *2 " || wrong "ps: $(rfl ps)"
rfl ps $name >"$tmp/ps" || wrong "ps ID: $?"
grep -qE '^ +1 +0 .* sh -c ' "$tmp/ps" || wrong "ps shows no shell: $(cat "$tmp/ps")"
grep -qE ' 1 .* sleep 60$' "$tmp/ps" || wrong "ps shows no child of it: $(cat "$tmp/ps")"
rfl stats $name | grep -qE '^processes +2$' || wrong "stats: $(rfl stats $name)"
rfl stacks $name | grep -qE 'sleep +sleeps in clock_nanosleep' || wrong "stacks: $(rfl stacks $name)"
rfl exec $name -- sh -c 'echo "$X$0"; cat; exit 9' >"$tmp/out" </dev/null; equal "exec's status" $? 9
equal "exec's input" "$(echo text | rfl exec $name cat)" text
equal "exec's variable" "$(rfl exec --env X=1 $name -- sh -c 'echo $X')" 1
equal "exec's identity" "$(rfl exec --uid 1000 --gid 1000 $name -- id -u)" 1000
rfl exec $name -- sh -c 'kill -KILL $$'; equal "exec's signal" $? 137
expect 127 'not found' "$RINGFENCE" exec $name -- nosuchprogram
# a killed exec takes its process along
"$RINGFENCE" exec $name -- sleep 77 >/dev/null & e=$!
for _ in $(seq 100); do rfl ps $name | grep -q 'sleep 77' && break; sleep 0.05; done
kill -KILL $e; wait $e 2>/dev/null
for _ in $(seq 100); do rfl ps $name | grep -q 'sleep 77' || break; sleep 0.05; done
rfl ps $name | grep -q 'sleep 77' && wrong "the process of a killed exec lives on"
# trace: what another command does appears, until the tracer goes
"$RINGFENCE" trace -e write $name >"$tmp/trace" 2>&1 & t=$!
for _ in $(seq 100); do
    rfl exec $name -- echo traced >/dev/null
    grep -q 'write(1, .*) = 7' "$tmp/trace" && break
done
grep -q 'write(1, .*) = 7' "$tmp/trace" || wrong "trace: $(head -3 "$tmp/trace")"
grep -q openat "$tmp/trace" && wrong "trace prints calls that were not asked for"
kill $t; wait $t 2>/dev/null
expect 125 'is running' "$RINGFENCE" do --name=$name -- true
rfl kill -s USR1 $name; wait $pid; equal "status after kill" $? 3
expect 125 'no such sandbox' "$RINGFENCE" ps $name
expect 125 'no such signal' "$RINGFENCE" kill -s NONSENSE $name
expect 125 'letters' "$RINGFENCE" do --name=../x -- true
for c in ps exec kill stats stacks trace; do
    rfl $c --help | grep -q "^Usage: ringfence $c" || wrong "$c --help"
done
# a launcher that was killed leaves a registration that the next look clears away
start sh -c 'echo up; sleep 60'
kill -KILL $pid; wait $pid 2>/dev/null
for _ in $(seq 100); do rfl ps | grep -q "^$name " || break; sleep 0.05; done
rfl ps | grep -q "^$name " && wrong "a dead sandbox is listed"
ls /run/ringfence/$name.sock >/dev/null 2>&1 && wrong "a dead sandbox is registered"
finish
