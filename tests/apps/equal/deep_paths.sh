d=$(mktemp -d); cd $d || exit 1
for i in $(seq 60); do mkdir dir_number_$i && cd dir_number_$i; done
pwd | wc -c | awk '{ print ($1 > 800) }'; echo deep >f; cat f; cd $d
find . -type f | wc -l; find . -type d | wc -l; du -a . | wc -l; rm -r dir_number_1; ls | wc -l
for i in $(seq 3000); do echo >many_$i; done; ls | wc -l; ls | sort | md5sum; rm many_*; ls | wc -l
cd /; rmdir $d
