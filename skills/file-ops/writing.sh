# shellcheck shell=bash
# What changes the storage. Each function runs `alone`.

write_file() { # OPERATION PLACE ENCODING OVERWRITE WORK
  local operation=$1 place=$2 encoding=$3 overwrite=$4 content=$5/content fresh bytes
  [[ ! -d $place ]] || fail not-a-file "$(shown "$place") is a folder"
  [[ $operation == append || $overwrite == true || ! -e $place ]] || fail exists "there is a $(shown "$place") already"
  jq --exit-status '.content | type == "string"' "$5/inputs" >/dev/null || fail missing-input "$operation needs content, as a string"
  jq --join-output .content "$5/inputs" >"$content"
  if [[ $encoding == base64 ]]; then
    mv "$content" "$content.base64"
    base64 --decode "$content.base64" >"$content" 2>/dev/null || fail bad-content 'content is not base64'
  fi
  bytes=$(stat --format=%s "$content")
  if [[ $operation == append && -f $place ]]; then
    bytes=$((bytes + $(stat --format=%s "$place")))
  fi
  ((bytes <= MAX_FILE_BYTES)) || fail too-large "the file would have $bytes bytes; at most $MAX_FILE_BYTES are allowed"
  room "$(stat --format=%s "$content")"
  # Written beside its place and moved there: a call that is cut short leaves the old file whole.
  find "$SKILL_STORAGE" -maxdepth 1 -name '.file-ops.*' -delete
  fresh=$(mktemp "$SKILL_STORAGE/.file-ops.XXXXXXXX")
  if [[ $operation == append && -f $place ]]; then
    cat "$place" >"$fresh"
  fi
  cat "$content" >>"$fresh"
  mkdir --parents "$(dirname "$place")"
  mv --force --no-target-directory "$fresh" "$place"
  jq --null-input --compact-output --arg path "$(shown "$place")" --argjson bytes "$bytes" --arg sha256 "$(digest "$place")" \
    '{path: $path, bytes: $bytes, sha256: $sha256}'
}

make_folder() { # PLACE
  [[ ! -f $1 ]] || fail exists "there is a file $(shown "$1") already"
  room 0
  mkdir --parents "$1"
  made "$1"
}

transfer() { # OPERATION PLACE TARGET OVERWRITE
  local operation=$1 place=$2 target=$3
  there "$place"
  [[ $place != "$SKILL_STORAGE" && $target/ != "$place"/* ]] || fail bad-path "$(shown "$place") cannot go to a place in itself"
  if [[ -e $target ]]; then
    [[ $4 == true ]] || fail exists "there is a $(shown "$target") already: set overwrite to replace it"
    [[ -f $place && -f $target ]] || fail exists "there is a $(shown "$target") already, and only a file replaces a file"
  fi
  if [[ $operation == copy ]]; then
    room "$(du --summarize --bytes "$place" | cut --fields=1)" "$(find "$place" | wc --lines)"
  fi
  mkdir --parents "$(dirname "$target")"
  if [[ $operation == copy ]]; then
    cp --recursive --no-dereference --no-target-directory "$place" "$target"
  else
    mv --force --no-target-directory "$place" "$target"
  fi
  made "$target"
}

delete_entry() { # PLACE RECURSIVE
  local count
  there "$1"
  [[ $1 != "$SKILL_STORAGE" ]] || fail bad-path 'the storage itself cannot be deleted'
  count=$(find "$1" | wc --lines)
  ((count == 1)) || [[ $2 == true ]] || fail not-empty "$(shown "$1") holds $((count - 1)) files and folders: set recursive to delete them all"
  rm --recursive --force "$1"
  jq --null-input --compact-output --arg path "$(shown "$1")" --argjson deleted "$count" '{path: $path, deleted: $deleted}'
}

# Says what is at a place now.
made() { # PLACE
  local type='folder'
  if [[ -f $1 ]]; then
    type='file'
  fi
  jq --null-input --compact-output --arg path "$(shown "$1")" --arg type "$type" '{path: $path, type: $type}'
}

# Whether the storage can take so much more.
room() { # BYTES [ENTRIES]
  local used entries
  used=$(du --summarize --bytes "$SKILL_STORAGE" | cut --fields=1)
  ((used + $1 <= MAX_TOTAL_BYTES)) || fail storage-full "the storage holds $used of $MAX_TOTAL_BYTES bytes: delete something first"
  entries=$(find "$SKILL_STORAGE" -mindepth 1 | wc --lines)
  ((entries + ${2:-1} <= MAX_ENTRIES)) || fail storage-full "the storage holds $entries of $MAX_ENTRIES files and folders: delete something first"
}
