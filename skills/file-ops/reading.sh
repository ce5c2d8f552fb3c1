# shellcheck shell=bash
# What looks at the storage and leaves it as it is.

readonly MAX_OUTPUT=8000000 # bytes of a reply, a little less than may be sent
readonly MAX_LINE=3000      # bytes of a line that are looked at, its path among them

# What `find` tells of entries, as JSON. $under: the path of the folder that theirs are relative to.
readonly ENTRIES='
  def entry: split("\t") | {path: ($under + .[3]), type: {f: "file", d: "folder"}[.[0]], modified: (.[2] | tonumber | floor | todate)}
    + if .[0] == "f" then {bytes: (.[1] | tonumber)} else {} end;
  [split("\n")[] | select(. != "") | entry] | sort_by(.path)'

read_file() { # PLACE ENCODING FROM LINES WORK
  local place=$1 encoding=$2 from=$3 lines=$4 work=$5 last='$' total
  file_there "$place"
  if [[ $encoding == base64 ]]; then
    base64 --wrap=0 "$place" >"$work/content"
  else
    if ((lines > 0)); then
      last=$((from + lines - 1))
    fi
    sed --quiet "${from},${last}p" "$place" >"$work/content"
  fi
  total=$(grep --text --count '' "$place") || total=0
  jq --null-input --compact-output --rawfile content "$work/content" --arg path "$(shown "$place")" --arg encoding "$encoding" \
    --argjson bytes "$(stat --format=%s "$place")" --argjson lines "$total" \
    '{path: $path, content: $content, encoding: $encoding, bytes: $bytes} + if $encoding == "text" then {lines: $lines} else {} end' >"$work/reply"
  # What is no UTF-8 would have come out as something else.
  jq --join-output .content "$work/reply" | cmp --silent - "$work/content" ||
    fail not-text "$(shown "$place") is not text in UTF-8: read it with encoding base64"
  (($(stat --format=%s "$work/reply") <= MAX_OUTPUT)) ||
    fail too-large "$(shown "$place") is too large for one reply: read it in parts with from_line and lines"
  cat "$work/reply"
}

list_folder() { # PLACE RECURSIVE PATTERN LIMIT
  local place=$1 under
  local -a depth=(-maxdepth 1)
  there "$place"
  [[ -d $place ]] || fail not-a-folder "$(shown "$place") is a file"
  if [[ $2 == true ]]; then
    depth=()
  fi
  under=${place#"$SKILL_STORAGE"}/
  find "$place" -mindepth 1 "${depth[@]}" ! -name '.file-ops.*' -name "$3" '(' -type f -o -type d ')' -printf '%y\t%s\t%T@\t%P\n' |
    jq --raw-input --slurp --compact-output --arg under "${under#/}" --arg path "$(shown "$place")" --argjson limit "$4" \
      "$ENTRIES | {path: \$path, entries: .[:\$limit], total: length, truncated: (length > \$limit)}"
}

stat_entry() { # PLACE
  local place=$1 sum=''
  there "$place"
  if [[ -f $place ]]; then
    sum=$(digest "$place")
  fi
  find "$place" -maxdepth 0 -printf '%y\t%s\t%T@\t\n' |
    jq --raw-input --slurp --compact-output --arg under "$(shown "$place")" --arg sha256 "$sum" \
      "$ENTRIES | .[0] + if \$sha256 == \"\" then {} else {sha256: \$sha256} end"
}

digest() { # FILE
  sha256sum <"$1" | cut --delimiter=' ' --fields=1
}

search_files() { # PLACE PATTERN TEXT REGEX IGNORE_CASE LIMIT
  local place=$1 text=$3 limit=$6 status=0
  local -a options=(--fixed-strings)
  there "$place"
  [[ -n $text ]] || fail missing-input 'search needs text'
  if [[ $4 == true ]]; then
    options=(--extended-regexp)
  fi
  if [[ $5 == true ]]; then
    options+=(--ignore-case)
  fi
  grep "${options[@]}" --regexp="$text" /dev/null 2>/dev/null || status=$?
  ((status == 1)) || fail bad-pattern 'text is not a regular expression'
  # `head` may end before the others, which is no failure of theirs.
  {
    find "$place" -type f ! -name '.file-ops.*' -name "$2" -print0 | sort --zero-terminated |
      xargs --null --no-run-if-empty grep "${options[@]}" --line-number --with-filename --null --binary-files=without-match --regexp="$text" -- |
      cut --bytes="-$MAX_LINE" | head --lines="$((limit + 1))" || true
  } |
    jq --raw-input --slurp --compact-output --arg root "$SKILL_STORAGE/" --argjson limit "$limit" '
      def match: split("\u0000") | (.[1] | index(":")) as $colon
        | {path: .[0] | ltrimstr($root), line: (.[1][:$colon] | tonumber), text: (.[1][$colon + 1:][:400])};
      [split("\n")[] | select(. != "") | match] | {matches: .[:$limit], truncated: (length > $limit)}'
}
