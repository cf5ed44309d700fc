# timeout: 120
find /usr/include -name '*.h' | xargs grep -c define | sort | md5sum
find /usr/lib -type l | wc -l
find /etc -newer /etc/hostname -type f | sort | md5sum
