# shellcheck shell=bash
# Each test has a storage of its own, in the folder for temporary files.

SKILL_STORAGE=$(mktemp --directory)
export SKILL_STORAGE
mkdir "$SKILL_STORAGE/notes"
printf 'milk\nbread\nbutter' >"$SKILL_STORAGE/notes/shopping.txt"
printf 'Bread is baked.\n' >"$SKILL_STORAGE/baking.md"
touch --date=@1743690600.75 "$SKILL_STORAGE"/* "$SKILL_STORAGE"/notes/*
WHEN=2025-04-03T14:30:00Z

test_read_gives_the_text_and_counts_its_lines() {
  expect_outputs '{"operation": "read", "path": "notes/shopping.txt"}' \
    '{"path": "notes/shopping.txt", "content": "milk\nbread\nbutter", "encoding": "text", "bytes": 17, "lines": 3}'
}

test_read_gives_a_part() {
  expect_outputs '{"operation": "read", "path": "notes/shopping.txt", "from_line": 2, "lines": 1}' \
    '{"path": "notes/shopping.txt", "content": "bread\n", "encoding": "text", "bytes": 17, "lines": 3}'
  expect_outputs '{"operation": "read", "path": "notes/shopping.txt", "from_line": 2}' \
    '{"path": "notes/shopping.txt", "content": "bread\nbutter", "encoding": "text", "bytes": 17, "lines": 3}'
  expect_outputs '{"operation": "read", "path": "notes/shopping.txt", "lines": 2}' \
    '{"path": "notes/shopping.txt", "content": "milk\nbread\n", "encoding": "text", "bytes": 17, "lines": 3}'
  expect_outputs '{"operation": "read", "path": "notes/shopping.txt", "from_line": 9}' \
    '{"path": "notes/shopping.txt", "content": "", "encoding": "text", "bytes": 17, "lines": 3}'
}

test_read_of_an_empty_file() {
  : >"$SKILL_STORAGE/empty"
  expect_outputs '{"operation": "read", "path": "empty"}' '{"path": "empty", "content": "", "encoding": "text", "bytes": 0, "lines": 0}'
}

test_read_gives_bytes_in_base64() {
  printf '\377\0\n' >"$SKILL_STORAGE/data"
  expect_outputs '{"operation": "read", "path": "data", "encoding": "base64"}' '{"path": "data", "content": "/wAK", "encoding": "base64", "bytes": 3}'
  expect_error '{"operation": "read", "path": "data"}' not-text 'data is not text in UTF-8: read it with encoding base64'
}

test_read_refuses_what_is_no_file() {
  expect_error '{"operation": "read", "path": "nothing"}' not-found 'there is no nothing'
  expect_error '{"operation": "read", "path": "notes"}' not-a-file 'notes is a folder'
  expect_error '{"operation": "read", "path": "baking.md/x"}' not-a-folder 'baking.md is a file, so nothing lies below it'
}

test_read_of_what_no_reply_can_hold() {
  head --bytes=1400000 /dev/zero >"$SKILL_STORAGE/zeros"
  expect_error '{"operation": "read", "path": "zeros"}' too-large 'zeros is too large for one reply: read it in parts with from_line and lines'
}

test_list_tells_of_a_folder() {
  expect_outputs '{"operation": "list", "path": "notes"}' "$(printf '{"path": "notes", "total": 1, "truncated": false, "entries": [
    {"path": "notes/shopping.txt", "type": "file", "bytes": 17, "modified": "%s"}]}' "$WHEN")"
}

test_list_tells_of_the_whole_storage_by_path() {
  : >"$SKILL_STORAGE/.file-ops.left"
  local outputs
  outputs=$(printf '{"operation": "list", "recursive": true}' | bash "$SKILL_ENTRYPOINT" | jq --compact-output '[.path, [.entries[] | [.path, .type]]]')
  [[ $outputs == '[".",[["baking.md","file"],["notes","folder"],["notes/shopping.txt","file"]]]' ]]
  outputs=$(printf '{"operation": "list"}' | bash "$SKILL_ENTRYPOINT" | jq --compact-output '[.entries[].path]')
  [[ $outputs == '["baking.md","notes"]' ]]
}

test_list_by_pattern_and_limit() {
  local outputs
  : >"$SKILL_STORAGE/notes/b.txt"
  outputs=$(printf '{"operation": "list", "recursive": true, "pattern": "*.txt"}' | bash "$SKILL_ENTRYPOINT" | jq --compact-output '[.entries[].path]')
  [[ $outputs == '["notes/b.txt","notes/shopping.txt"]' ]]
  outputs=$(printf '{"operation": "list", "recursive": true, "limit": 2}' | bash "$SKILL_ENTRYPOINT" |
    jq --compact-output '[[.entries[].path], .total, .truncated]')
  [[ $outputs == '[["baking.md","notes"],4,true]' ]]
  outputs=$(printf '{"operation": "list", "recursive": true, "limit": 4}' | bash "$SKILL_ENTRYPOINT" | jq .truncated)
  [[ $outputs == false ]]
}

test_list_refuses_what_is_no_folder() {
  expect_error '{"operation": "list", "path": "nothing"}' not-found 'there is no nothing'
  expect_error '{"operation": "list", "path": "baking.md"}' not-a-folder 'baking.md is a file'
}

test_stat_of_a_file_and_a_folder() {
  touch --date=@1743690600 "$SKILL_STORAGE/notes" "$SKILL_STORAGE"
  expect_outputs '{"operation": "stat", "path": "baking.md"}' "$(printf '{"path": "baking.md", "type": "file", "bytes": 16, "modified": "%s",
    "sha256": "%s"}' "$WHEN" "$(sha256sum "$SKILL_STORAGE/baking.md" | cut --bytes=-64)")"
  expect_outputs '{"operation": "stat", "path": "./notes//"}' "$(printf '{"path": "notes", "type": "folder", "modified": "%s"}' "$WHEN")"
  expect_outputs '{"operation": "stat", "path": "."}' "$(printf '{"path": ".", "type": "folder", "modified": "%s"}' "$WHEN")"
  expect_error '{"operation": "stat", "path": "x"}' not-found 'there is no x'
}

test_search_finds_lines() {
  expect_outputs '{"operation": "search", "text": "bread"}' \
    '{"matches": [{"path": "notes/shopping.txt", "line": 2, "text": "bread"}], "truncated": false}'
  expect_outputs '{"operation": "search", "text": "bread", "ignore_case": true}' '{"matches": [{"path": "baking.md", "line": 1, "text": "Bread is baked."},
    {"path": "notes/shopping.txt", "line": 2, "text": "bread"}], "truncated": false}'
  expect_outputs '{"operation": "search", "path": "notes/shopping.txt", "text": "milk"}' \
    '{"matches": [{"path": "notes/shopping.txt", "line": 1, "text": "milk"}], "truncated": false}'
  expect_outputs '{"operation": "search", "text": "b.*d"}' '{"matches": [], "truncated": false}'
}

test_search_by_regular_expression_and_name() {
  expect_outputs '{"operation": "search", "text": "^b(u|r)", "regex": true, "pattern": "*.txt"}' '{"matches": [
    {"path": "notes/shopping.txt", "line": 2, "text": "bread"}, {"path": "notes/shopping.txt", "line": 3, "text": "butter"}], "truncated": false}'
  expect_outputs '{"operation": "search", "text": "b", "pattern": "*.none"}' '{"matches": [], "truncated": false}'
  expect_error '{"operation": "search", "text": "(b", "regex": true}' bad-pattern 'text is not a regular expression'
}

test_search_gives_so_many_and_the_start_of_long_lines() {
  local long
  expect_outputs '{"operation": "search", "text": "b", "limit": 1}' '{"matches": [{"path": "baking.md", "line": 1, "text": "Bread is baked."}], "truncated": true}'
  expect_outputs '{"operation": "search", "path": "notes", "text": "b", "limit": 2}' '{"matches": [
    {"path": "notes/shopping.txt", "line": 2, "text": "bread"}, {"path": "notes/shopping.txt", "line": 3, "text": "butter"}], "truncated": false}'
  long=$(printf '%04000d' 7)
  printf 'a: b:%s\n' "$long" >"$SKILL_STORAGE/long"
  expect_outputs '{"operation": "search", "text": "a: b"}' "$(printf '{"matches": [{"path": "long", "line": 1, "text": "a: b:%s"}], "truncated": false}' "${long::395}")"
}

test_search_leaves_out_what_is_no_text_and_what_is_its_own() {
  printf 'milk\0' >"$SKILL_STORAGE/data"
  printf 'milk' >"$SKILL_STORAGE/.file-ops.left"
  expect_outputs '{"operation": "search", "text": "milk"}' '{"matches": [{"path": "notes/shopping.txt", "line": 1, "text": "milk"}], "truncated": false}'
}

test_search_needs_a_place_and_a_text() {
  expect_error '{"operation": "search", "text": "x", "path": "nothing"}' not-found 'there is no nothing'
  expect_error '{"operation": "search"}' missing-input 'search needs text'
}
