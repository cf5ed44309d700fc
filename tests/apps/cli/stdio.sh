# platforms: systrap kvm
# stdin, stdout and stderr: files with their offsets, pipes, closed ones.
. "$TESTS/apps/cli/lib.bash" || exit 2
{ echo before; rf -- /bin/echo inside; echo after; } >"$tmp/f"
equal "file written in turn" "$(cat "$tmp/f")" "before
inside
after"
rf -- /bin/echo one >"$tmp/a"; rf -- /bin/echo two >>"$tmp/a"
equal "appended file" "$(cat "$tmp/a")" "one
two"
( rf -- /bin/echo first; rf -- /bin/echo second ) >"$tmp/b"
equal "shared offset" "$(cat "$tmp/b")" "first
second"
printf 'line1\nline2\nline3\n' >"$tmp/in"
{ rf -- bash -c 'read x; echo "in: $x"'; read -r y; echo "out: $y"; } <"$tmp/in" >"$tmp/c"
equal "stdin offset comes back" "$(cat "$tmp/c")" "in: line1
out: line2"
equal "pipe" "$(echo through | rf -- cat | cat)" through
equal "long pipe" "$(head -c 5000000 /dev/zero | rf -- cat | md5sum)" "$(head -c 5000000 /dev/zero | md5sum)"
rf -- sh -c 'echo to stderr >&2; echo to stdout' >"$tmp/o" 2>"$tmp/e"
equal stdout "$(cat "$tmp/o")" "to stdout"
equal stderr "$(cat "$tmp/e")" "to stderr"
rf -- sh -c 'echo out; echo err >&2' >"$tmp/both" 2>&1
equal "both in one file" "$(cat "$tmp/both")" "out
err"
equal "closed stdin" "$(rf -- sh -c 'cat; echo "status $?"' <&- 2>/dev/null | tail -1)" "status 1"
rf -- /bin/echo nobody listens >&- 2>/dev/null
[ $? -lt 125 ] || [ $? -ge 128 ] || wrong "closed stdout: status of ours"
rf -- yes | head -1 >"$tmp/y"
equal "reader goes away" "$(cat "$tmp/y")" y
equal "empty stdin" "$(rf -- wc -c </dev/null)" 0
rf -- sh -c 'stat -c %s - <&0 >/dev/null; test -p /dev/stdin || echo plain' <"$tmp/in" >"$tmp/k"
equal "kind of stdin" "$(cat "$tmp/k")" plain
rf -- perl -e 'sysseek STDIN, 6, 0; print scalar <STDIN>' <"$tmp/in" >"$tmp/s"
equal "seek in stdin" "$(cat "$tmp/s")" line2
rf -- truncate -s 3 /dev/stdout 1<>"$tmp/in"
equal "truncate by /dev/stdout" "$(cat "$tmp/in")" lin
finish
