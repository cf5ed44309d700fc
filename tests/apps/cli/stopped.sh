# platforms: systrap kvm
# timeout: 60
# Processes of ours that are stopped and continued (a debugger's visit, SIGSTOP) go on where they were.
. "$TESTS/apps/cli/lib.bash" || exit 2
"$RINGFENCE" do --platform="$PLATFORM" -- sh -c 'sleep 2; echo still here' >"$tmp/out" 2>"$tmp/err" & p=$!
sleep 0.7
each() { descendants $p | while read -r pid name; do case $name in rf-*) kill "$1" "$pid" ;; esac; done; }
for _ in 1 2 3; do
    each -STOP
    sleep 0.1
    each -CONT
done
wait $p
equal status $? 0
equal output "$(cat "$tmp/out")" "still here"
equal stderr "$(cat "$tmp/err")" ""
finish
