# timeout: 90
# Twenty sandboxes at once do not disturb each other.
. "$TESTS/apps/cli/lib.bash" || exit 2
for i in $(seq 20); do rf -- sh -c "echo start $i; sleep 0.5; echo $i >/tmp/rf_same_name; cat /tmp/rf_same_name" >"$tmp/o$i" 2>"$tmp/e$i" & done
wait
for i in $(seq 20); do equal "sandbox $i" "$(tr '\n' ' ' <"$tmp/o$i")$(head -c 200 "$tmp/e$i")" "start $i $i "; done
[ -e /tmp/rf_same_name ] && wrong "a file came out"
finish
