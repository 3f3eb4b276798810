# Prints what zsh offers for a line: zsh -f complete.zsh FOLDER-WITH-COMPLETIONS LINE
# It types the line and the tabulator at a shell in a terminal of its own.
zmodload zsh/zpty
export OFFERS=$(mktemp) FOLDER=$1

setup() {
  fpath=($FOLDER $fpath)
  autoload -Uz compinit && compinit -u -D
  # Every candidate passes here; calls that only sort candidates into arrays are not offers.
  compadd() {
    local -a found
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
      builtin compadd -O found "$@"
      (( $#found )) && print -rl -- $found >>$OFFERS
    fi
    builtin compadd "$@"
  }
  done_completing() { zle complete-word; print -r >>$OFFERS END }
  zle -N done_completing
  bindkey '^I' done_completing
  print -r SET UP
}

zpty shell zsh -f -i
zpty -w shell "$(functions setup); setup"
zpty -r -m shell heard $'*\nSET UP*'
zpty -w -n shell "$2"$'\t'
repeat 100; do
  grep -qx END $OFFERS && break
  sleep 0.05
done
zpty -d shell
grep -vx END $OFFERS
rm $OFFERS
