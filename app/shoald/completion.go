package main

import (
	"io"
	"strings"
	"text/template"

	"github.com/alecthomas/kong"

	"github.com/shoal-p2p/shoal/daemon/core"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"bash, zsh, fish or powershell."`
}

// Run prints a script made from the grammar itself, so that it never lags behind.
func (c *completionCmd) Run(s *session, k *kong.Kong) error {
	var script strings.Builder
	if err := template.Must(template.New(c.Shell).Parse(scripts()[c.Shell])).Execute(&script, placesOf(k.Model.Node)); err != nil {
		return core.Errorf(core.CodeInternal, "completion for %s: %w", c.Shell, err)
	}
	return s.show(map[string]string{"shell": c.Shell, "script": script.String()}, func(w io.Writer) {
		_, _ = io.WriteString(s.out, script.String()) // straight to the output: the table writer would align its tabs
	})
}

// place is a point on the command line, such as "config set", and the words that may follow there.
type place struct {
	Path  string
	Words []word
}

type word struct{ Name, Help string }

// Names joins the words for shells that show no help.
func (p place) Names() string {
	names := make([]string, len(p.Words))
	for i, w := range p.Words {
		names[i] = w.Name
	}
	return strings.Join(names, " ")
}

// Last is the last word of the path.
func (p place) Last() string { return p.Path[strings.LastIndex(p.Path, " ")+1:] }

// placesOf walks the grammar. The root's flags may follow everywhere.
func placesOf(root *kong.Node) []place {
	var all []place
	var walk func(n *kong.Node, path string)
	walk = func(n *kong.Node, path string) {
		p := place{Path: path}
		for _, child := range n.Children {
			p.Words = append(p.Words, word{child.Name, quoteless(child.Help)})
		}
		for _, argument := range n.Positional {
			for _, value := range argument.EnumSlice() {
				p.Words = append(p.Words, word{value, "a value of " + argument.Name})
			}
		}
		for _, group := range n.AllFlags(true) {
			for _, f := range group {
				p.Words = append(p.Words, word{"--" + f.Name, quoteless(f.Help)})
			}
		}
		all = append(all, p)
		for _, child := range n.Children {
			walk(child, strings.TrimSpace(path+" "+child.Name))
		}
	}
	walk(root, "")
	return all
}

// quoteless makes help safe between the single quotes of every shell.
func quoteless(s string) string { return strings.NewReplacer("'", "", "\n", " ").Replace(s) }

// scripts are the templates. Each finds the place from the words typed so far and offers what may follow; where
// nothing matches, the shell offers files.
func scripts() map[string]string {
	return map[string]string{"bash": bash, "zsh": zsh, "fish": fish, "powershell": powershell}
}

const bash = `# bash completion for shoald; load it with: source <(shoald completion bash)
_shoald() {
	local place= typed
	for typed in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case "${place:+$place }$typed" in
{{range .}}{{if .Path}}		'{{.Path}}') place='{{.Path}}' ;;
{{end}}{{end}}		esac
	done
	case "$place" in
{{range .}}	'{{.Path}}') COMPREPLY=($(compgen -W '{{.Names}}' -- "${COMP_WORDS[COMP_CWORD]}")) ;;
{{end}}	esac
}
complete -o default -F _shoald shoald
`

const zsh = `#compdef shoald
# zsh completion for shoald; put it in a folder of $fpath as _shoald
local place= typed
for typed in ${words[2,CURRENT-1]}; do
	case "${place:+$place }$typed" in
{{range .}}{{if .Path}}		('{{.Path}}') place='{{.Path}}' ;;
{{end}}{{end}}	esac
done
local -a follow
case "$place" in
{{range .}}	('{{.Path}}') follow=({{range .Words}} '{{.Name}}:{{.Help}}'{{end}}) ;;
{{end}}esac
_describe word follow || _files
`

const fish = `# fish completion for shoald; put it in ~/.config/fish/completions/shoald.fish
function __shoald_place
	set -l place
	for typed in (commandline -opc)[2..-1]
		switch "$place $typed"
{{range .}}{{if .Path}}			case '{{if eq .Path .Last}} {{end}}{{.Path}}'
				set place '{{.Path}}'
{{end}}{{end}}		end
	end
	test "$place" = "$argv[1]"
end
{{range .}}{{$path := .Path}}{{range .Words}}complete -c shoald -n "__shoald_place '{{$path}}'" -a '{{.Name}}' -d '{{.Help}}'
{{end}}{{end}}`

const powershell = `# PowerShell completion for shoald; load it with: shoald completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName shoald -ScriptBlock {
	param($word, $line, $position)
	$places = @{
{{range .}}		'{{.Path}}' = @({{range $i, $w := .Words}}{{if $i}}, {{end}}'{{$w.Name}}'{{end}})
{{end}}	}
	$place = ''
	foreach ($typed in $line.CommandElements | Select-Object -Skip 1) {
		$next = "$place $typed".Trim()
		if ($places.ContainsKey($next)) { $place = $next }
	}
	$places[$place] | Where-Object { $_ -like "$word*" } | ForEach-Object {
		[System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
	}
}
`
