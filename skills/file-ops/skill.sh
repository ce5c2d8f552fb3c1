#!/usr/bin/env bash
# Files and folders in the skill's own storage: one call is one operation.
set -euo pipefail
export LC_ALL=C.UTF-8

here=$(dirname "$0")
source "$here/paths.sh"
source "$here/reading.sh"
source "$here/writing.sh"

# The inputs that are short, one a line, as they are or by default; false is a value, so `//` will not do.
readonly FIELDS='
  def plain: if type == "string" and (explode | any(. < 32 or . == 127)) then error else tostring end;
  def given($name; $default): if has($name) then .[$name] else $default end;
  if type != "object" then error else . end
  | .operation, given("path"; ""), given("to"; ""), given("encoding"; "text"), given("overwrite"; .operation == "write"), given("from_line"; 1),
    given("lines"; 0), given("recursive"; false), given("pattern"; "*"), given("text"; ""), given("regex"; false), given("ignore_case"; false),
    given("limit"; 200)
  | plain'

execute() { # WORK
  local work=$1 fields operation path to encoding overwrite from lines recursive pattern text regex ignore_case limit place target
  fields=$(jq --raw-output "$FIELDS" "$work/inputs") || fail invalid-inputs 'the inputs are one object, whose paths, names and text hold no control characters'
  mapfile -t fields <<<"$fields"
  operation=${fields[0]} path=${fields[1]} to=${fields[2]} encoding=${fields[3]} overwrite=${fields[4]} from=${fields[5]} lines=${fields[6]}
  recursive=${fields[7]} pattern=${fields[8]} text=${fields[9]} regex=${fields[10]} ignore_case=${fields[11]} limit=${fields[12]}
  [[ $from =~ ^[1-9][0-9]{0,8}$ && $lines =~ ^[0-9]{1,9}$ && $limit =~ ^[1-9][0-9]{0,3}$ ]] ||
    fail invalid-inputs 'from_line, lines and limit are whole numbers above 0'
  [[ $encoding == text || $encoding == base64 ]] || fail invalid-inputs 'encoding is text or base64'
  if [[ -z $path && $operation != list && $operation != search ]]; then
    fail missing-input "$operation needs path"
  fi
  place=$(located "$path")
  case $operation in
    read) read_file "$place" "$encoding" "$from" "$lines" "$work" ;;
    list) list_folder "$place" "$recursive" "$pattern" "$limit" ;;
    stat) stat_entry "$place" ;;
    search) search_files "$place" "$pattern" "$text" "$regex" "$ignore_case" "$limit" ;;
    write | append)
      alone
      write_file "$operation" "$place" "$encoding" "$overwrite" "$work"
      ;;
    mkdir)
      alone
      make_folder "$place"
      ;;
    copy | move)
      [[ -n $to ]] || fail missing-input "$operation needs to"
      target=$(located "$to")
      alone
      transfer "$operation" "$place" "$target" "$overwrite"
      ;;
    delete)
      alone
      delete_entry "$place" "$recursive"
      ;;
    *) fail invalid-inputs 'operation is one of read, write, append, list, stat, search, mkdir, copy, move, delete' ;;
  esac
}

[[ -d ${SKILL_STORAGE:-} ]] || fail no-storage 'this skill runs without storage: its permissions ask for it, so its runtime has to give it'
scratch=$(mktemp --directory)
trap 'rm --recursive --force "$scratch"' EXIT
cat >"$scratch/inputs"
execute "$scratch"
