# A terminal made inside: script(1) gives its command one.
command -v script >/dev/null || { echo "script is not installed"; exit 77; }
script -qec 'tty | sed s,[0-9]*$,N,; stty size; test -t 0 && echo is a tty' /dev/null </dev/null | tr -d '\r'
script -qec 'exit 5' /dev/null </dev/null; echo $?
