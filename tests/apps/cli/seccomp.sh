# timeout: 60
# Both helpers die by SIGSYS on a forbidden call, and their lists are short; the figures are printed.
. "$TESTS/apps/cli/lib.bash" || exit 2
for p in sentry gofer; do
    [ -x "$BUILD/rf-$p" ] || { wrong "$BUILD/rf-$p is missing"; continue; }
    if [ $p = gofer ]; then more="--fd=9 --export=8:ro --allow-partial"; else more=; fi
    (exec unshare -m "$BUILD/rf-$p" $more --selftest=forbidden 9</dev/null 8</tmp) >/dev/null 2>&1
    st=$?
    equal "rf-$p on a forbidden call (128+SIGSYS)" $st 159
    "$BUILD/rf-$p" --print-seccomp >"$tmp/list" || wrong "rf-$p --print-seccomp failed"
    n=$(grep -cE '^ *[a-z_0-9]+' "$tmp/list")
    echo "rf-$p: $n host calls allowed" >&2
    [ "$n" -gt 5 ] || wrong "rf-$p: the list has only $n lines"
    [ "$p" = gofer ] || [ "$n" -le 40 ] || wrong "rf-sentry is allowed $n host calls, more than 40"
done
# The same, of a sandbox that runs: every process of ours has its filter, no capability and no new privileges.
"$RINGFENCE" do --platform="$PLATFORM" -- sleep 20 & p=$!
sleep 1
seen=0
for q in $(descendants $p | awk '$2 ~ /^rf-/ { print $1 }'); do
    seen=$((seen + 1)); name=$(basename "$(readlink /proc/$q/exe)")
    awk '/^Seccomp:/ && $2 != 2 { exit 1 }' /proc/$q/status || wrong "$name runs without a seccomp filter"
    awk '/^NoNewPrivs:/ && $2 != 1 { exit 1 }' /proc/$q/status || wrong "$name may gain privileges"
    [ "$name" = rf-gofer ] || awk '/^Cap(Eff|Prm|Inh|Amb):/ && $2 !~ /^0+$/ { exit 1 }' /proc/$q/status || wrong "$name has capabilities: $(grep CapEff /proc/$q/status)"
    for ns in net mnt; do
        [ "$(readlink /proc/$q/ns/$ns)" != "$(readlink /proc/self/ns/$ns)" ] || wrong "$name shares the host's $ns namespace"
    done
    if [ "$name" = rf-sentry ]; then
        [ "$(ls -A /proc/$q/root/ 2>/dev/null | wc -l)" = 0 ] || wrong "the sentry's root is not empty: $(ls -A /proc/$q/root/ | head -3 | tr '\n' ' ')"
    fi
done
[ $seen -ge 2 ] || wrong "found $seen helper processes of a running sandbox, want at least 2"
kill $p; wait $p 2>/dev/null
finish
