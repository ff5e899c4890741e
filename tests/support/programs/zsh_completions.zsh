# Print what zsh offers for TAB after $2, one word a line: zsh -f zsh_completions.zsh FOLDER LINE
# FOLDER holds the completion function. An interactive zsh in a terminal of its own completes the line.
zmodload zsh/zpty
# The line discipline of the terminal would change a TAB that is sent before zsh reads the terminal itself.
run() { zpty -w inner "$1"; local said; while zpty -r inner said && [[ $said != *READY* ]]; do :; done }
offers=$(mktemp)
zpty inner zsh -f -i
run "unsetopt zle; PROMPT=; RPROMPT=; fpath=(${(q)1} \$fpath); OFFERS=${(q)offers}; print REA''DY"
run 'autoload -Uz compinit && compinit -D -u; print REA""DY'
run 'compadd() {
    if [[ ${argv[1,(i)(-|--)]} == *-[a-zA-Z]#[OAD]* ]]; then builtin compadd "$@"; return; fi
    local -a offered
    builtin compadd -A offered "$@"
    print -rl -- $offered >>$OFFERS
    builtin compadd "$@"
}; print REA""DY'
run 'setopt zle; LISTMAX=10000; finish() { print REA""DY; }; comppostfuncs=(finish); bindkey "^I" complete-word; print REA""DY'
zpty -n -w inner "$2"$'\t'
while zpty -r inner said && [[ $said != *READY* ]]; do :; done
zpty -d inner
cat $offers
rm $offers
