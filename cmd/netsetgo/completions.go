package main

import (
	"fmt"
	"slices"
	"strings"
)

// completions is a script for bash. Names that others chose are compared only:
// compgen -W would expand them as the shell does.
func completions() string {
	var flags, values strings.Builder
	for _, verb := range verbs {
		var names []string
		for _, def := range flagTable {
			if slices.Contains(def.verbs, verb.name) {
				names = append(names, "-"+def.name)
			}
		}
		_, _ = fmt.Fprintf(&flags, "\t%s) words='%s' ;;\n", verb.name, strings.Join(append(names, "-h"), " "))
	}
	for _, def := range flagTable {
		action := "return"
		switch {
		case def.value == "":
			continue
		case def.complete == completeFile:
			action = "compopt -o default; return"
		case def.complete == completeNamespace:
			action = "compopt -o default; words= names=(/run/netns/*)"
		case def.complete == completeBridge:
			action = `words= names=(/sys/class/net/*/bridge); names=("${names[@]%/bridge}")`
		case def.complete != "":
			action = fmt.Sprintf("words='%s'", def.complete)
		}
		_, _ = fmt.Fprintf(&values, "\t-%s) %s ;;\n", def.name, action)
	}
	return `# Completions of netsetgo, for bash.
_netsetgo() {
	local verb=${COMP_WORDS[1]} cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words= names=() name
	COMPREPLY=()
	case =$prev=$cur in # bash makes a word of each =
	==*) prev=${COMP_WORDS[COMP_CWORD-2]} ;;
	*=) cur= ;;
	esac
	case $verb in
	` + strings.Join(verbNames(), "|") + `) ;;
	*) verb=up ;;
	esac
	case $verb in
` + flags.String() + `	esac
	[ "$COMP_CWORD" != 1 ] || words="` + strings.Join(verbNames(), " ") + ` $words"
	case $prev in
` + values.String() + `	esac
	if [ ${#names[@]} -gt 0 ]; then
		for name in "${names[@]##*/}"; do
			case $name in
			'*') ;; # there is none
			"$cur"*) COMPREPLY+=("$(printf %q "$name")") ;;
			esac
		done
		return
	fi
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _netsetgo netsetgo
`
}
