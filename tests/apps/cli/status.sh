# platforms: systrap kvm
# The exit status is the program's own, and 128+n for a signal; signals from outside reach it.
. "$TESTS/apps/cli/lib.bash" || exit 2
for n in 0 1 42 125 255; do
    rf -- sh -c "exit $n"; st=$?
    equal "exit $n" $st $n
done
for s in SEGV:139 TERM:143 KILL:137 ABRT:134 INT:130 HUP:129; do
    rf -- sh -c "kill -${s%:*} \$\$" 2>/dev/null; st=$?
    equal "death by ${s%:*}" $st "${s#*:}"
done
for s in TERM INT HUP QUIT USR1; do
    : >"$tmp/o" # or the last round's "ready" would be taken for this one's
    # a function in the background would be a subshell that takes the signal itself
    "$RINGFENCE" do --platform="$PLATFORM" -- \
        perl -e '$|=1; for my $s (qw(TERM INT HUP QUIT USR1)) { $SIG{$s} = sub { print "got $s\n"; exit 9 } } print "ready\n"; sleep 20' \
        >"$tmp/o" 2>/dev/null &
    p=$!
    for _ in $(seq 600); do grep -q ready "$tmp/o" && break; sleep 0.05; done
    kill -$s $p; wait $p; st=$?
    equal "status after SIG$s from outside" $st 9
    equal "output after SIG$s" "$(tail -1 "$tmp/o")" "got $s"
done
"$RINGFENCE" do --platform="$PLATFORM" -- sleep 100 & p=$!
sleep 0.5; start=$(date +%s%N); kill -TERM $p; wait $p; st=$?
equal "SIGTERM of sleep" $st 143
[ $((($(date +%s%N) - start) / 1000000)) -lt 1000 ] || wrong "the end took more than a second"
: >"$tmp/o"
"$RINGFENCE" do --platform="$PLATFORM" -- sh -c 'trap "" TERM INT HUP; echo up; while :; do :; done' >"$tmp/o" & p=$!
for _ in $(seq 600); do grep -q up "$tmp/o" && break; sleep 0.05; done
kill -TERM $p; sleep 0.2; kill -0 $p || wrong "a program that ignores SIGTERM ended by it"
kill -KILL $p; wait $p 2>/dev/null
finish
