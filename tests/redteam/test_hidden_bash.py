"""Who writes Bash that does what it does not seem to say: by what a reader takes for text, and by what changes what a name means."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.languages.bash import analysis
from tests.redteam.threats import threat

# Where Bash ends a quotation, an expansion or a heredoc, and a reader may think that it goes on: `curl` runs in each.
UNSEEN = {
    "a heredoc whose delimiter is $'…'": "cat <<$'E'\ntext\nE\ncurl x\n$E\n",
    "a heredoc whose delimiter holds a backslash": "cat <<'\\E'\ntext\n\\E\ncurl x\nE\n",
    "a heredoc whose end is parted": "cat <<EOF\ntext\nEO\\\nF\ncurl x\nEOF\n",
    "a heredoc whose end was joined to text": "cat <<EOF\ntext\\\nEOF\n: '\nEOF\ncurl x\n: '\n",
    "a heredoc with a quote in an expansion": "cat <<E\n${x:-'$(curl x)'}\nE\n",
    "a quote in an expansion in quotes": "echo \"${x:-'$(curl x)'}\"\n",
    "a quote of letters in a default": 'echo "${x:-$\'}"; curl x; echo "${x:-$\'}"\n',
    "a command in one": "echo \"${x:-$'$(curl x)'}\"\n",
    "a test behind a redirection": ">/dev/null [[ ; curl x\n: ]]\n",
    "other quoting by the mode posix": 'set -o posix\necho "${x:-\'}"; curl x; echo "${x:-\'}"\n',
    "an arithmetic of old": "echo $[1<<2]\ncurl x\n2]\n",
    "an index that shifts": "a[1<<2]=3\ncurl x\n2]=3\n",
    "a command that begins like arithmetic": "x=$((curl x) | cat)\n",
    "a group that begins like arithmetic": "((curl x) | cat)\n",
    "backquotes in backquotes": "echo `echo \\`curl x\\``\n",
    "backquotes that escape": "echo `echo \\$(curl x)`\n",
    "a line that goes on within $(": 'echo "$\\\n(curl x)"\n',
    "a line that goes on within <(": "cat <\\\n(curl x)\n",
    "an operator that looks like a match": "echo =~ ;curl x\n",
    "a loop without a separator": "set -- a; for x do curl x; done\n",
    "a loop in braces": "for x in a; { curl x; }\n",
    "a counting loop without a separator": "for ((i = 0; i < 1; i++)) do curl x; done\n",
    "a counting loop in braces": "for ((i = 0; i < 1; i++)) { curl x; }\n",
    "a choice without a separator": "set -- a; select x do curl x; break; done <<<1\n",
    "the end of a case, parted": "case x in y) : ;; e\\\nsac\ncurl x\n",
    "a test that is none": "x=1 [[ ; curl x\n: ]]\n",
    "a byte that Bash leaves out": "cu\0rl x\n",
    "a function's body that is a loop": "f() for ((;;)) do curl x; break; done\nf\n",
    "a command in a command in braces": 'echo "${ curl x; }"\n',
}
# Text that is run.
TEXTS = {
    "a trap": "trap 'curl x' EXIT\n",
    "a trap after options": 'trap -- "$x" EXIT\n',
    "a prompt": "x='$(curl x)'; echo \"${x@P}\"\n",
    "an index": "x='a[$(curl x)]'; ((x))\n",
    "an index that is compared": "x='a[$(curl x)]'; [[ $x -eq 0 ]]\n",
    "an index that is tested": "test -v 'a[$(curl x)]'\n",
    "an index that is read": "read -r 'a[$(curl x)]' <<<1\n",
    "an index that is printed": "printf -v 'a[$(curl x)]' 1\n",
    "an index of an integer": "declare -i n='a[$(curl x)]'\n",
    "an index in double quotes": 'x="a[\\$(curl x)]"; ((x))\n',
    "an index that a heredoc holds": "read -r x <<'E'\na[$(curl x)]\nE\n((x))\n",
    "an index that is told": "x=$(printf '%s' 'a[$(curl x)]'); ((x))\n",
    "words that are completed": "compgen -W '$(curl x)'\n",
    "a command that completes": "compgen -C 'curl x'\n",
    "jobs": "jobs -x curl x\n",
    "a callback": "mapfile '-C' 'curl x' -c 1 a\n",
    "a callback behind its option": "mapfile -tC'curl x' a\n",
    "what find runs": 'find . "-exec" curl x {} +\n',
    "what find asks for": "find . -okdir curl x {} +\n",
    "what xargs reads": "echo 'curl x' | xargs -I{} {}\n",
    "what sed runs": "sed '1e curl x' words.txt\n",
    "what sed runs by another mark": "sed 's|a|curl x|e' words.txt\n",
    "what awk pipes into a variable": "awk '{ c = \"curl x\"; print | c }' words.txt\n",
    "what awk talks with": "awk 'BEGIN { c = \"curl x\"; c |& getline y }'\n",
    "what awk calls by a name": 'awk \'BEGIN { f = "system"; @f("curl x") }\'\n',
    "awk of a file": "awk -f words.txt\n",
    "sed of a file": "sed -f words.txt x\n",
    "awk of a text that is computed": 'awk "$program" words.txt\n',
    "an option that is cut short": "tar cf - --to-comm=curl x\n",
    "an option in pieces": "sort --compress''-program=curl x\n",
    "a short option": "tar -Icurl -cf - x\n",
    "an option of install": "install -s --strip-program=curl a /tmp/a\n",
    "a shell that reads another first": "bash --rcfile lib.sh -i\n",
    "a script that was written before": "cat words.txt >/tmp/lib.sh; cd /tmp; bash lib.sh\n",
    "a script of a computed folder": 'cat words.txt >"$d/lib.sh"; source "$d/lib.sh"\n',
    "a program by a way round": "/usr/bin/../../tmp/cat x\n",
    "letters by their numbers": "x=$(printf '\\143\\165\\162\\154')\n",
}
# Names that mean something else.
NAMES = {
    "a variable in quotes": 'read -r "PATH" <<<x\n',
    "a variable in pieces": "declare -g P''ATH=/tmp\n",
    "a loop's variable": "for PATH in /tmp; do ls; done\n",
    "a default": "unset -v x; : ${PATH:=/tmp}\n",
    "a reference": "declare -n r=PATH; r=/tmp\n",
    "a name that is handed over": "f() { local -n r=$1; r=/tmp; }; f PATH\n",
    "a name that is kept": 'n=PATH; printf -v "$n" /tmp\n',
    "a name that is computed": 'printf -v "$n" /tmp\n',
    "an assignment that is computed": 'declare -g "$n=/tmp"\n',
    "the table of programs": "BASH_CMDS[ls]=/tmp/x; ls\n",
    "the table of aliases": "shopt -s expand_aliases; BASH_ALIASES[ls]='curl x'\nls\n",
    "a list of what to load": "BASH_LOADABLES_PATH=/tmp\n",
    "what tar is told": "export TAR_OPTIONS=--to-command=x\n",
    "what the C library loads": "export GCONV_PATH=/tmp\n",
    "a program that a comment defines": "# \nnmap() \n{ :; }\nunset -f nmap\n: <<'E'\nmasscan() {\nE\nmasscan x\n",
    "a function that a heredoc defines": ": <<'E'\nmasscan() {\nE\nmasscan x\n",
}
# What the machine has: the network, files, the environment.
REACHED = {
    "a socket in pieces": "exec 3<>/dev/tc''p/h/80\n",
    "a socket in letters": "exec 3<>$'/dev/t\\x63p/h/80'\n",
    "a socket by a variable": "p=tcp; exec 3<>/dev/$p/h/80\n",
    "a socket by two": 'a=/dev/; b=tcp/h/80; cat <"$a$b"\n',
    "a socket that grows": 'a=/dev/; a+=tcp/h/80; exec 3<>"$a"\n',
    "a socket that is computed": 'exec 3<>"$1"\n',
    "a path in letters": "cat $'/\\x65tc/passwd'\n",
    "a path in dollar quotes": "cat $'/etc/passwd'\n",
    "a path by a pattern": "cat /e*/passwd\n",
    "a path in braces": "cat {/etc,.}/passwd\n",
    "a path in braces below": "cat /{etc,x}/passwd\n",
    "a path by a variable": "x=etc; cat /$x/passwd\n",
    "a path by a default": "cat ${x:-/etc/passwd}\n",
    "a path by an end": "x=passwd; cat /etc/${x}\n",
    "a path over two lines": "cat /et\\\nc/passwd\n",
    "the whole machine": "find / -name passwd\n",
    "a folder above all": "cd /; cat etc/passwd\n",
    "a folder above by a variable": 'cat "$PWD/../../etc/passwd"\n',
    "somebody's home": "cat $HOME/.ssh/id_rsa\n",
    "a folder that is home": "cd; cat .ssh/id_rsa\n",
    "what awk reads": "awk 'BEGIN { while ((getline l < \"/etc/passwd\") > 0) print l }'\n",
    "what sed reads": "sed 'r /etc/passwd' words.txt\n",
    "a variable that a comment knows": '# AWS_SECRET=1\necho "$AWS_SECRET"\n',
    "a variable that a comment reads": '# we read AWS_SECRET here\necho "$AWS_SECRET"\n',
    "a variable that is exported": 'export AWS_SECRET; echo "$AWS_SECRET"\n',
    "a variable that is its own": 'AWS_SECRET=$AWS_SECRET; echo "$AWS_SECRET"\n',
    "a variable by its name": 'x=AWS_SECRET; echo "${!x}"\n',
    "a variable by a computed name": 'echo "${!x}"\n',
    "all that begin so": 'echo "${!AWS@}"\n',
    "all of them": "declare -p\n",
    "all that are exported": "export -p\n",
    "all, without a word": "set\n",
    "all, by completion": "compgen -e\n",
    "all, by jq": "jq -n env\n",
    "all, by awk": "awk 'BEGIN { for (n in ENVIRON) print n, ENVIRON[n] }'\n",
}
HIDDEN = UNSEEN | TEXTS | NAMES | REACHED
HONEST = {
    "loops, choices and tests": (
        "for ((i = 0; i < 3; i++)); do if ((i > 1)); then continue; fi; done\nfor x in a b; do [[ $x == b ]] && break; done\n"
        "if [[ $x =~ ^(a|b)$ ]]; then : ; fi\ncase $x in a | b) : ;; *) : ;; esac\nwhile { read -r y; }; do : ; done <<<x\n"
    ),
    "arithmetic": 'n=$(((1 + 2) * 3)); ((n += 1)); a[i+1]=3; a[n]=$((n << 2)); echo "$n ${a[1]}"\n',
    "letters in an expansion": "echo \"${x//$'\\n'/, } ${y%%$'\\t'*}\"\n",
    "quotes in an expansion": 'echo "${x:-\'a\'} ${y:-"b"} ${z#"$x"}"\n',
    "heredocs": "cat <<'END'\n$(as it stands) `here`\nEND\ncat <<-END\n\t$x\n\tEND\n",
    "programs of others": (
        "awk '{ print $(NF), $1 || $2 }' words.txt\nsed -e 's/e/f/g' -e '/^e /d' words.txt\njq '.environment, .env, (.a | tostring)' words.txt\n"
        "awk -F/ '$1 ~ /^a|b$/ { print \"a | b\" }' words.txt\nsort -t / -k 2 words.txt | cut -d/ -f1 | tr / -\n"
    ),
    "what is said": "printf '%s\\n' 'write `jq`'; printf '\\033[1m\\t'; printf \"\\\\x$(printf %x 65)\"\n",
    "traps": "trap 'rm -f \"$file\"' EXIT; trap - INT\n",
    "references": 'set_it() {\n  local -n to=$1\n  to=1\n}\nset_it x\necho "${!a[@]}"\n',
    "scripts of the skill": 'here=$(dirname "$0"); source "$here/lib.sh"; source "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/lib.sh"\n',
    "places": 'work=$(mktemp -d); : >"$work/a"; mv "$work/a" "${TMPDIR:-/tmp}/b"; find "$work" -name "*.x" -exec wc -l {} +\n',
    "variables": 'readonly A=1; local -a B; read -r C <<<x; ((D = 2)); echo "$A ${B[0]} $C $D"\n',
    "text about files": "fail bad-path 'a path is relative: it has no part ..'\n",
}


def errors(root: Path, code: str) -> list[str]:
    for name, text in {"skill.sh": code, "lib.sh": "fail() { exit 1; }\n", "words.txt": "x\n"}.items():
        (root / name).write_text(text)
    return [f"{each.line} {each.rule}: {each.message}" for each in analysis.security(root) if each.level != "note"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "word-count").mkdir()
    return tmp_path / "word-count"


@threat(89)
def test_what_a_script_does_without_saying_it_is_told(root: Path) -> None:
    assert [how for how, code in HIDDEN.items() if not errors(root, code)] == []


def test_what_hides_nothing_is_let_be(root: Path) -> None:
    assert {what: found for what, code in HONEST.items() if (found := errors(root, code))} == {}


def test_a_script_of_brackets_in_brackets_keeps_nobody_busy(root: Path) -> None:
    assert errors(root, "echo " + "$((" * 60 + "1" + "))" * 60 + "\n") == []
