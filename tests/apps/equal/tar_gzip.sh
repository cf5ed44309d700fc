# timeout: 120
cd /; tar c usr/include | gzip | md5sum
tar c usr/include/linux | gzip | tar tzv | sort | md5sum
d=$(mktemp -d); tar cf - -C /usr/include linux | tar xf - -C $d && diff -r /usr/include/linux $d/linux && echo same
rm -r $d
seq 1 200000 | gzip -9 | gunzip | md5sum
