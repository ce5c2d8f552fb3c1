# shellcheck shell=bash
# What is refused: paths that lead out, and more than fits. Each test has a storage of its own.

SKILL_STORAGE=$(mktemp --directory)
export SKILL_STORAGE MAX_FILE_BYTES MAX_TOTAL_BYTES MAX_ENTRIES

write() { # PATH
  printf '{"operation": "write", "path": "%s", "content": "0123456789"}' "$1"
}

test_paths_stay_in_the_storage() {
  expect_error "$(write ../x)" bad-path 'a path stays in the storage: it has no part ..'
  expect_error "$(write a/../../x)" bad-path
  expect_error "$(write /etc/x)" bad-path 'a path is relative to the storage: it does not start with /'
  expect_error '{"operation": "copy", "path": "x", "to": "../x"}' bad-path
  expect_error "$(write .file-ops.x)" bad-path 'names that start with .file-ops. are for this skill itself'
  expect_error '{"operation": "list", "path": "..", "recursive": true}' bad-path
  [[ -z $(ls "$SKILL_STORAGE") ]]
}

test_links_are_refused_wherever_they_are() {
  local outside
  outside=$(mktemp --directory)
  printf 'kept' >"$outside/file"
  ln --symbolic "$outside" "$SKILL_STORAGE/way"
  ln --symbolic "$outside/file" "$SKILL_STORAGE/file"
  expect_error '{"operation": "read", "path": "way/file"}' link-refused 'way is a link, and links are not followed'
  expect_error '{"operation": "read", "path": "file"}' link-refused 'file is a link, and links are not followed'
  expect_error "$(write way/new)" link-refused
  expect_error "$(write file)" link-refused
  expect_error '{"operation": "search", "path": "way", "text": "kept"}' link-refused
  expect_outputs '{"operation": "search", "text": "kept"}' '{"matches": [], "truncated": false}'
  expect_outputs '{"operation": "list", "recursive": true}' '{"path": ".", "entries": [], "total": 0, "truncated": false}'
  [[ $(<"$outside/file") == kept ]]
}

test_paths_and_names_have_an_end() {
  local name path
  name=$(printf '%0255d' 1)
  printf '%s' "$(write "$name")" | bash "$SKILL_ENTRYPOINT" >/dev/null
  [[ -f $SKILL_STORAGE/$name ]]
  expect_error "$(write "${name}1")" bad-path 'a name has at most 255 bytes'
  path=$(printf '%0199d/' 1 2 3 4 5)
  expect_error "$(write "${path}${name::25}")" bad-path 'a path has at most 1024 bytes'
  printf '%s' "$(write "${path}${name::24}")" | bash "$SKILL_ENTRYPOINT" >/dev/null
  expect_error "$(write "$(printf 'ä%.0s' {1..128})")" bad-path 'a name has at most 255 bytes'
}

test_control_characters_are_refused() {
  local message='the inputs are one object, whose paths, names and text hold no control characters'
  expect_error '{"operation": "write", "path": "a\nb", "content": "x"}' invalid-inputs "$message"
  expect_error '{"operation": "write", "path": "a\u0000b", "content": "x"}' invalid-inputs "$message"
  expect_error '{"operation": "write", "path": "a\u007fb", "content": "x"}' invalid-inputs "$message"
  expect_error '{"operation": "search", "text": "a\nb"}' invalid-inputs "$message"
  expect_error '[]' invalid-inputs "$message"
  printf '%s' "$(write 'a b~')" | bash "$SKILL_ENTRYPOINT" >/dev/null
  [[ -f $SKILL_STORAGE/a\ b~ ]]
}

test_numbers_are_whole_and_above_zero() {
  local message='from_line, lines and limit are whole numbers above 0'
  expect_error '{"operation": "read", "path": "x", "from_line": 0}' invalid-inputs "$message"
  expect_error '{"operation": "read", "path": "x", "lines": "$(date)"}' invalid-inputs "$message"
  expect_error '{"operation": "list", "limit": 1.5}' invalid-inputs "$message"
}

test_says_what_is_missing() {
  expect_error '{"operation": "read"}' missing-input 'read needs path'
  expect_error '{"operation": "delete", "path": ""}' missing-input 'delete needs path'
  expect_error '{"operation": "burn", "path": "x"}' invalid-inputs
  SKILL_STORAGE=$SKILL_STORAGE/nothing expect_error '{"operation": "list"}' no-storage
}

test_a_file_has_a_limit() {
  MAX_FILE_BYTES=10
  printf '%s' "$(write x)" | bash "$SKILL_ENTRYPOINT" >/dev/null
  expect_error '{"operation": "append", "path": "x", "content": "y"}' too-large 'the file would have 11 bytes; at most 10 are allowed'
  MAX_FILE_BYTES=9
  expect_error "$(write y)" too-large 'the file would have 10 bytes; at most 9 are allowed'
  [[ $(<"$SKILL_STORAGE/x") == 0123456789 && ! -e $SKILL_STORAGE/y ]]
}

test_the_storage_has_a_limit() {
  local used
  printf '%s' "$(write x)" | bash "$SKILL_ENTRYPOINT" >/dev/null
  used=$(du --summarize --bytes "$SKILL_STORAGE" | cut --fields=1)
  MAX_TOTAL_BYTES=$((used + 9))
  expect_error "$(write y)" storage-full "the storage holds $used of $MAX_TOTAL_BYTES bytes: delete something first"
  expect_error '{"operation": "copy", "path": "x", "to": "y"}' storage-full
  MAX_TOTAL_BYTES=$((used + 10))
  printf '{"operation": "copy", "path": "x", "to": "y"}' | bash "$SKILL_ENTRYPOINT" >/dev/null
}

test_the_number_of_entries_has_a_limit() {
  mkdir "$SKILL_STORAGE/folder" "$SKILL_STORAGE/folder/inner"
  MAX_ENTRIES=3
  expect_error '{"operation": "copy", "path": "folder", "to": "other"}' storage-full 'the storage holds 2 of 3 files and folders: delete something first'
  printf '{"operation": "mkdir", "path": "third"}' | bash "$SKILL_ENTRYPOINT" >/dev/null
  expect_error '{"operation": "mkdir", "path": "fourth"}' storage-full
  expect_error "$(write fourth)" storage-full
  expect_error '{"operation": "copy", "path": "folder/inner", "to": "other"}' storage-full
}

test_waits_for_others() {
  local said
  exec 8<"$SKILL_STORAGE"
  flock 8
  said=$({ sleep 0.3 && flock --unlock 8; } & printf '%s' "$(write x)" | bash "$SKILL_ENTRYPOINT")
  [[ $(jq .bytes <<<"$said") == 10 ]]
}
