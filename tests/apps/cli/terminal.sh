# timeout: 60
# A terminal is a terminal: interactive bash under tmux has a prompt, line editing, Ctrl-C, job control, and leaves.
command -v tmux >/dev/null || { echo "tmux is not installed"; exit 77; }
. "$TESTS/apps/cli/lib.bash" || exit 2
sock="$tmp/tmux"
t() { tmux -S "$sock" "$@"; }
screen() { t capture-pane -p -t main 2>/dev/null; }
see() { # PATTERN: waits up to ten seconds for a line on the screen
    for _ in $(seq 100); do screen | grep -qE -- "$1" && return; sleep 0.1; done
    wrong "never saw /$1/ on the screen: $(screen | grep -v '^$' | tail -4 | tr '\n' '|')"
}
t -f /dev/null new-session -d -s main -x 100 -y 30 "env PS1='rf> ' '$RINGFENCE' do --platform=$PLATFORM -- bash --norc --noprofile -i; echo left with \$?; sleep 30"
see '^rf> *$'
t send-keys -t main 'tty; stty size' Enter; see '^/dev/(pts/|tty|console)'; see '^30 100$'
t send-keys -t main 'echo abXX' BSpace BSpace 'cd' Enter; see '^abcd$'
t send-keys -t main 'echo wrold' Left Left Left Left DC Right 'r' Enter; see '^w(or|r)'
t send-keys -t main 'sleep 30' Enter; sleep 0.7; t send-keys -t main C-c; sleep 0.3
t send-keys -t main 'echo status $?' Enter; see '^status 130$'
t send-keys -t main 'sleep 30' Enter; sleep 0.7; t send-keys -t main C-z; see 'Stopped'
t send-keys -t main 'kill %1; wait; jobs; echo jobs over' Enter; see '^jobs over$'
t send-keys -t main Up Enter; sleep 0.3
t resize-window -t main -x 90 -y 25 2>/dev/null; sleep 0.5
t send-keys -t main 'clear; stty size' Enter; see '^25 90$'
t send-keys -t main 'cat' Enter 'typed text' Enter; see '^typed text$'; t send-keys -t main C-d; sleep 0.3
t send-keys -t main 'exit 7' Enter; see 'left with 7'
t kill-server
finish
