# shellcheck shell=bash
# Where a path lies in the storage, and what is wrong with one.

readonly MAX_PATH=1024 MAX_NAME=255 # bytes

fail() { # CODE MESSAGE
  jq --null-input --compact-output --arg code "$1" --arg message "$2" '{code: $code, message: $message}' >&2
  exit 1
}

# The place of PATH, which need not exist; the storage itself for an empty path and for `.`. No part of it is a link.
located() { # PATH
  local LC_ALL=C part place=$SKILL_STORAGE
  local -a parts
  [[ $1 != /* ]] || fail bad-path 'a path is relative to the storage: it does not start with /'
  ((${#1} <= MAX_PATH)) || fail bad-path "a path has at most $MAX_PATH bytes"
  IFS=/ read -r -a parts <<<"$1"
  for part in "${parts[@]}"; do
    case $part in
      '' | .) continue ;;
      ..) fail bad-path 'a path stays in the storage: it has no part ..' ;;
      .file-ops.*) fail bad-path 'names that start with .file-ops. are for this skill itself' ;;
    esac
    ((${#part} <= MAX_NAME)) || fail bad-path "a name has at most $MAX_NAME bytes"
    [[ ! -f $place ]] || fail not-a-folder "$(shown "$place") is a file, so nothing lies below it"
    place+=/$part
    [[ ! -L $place ]] || fail link-refused "$(shown "$place") is a link, and links are not followed"
  done
  printf '%s' "$place"
}

# The path of a place, as callers know it.
shown() { # PLACE
  local path=${1#"$SKILL_STORAGE"}
  path=${path#/}
  printf '%s' "${path:-.}"
}

there() { # PLACE
  [[ -e $1 ]] || fail not-found "there is no $(shown "$1")"
}

file_there() { # PLACE
  there "$1"
  [[ -f $1 ]] || fail not-a-file "$(shown "$1") is a folder"
}

# Whoever changes the storage does so alone, up to the end of its process; others wait for so many seconds.
alone() {
  exec 9<"$SKILL_STORAGE"
  flock --timeout=15 9 || fail busy 'other calls kept the storage for too long: try again'
}
