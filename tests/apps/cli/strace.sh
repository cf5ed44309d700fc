# --strace prints what the program asks for, and leaves stdout alone.
. "$TESTS/apps/cli/lib.bash" || exit 2
rf --strace -- /bin/echo traced >"$tmp/o" 2>"$tmp/e"
equal stdout "$(cat "$tmp/o")" traced
grep -qE 'write\(1, ' "$tmp/e" || wrong "no write in the trace: $(tail -3 "$tmp/e")"
grep -qE 'execve|brk|mmap' "$tmp/e" || wrong "no start-up calls in the trace"
grep -qE 'exit_group\(0' "$tmp/e" || wrong "no exit_group in the trace"
rf --strace=openat -- cat /nonexistent >/dev/null 2>"$tmp/e"
grep -qE 'openat\(.*"/nonexistent".*ENOENT' "$tmp/e" || wrong "--strace=openat: $(tail -2 "$tmp/e")"
grep -qE '^[^a-z]*write\(' "$tmp/e" && wrong "--strace=openat prints other calls too"
finish
