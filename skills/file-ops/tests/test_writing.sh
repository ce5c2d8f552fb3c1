# shellcheck shell=bash
# Each test has a storage of its own, in the folder for temporary files.

SKILL_STORAGE=$(mktemp --directory)
export SKILL_STORAGE
printf 'old' >"$SKILL_STORAGE/old.txt"

outputs_of() { # INPUTS
  printf '%s' "$1" | bash "$SKILL_ENTRYPOINT"
}

test_write_makes_a_file_and_its_folders() {
  expect_outputs '{"operation": "write", "path": "a/b/c.txt", "content": "ä\n"}' \
    "$(printf '{"path": "a/b/c.txt", "bytes": 3, "sha256": "%s"}' "$(printf 'ä\n' | sha256sum | cut --bytes=-64)")"
  [[ $(<"$SKILL_STORAGE/a/b/c.txt") == ä ]]
  [[ -z $(find "$SKILL_STORAGE" -name '.file-ops.*') ]]
}

test_write_replaces_unless_told_otherwise() {
  outputs_of '{"operation": "write", "path": "old.txt", "content": "new"}'
  [[ $(<"$SKILL_STORAGE/old.txt") == new ]]
  expect_error '{"operation": "write", "path": "old.txt", "content": "newer", "overwrite": false}' exists 'there is a old.txt already'
  [[ $(<"$SKILL_STORAGE/old.txt") == new ]]
  outputs_of '{"operation": "write", "path": "fresh.txt", "content": "x", "overwrite": false}'
  [[ $(<"$SKILL_STORAGE/fresh.txt") == x ]]
}

test_write_takes_any_bytes() {
  outputs_of '{"operation": "write", "path": "data", "content": "/wAK", "encoding": "base64"}'
  [[ $(sha256sum <"$SKILL_STORAGE/data") == "$(printf '\377\0\n' | sha256sum)" ]]
  outputs_of '{"operation": "write", "path": "text", "content": "a\u0000b"}'
  [[ $(sha256sum <"$SKILL_STORAGE/text") == "$(printf 'a\0b' | sha256sum)" ]]
  expect_error '{"operation": "write", "path": "data", "content": "?", "encoding": "base64"}' bad-content 'content is not base64'
  expect_error '{"operation": "write", "path": "data", "content": "x", "encoding": "hex"}' invalid-inputs 'encoding is text or base64'
}

test_write_needs_content_and_a_place_for_a_file() {
  expect_error '{"operation": "write", "path": "x"}' missing-input 'write needs content, as a string'
  expect_error '{"operation": "write", "path": "x", "content": {"a": 1}}' missing-input
  mkdir "$SKILL_STORAGE/folder"
  expect_error '{"operation": "write", "path": "folder", "content": "x"}' not-a-file 'folder is a folder'
  expect_error '{"operation": "append", "path": "folder", "content": "x"}' not-a-file
  expect_error '{"operation": "write", "path": "old.txt/x", "content": "x"}' not-a-folder 'old.txt is a file, so nothing lies below it'
}

test_append_adds_to_the_end() {
  expect_outputs '{"operation": "append", "path": "old.txt", "content": "er\n"}' \
    "$(printf '{"path": "old.txt", "bytes": 6, "sha256": "%s"}' "$(printf 'older\n' | sha256sum | cut --bytes=-64)")"
  outputs_of '{"operation": "append", "path": "log/fresh.txt", "content": "first\n"}'
  outputs_of '{"operation": "append", "path": "log/fresh.txt", "content": "c2Vjb25k", "encoding": "base64"}'
  [[ $(<"$SKILL_STORAGE/log/fresh.txt") == $'first\nsecond' ]]
}

test_calls_at_once_lose_nothing() {
  local number
  for number in 1 2 3 4 5 6; do
    outputs_of "{\"operation\": \"append\", \"path\": \"log\", \"content\": \"$number\\n\"}" >/dev/null &
  done
  wait
  [[ $(sort "$SKILL_STORAGE/log" | tr -d '\n') == 123456 ]]
}

test_what_an_ended_call_left_is_swept() {
  : >"$SKILL_STORAGE/.file-ops.left"
  outputs_of '{"operation": "write", "path": "x", "content": ""}'
  [[ ! -e $SKILL_STORAGE/.file-ops.left ]]
}

test_mkdir_makes_folders() {
  expect_outputs '{"operation": "mkdir", "path": "a/b"}' '{"path": "a/b", "type": "folder"}'
  expect_outputs '{"operation": "mkdir", "path": "a/b"}' '{"path": "a/b", "type": "folder"}'
  [[ -d $SKILL_STORAGE/a/b ]]
  expect_error '{"operation": "mkdir", "path": "old.txt"}' exists 'there is a file old.txt already'
}

test_copy_keeps_the_old() {
  expect_outputs '{"operation": "copy", "path": "old.txt", "to": "a/new.txt"}' '{"path": "a/new.txt", "type": "file"}'
  expect_outputs '{"operation": "copy", "path": "a", "to": "b"}' '{"path": "b", "type": "folder"}'
  [[ $(<"$SKILL_STORAGE/old.txt") == old && $(<"$SKILL_STORAGE/a/new.txt") == old && $(<"$SKILL_STORAGE/b/new.txt") == old ]]
}

test_move_takes_the_old_away() {
  expect_outputs '{"operation": "move", "path": "old.txt", "to": "a/new.txt"}' '{"path": "a/new.txt", "type": "file"}'
  expect_outputs '{"operation": "move", "path": "a", "to": "c/d"}' '{"path": "c/d", "type": "folder"}'
  [[ ! -e $SKILL_STORAGE/old.txt && ! -e $SKILL_STORAGE/a && $(<"$SKILL_STORAGE/c/d/new.txt") == old ]]
}

test_copy_and_move_replace_only_a_file_when_told() {
  printf 'other' >"$SKILL_STORAGE/other.txt"
  mkdir "$SKILL_STORAGE/folder"
  expect_error '{"operation": "copy", "path": "old.txt", "to": "other.txt"}' exists 'there is a other.txt already: set overwrite to replace it'
  expect_error '{"operation": "move", "path": "old.txt", "to": "folder", "overwrite": true}' exists \
    'there is a folder already, and only a file replaces a file'
  expect_error '{"operation": "move", "path": "folder", "to": "old.txt", "overwrite": true}' exists
  outputs_of '{"operation": "copy", "path": "old.txt", "to": "other.txt", "overwrite": true}'
  [[ $(<"$SKILL_STORAGE/other.txt") == old ]]
  printf 'third' >"$SKILL_STORAGE/third.txt"
  outputs_of '{"operation": "move", "path": "third.txt", "to": "old.txt", "overwrite": true}'
  [[ $(<"$SKILL_STORAGE/old.txt") == third && ! -e $SKILL_STORAGE/third.txt ]]
}

test_copy_and_move_stay_out_of_themselves() {
  mkdir "$SKILL_STORAGE/folder" "$SKILL_STORAGE/folder-2"
  expect_error '{"operation": "move", "path": "folder", "to": "folder/inner"}' bad-path 'folder cannot go to a place in itself'
  expect_error '{"operation": "copy", "path": "folder", "to": "folder"}' bad-path
  expect_error '{"operation": "copy", "path": ".", "to": "all"}' bad-path '. cannot go to a place in itself'
  outputs_of '{"operation": "move", "path": "folder", "to": "folder-2/inner"}'
  [[ -d $SKILL_STORAGE/folder-2/inner ]]
  expect_error '{"operation": "copy", "path": "nothing", "to": "x"}' not-found 'there is no nothing'
  expect_error '{"operation": "move", "path": "old.txt"}' missing-input 'move needs to'
}

test_delete_takes_a_file_or_an_empty_folder() {
  mkdir "$SKILL_STORAGE/folder"
  expect_outputs '{"operation": "delete", "path": "old.txt"}' '{"path": "old.txt", "deleted": 1}'
  expect_outputs '{"operation": "delete", "path": "folder"}' '{"path": "folder", "deleted": 1}'
  [[ ! -e $SKILL_STORAGE/old.txt && ! -e $SKILL_STORAGE/folder ]]
  expect_error '{"operation": "delete", "path": "old.txt"}' not-found 'there is no old.txt'
}

test_delete_takes_a_full_folder_only_when_told() {
  mkdir --parents "$SKILL_STORAGE/folder/inner"
  : >"$SKILL_STORAGE/folder/file"
  expect_error '{"operation": "delete", "path": "folder"}' not-empty 'folder holds 2 files and folders: set recursive to delete them all'
  [[ -e $SKILL_STORAGE/folder/file ]]
  expect_outputs '{"operation": "delete", "path": "folder", "recursive": true}' '{"path": "folder", "deleted": 3}'
  [[ ! -e $SKILL_STORAGE/folder ]]
  expect_error '{"operation": "delete", "path": ".", "recursive": true}' bad-path 'the storage itself cannot be deleted'
  [[ -e $SKILL_STORAGE/old.txt ]]
}
