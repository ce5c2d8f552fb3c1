#!/usr/bin/env bash
# The weather of a place, as OpenWeatherMap tells it (openweathermap.org/current and /forecast5).
set -euo pipefail
export LC_ALL=C.UTF-8

here=$(dirname "$0")
readonly SECONDS_EACH=10 MAX_REPLY=1000000

fail() { # CODE MESSAGE
  jq --null-input --compact-output --arg code "$1" --arg message "$2" '{code: $code, message: $message}' >&2
  exit 1
}

# The query of where, as curl's options; each on a line of its own.
readonly QUERY='
  def fault($why): {fault: $why};
  if type != "object" then fault("the inputs are one object")
  elif has("place") and (has("latitude") or has("longitude")) then fault("place, or latitude and longitude, but not both")
  elif has("place") then
    (.place | tostring) as $place
    | if $place | test("^[^\\x00-\\x1f]{1,200}$") then {where: ["q=\($place)"]} else fault("place is a name of at most 200 letters") end
  elif has("latitude") and has("longitude") then
    if ([.latitude, .longitude] | all(type == "number")) and (.latitude | fabs) <= 90 and (.longitude | fabs) <= 180
    then {where: ["lat=\(.latitude)", "lon=\(.longitude)"]}
    else fault("latitude is a number from -90 to 90, longitude one from -180 to 180") end
  else fault("a place is needed, or latitude and longitude") end
  | .units = ($inputs.units // "metric") | .days = ($inputs.days // 3) | .language = ($inputs.language // "en")
  | if .fault then .
    elif ([.units] | inside(["metric", "imperial"]) | not) then fault("units is metric or imperial")
    elif ([.days] | inside([0, 1, 2, 3, 4, 5]) | not) then fault("days is a whole number from 0 to 5")
    elif (.language | tostring | test("^[a-z]{2}(_[a-z]{2})?$") | not) then fault("language is like en or pt_br")
    else . end'

secret() {
  local file=${SKILL_SECRETS:-}/WEATHER_API_KEY value
  [[ -n ${SKILL_SECRETS:-} && -r $file ]] || fail no-key 'the vault holds no WEATHER_API_KEY: set it with `skillops secret set WEATHER_API_KEY`'
  value=$(<"$file")
  [[ $value =~ ^[A-Za-z0-9_-]{1,200}$ ]] || fail bad-key 'WEATHER_API_KEY in the vault is no key: letters and digits alone'
  printf '%s' "$value"
}

# Asks the provider for one thing; the reply is in FILE.
ask() { # WHAT KEY FILE OPTIONS…
  local what=$1 key=$2 file=$3 status
  shift 3
  # The key goes through stdin: options can be read by whoever lists processes.
  status=$(printf 'data-urlencode = "appid=%s"\n' "$key" |
    curl --config - --get --silent --proto =https --connect-timeout 5 --max-time "$SECONDS_EACH" --retry 1 --retry-delay 1 --max-filesize "$MAX_REPLY" \
      --output "$file" --write-out '%{http_code}' "$@" --url "$WEATHER_API/$what") ||
    fail unreachable "the weather service could not be reached (curl's status $?): try again later"
  case $status in
    200) ;; # whether it is weather shows when it is read
    401) fail refused-key 'the weather service refuses the WEATHER_API_KEY of the vault: a new key works after about an hour' ;;
    404) fail place-not-found 'the weather service knows no such place: try another spelling, add the country, or give coordinates' ;;
    429) fail rate-limited 'the weather service has had too many calls with this key: try again later' ;;
    *) fail provider-error "the weather service answered with status $status" ;;
  esac
}

execute() { # WORK
  local work=$1 query part key days
  local -a lines options=()
  query=$(jq --compact-output "(if type == \"object\" then . else {} end) as \$inputs | $QUERY" "$work/inputs")
  mapfile -t lines <<<"$(jq --raw-output '.fault // "", .days, (.where // [] | .[]), "units=\(.units)", "lang=\(.language)"' <<<"$query")"
  [[ -z ${lines[0]} ]] || fail invalid-inputs "${lines[0]}"
  days=${lines[1]}
  for part in "${lines[@]:2}"; do
    options+=(--data-urlencode "$part")
  done
  key=$(secret)
  printf '{"list": []}' >"$work/forecast"
  ask weather "$key" "$work/weather" "${options[@]}"
  if ((days > 0)); then
    ask forecast "$key" "$work/forecast" "${options[@]}"
  fi
  jq --null-input --compact-output --slurpfile weather "$work/weather" --slurpfile forecast "$work/forecast" --argjson query "$query" \
    --from-file "$here/told.jq" 2>/dev/null || fail provider-error 'the weather service sent what cannot be read'
}

scratch=$(mktemp --directory)
trap 'rm --recursive --force "$scratch"' EXIT
cat >"$scratch/inputs"
execute "$scratch"
