# Waits for calls with Bash started and nothing of the skill's run: `bash -c "$(<hold.sh)" skill.sh`, held by command.py.
# Of each call a line with two lengths, the context and the inputs come on stdin. A fork of this Bash reads the script and runs it from top to
# bottom, as `bash skill.sh` would; its status goes to descriptor 200.
shopt -u sourcepath # the file here, and none on PATH
export SKILL_CONTEXT
while read -r said given && IFS= read -r -N "$said" SKILL_CONTEXT && IFS= read -r -N "$given" inputs; do
  # shellcheck source=/dev/null
  (unset said given inputs; SECONDS=0; source "$0") <<<"$inputs" 200>&-
  printf '%s\n' "$?" >&200
  unset inputs
done
