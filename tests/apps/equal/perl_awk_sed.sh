perl -e 'my %h = map { $_ => $_ ** 2 } 1..10; print join(",", map { "$_=$h{$_}" } sort { $a <=> $b } keys %h), "\n"'
perl -ne '$n++ if /root/; END { print "root lines: $n\n" }' /etc/passwd
perl -e 'if (my $p = fork) { waitpid $p, 0; print $? >> 8, "\n" } else { exit 6 }'
perl -e 'local $SIG{ALRM} = sub { print "alarm\n"; exit 3 }; alarm 1; sleep 5'; echo $?
perl -e 'open my $f, "-|", "echo piped" or die; print <$f>'
perl -MPOSIX -e 'print POSIX::strftime("%Y", gmtime(0)), "\n"'
awk -F: '{ n[$7]++ } END { for (s in n) print s, n[s] }' /etc/passwd | sort
awk 'BEGIN { while (("echo a b" | getline line) > 0) print line; printf "%.5f\n", atan2(0, -1); "date +%Y" | getline y; print (y > 2000) }'
seq 100 | awk '{ s += $1 } END { print s }'
seq 20 | sed -n '/5/,/8/p;$='
printf 'b 2\na 1\nc 3\n' | sort -k2n | cut -d' ' -f1 | paste -sd,
seq 1000 | xargs -n 100 -P 4 echo | awk '{ n += NF } END { print n }'
