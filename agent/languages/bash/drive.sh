# Runs one test: `bash drive.sh FILE FUNCTION`, in the skill's folder; what fails, and where, goes to descriptor 199.
set -Eeuo pipefail

# The two functions that tests are given.
expect_outputs() { # INPUTS OUTPUTS: skill.sh answers so
  local outputs
  outputs=$(printf '%s' "$1" | bash "$SKILL_ENTRYPOINT") || skillops_failed "expected outputs, got status $?"
  skillops_same "$outputs" "$2" || skillops_failed "expected $2, got $outputs"
}

expect_error() { # INPUTS CODE [MESSAGE]: skill.sh ends with that error
  local said told code
  said=$(printf '%s' "$1" | bash "$SKILL_ENTRYPOINT" 2>&1 >/dev/null) && skillops_failed "expected the error $2, got outputs"
  said=$(tail -n 1 <<<"$said")
  # Of one jq, as each takes 25 ms to start where it is of version 1.6: the code on a line of its own, and the message.
  told=$(jq --slurp --raw-output 'if length == 1 then .[0] | (.code | tojson), .message else error end' 2>/dev/null <<<"$said") ||
    skillops_failed "expected the error $2, got on stderr: $said"
  code=${told%%$'\n'*}
  [[ $code == "\"$2\"" ]] || skillops_failed "expected the error $2, got ${code//\"/}"
  [[ $# -lt 3 || ${told#*$'\n'} == "$3" ]] || skillops_failed "expected the message $3, got $said"
}

skillops_same() { # two JSON values are one
  jq --exit-status --null-input --slurpfile a <(printf '%s' "$1") --slurpfile b <(printf '%s' "$2") \
    '($a | length) == 1 and $a == $b' >/dev/null 2>&1
}

skillops_failed() {
  skillops_told "$1" 0
  trap - ERR
  exit 1
}

skillops_told() { # MESSAGE LINE: with the line of the test file that led here
  local frame line=$2
  for frame in "${!BASH_SOURCE[@]}"; do
    if [[ ${BASH_SOURCE[frame]} == "$SKILLOPS_FILE" ]]; then
      [[ $frame == 1 ]] || line=${BASH_LINENO[frame - 1]}
      break
    fi
  done
  printf '%s\0%s\0' "$line" "$1" >&199
}

readonly SKILLOPS_FILE=$1
trap 'skillops_told "\`$BASH_COMMAND\` ended with status $?" "$LINENO"' ERR
# shellcheck source=/dev/null
source "$SKILLOPS_FILE"
"$2"
