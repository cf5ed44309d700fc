# Where /dev/kvm is missing or refuses: kvm gives one sentence and 125, auto carries on.
. "$TESTS/apps/cli/lib.bash" || exit 2
unshare -m true 2>/dev/null || { echo "unshare -m is not allowed here"; exit 77; }
without() { unshare -m sh -c '[ -e /dev/kvm ] && mount --bind /dev/null /dev/kvm; exec "$@"' sh "$@"; }
expect 125 'kvm' without "$RINGFENCE" do --platform=kvm -- /bin/true
[ "$(wc -l <"$tmp/err")" -le 2 ] || wrong "more than a sentence: $(cat "$tmp/err")"
expect 0 '' without "$RINGFENCE" do --platform=auto -- /bin/true
expect 0 '' without "$RINGFENCE" do -- /bin/true
"$RINGFENCE" do --platform=auto --debug-log="$tmp/log" -- /bin/true
grep -qiE 'systrap|kvm' "$tmp/log" || wrong "--debug-log does not say what auto chose"
finish
