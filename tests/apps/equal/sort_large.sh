# timeout: 90
seq 500000 | sort -R --random-source=/usr/bin/gcc | md5sum
seq 400000 -1 1 | sort -n --parallel=2 -S 4M | md5sum
