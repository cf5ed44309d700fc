# timeout: 120
export HOME=$(mktemp -d) GIT_AUTHOR_DATE="2020-01-01T00:00:00Z" GIT_COMMITTER_DATE="2020-01-01T00:00:00Z"
git config --global user.email a@b.c; git config --global user.name n; git config --global init.defaultBranch main
git config --global gc.autoDetach false
mkdir $HOME/r && cd $HOME/r || exit 1
git init -q . && echo init
for i in $(seq 30); do echo "file $i" >f$i; done
git add . && git commit -qm first && git log --oneline
for i in $(seq 5); do echo "more $i" >>f$i; git commit -qam "change $i"; done
git log --format='%h %s %ad' --date=short
git checkout -q -b side HEAD~2 && echo side >side && git add side && git commit -qm side
git checkout -q main && git merge -q -m merge side && git log --oneline --graph | cat
git gc -q && git count-objects -v | grep -E 'in-pack|packs|count'
git fsck --strict 2>&1; echo "fsck $?"
git diff HEAD~1 --stat | cat; git status --short | wc -l
git clone -q . ../c 2>/dev/null && git -C ../c rev-parse HEAD
git archive HEAD | tar t | wc -l
rm -rf $HOME
