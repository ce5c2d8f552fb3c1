# shellcheck shell=bash
# In place of curl stands a function that answers from files and keeps what it was asked. What it is asked is what curl's manual says.

SKILL_SECRETS=$(mktemp --directory)
SKILL_TRIAL=$(mktemp --directory)
export SKILL_SECRETS SKILL_TRIAL WEATHER_API=https://weather.example.com/v1
printf 'k3y-of-trial\n' >"$SKILL_SECRETS/WEATHER_API_KEY"
printf '200' >"$SKILL_TRIAL/status"
cat tests/now.json >"$SKILL_TRIAL/weather"
cat tests/later.json >"$SKILL_TRIAL/forecast"

curl() {
  local output='' url=''
  printf '%s\n' "$@" >>"$SKILL_TRIAL/asked"
  cat >>"$SKILL_TRIAL/stdin"
  while (($# > 0)); do
    case $1 in
      --output) output=$2 ;;
      --url) url=$2 ;;
    esac
    shift
  done
  [[ ! -e $SKILL_TRIAL/down ]] || return 28
  cat "$SKILL_TRIAL/${url##*/}" >"$output"
  cat "$SKILL_TRIAL/status"
}
export -f curl

asked() { # TEXT…: curl's arguments were these, among others
  local text
  for text in "$@"; do
    grep --quiet --line-regexp --fixed-strings --regexp="$text" "$SKILL_TRIAL/asked" || return 1
  done
}

never_asked() { # TEXT: it is in none of curl's arguments
  [[ $(grep --count --fixed-strings --regexp="$1" "$SKILL_TRIAL/asked") == 0 ]]
}

test_tells_the_weather_and_the_forecast() {
  expect_outputs '{"place": "Vienna, AT", "days": 2}' '{
    "place": {"name": "Vienna", "country": "AT", "latitude": 48.21, "longitude": 16.37, "utc_offset": "+02:00"},
    "units": {"temperature": "°C", "wind_speed": "m/s"},
    "current": {"time": "2025-04-03T16:30:00+02:00", "description": "light rain", "temperature": 14.3, "feels_like": 13.8, "humidity": 71,
      "pressure": 1016, "wind_speed": 4.1, "wind_from": "NW", "clouds": 75, "rain": 0.4, "sunrise": "2025-04-03T06:32:00+02:00",
      "sunset": "2025-04-03T19:31:00+02:00"},
    "forecast": [
      {"date": "2025-04-03", "weekday": "Thursday", "description": "light rain", "low": 9.7, "high": 14.6, "rain": 2.6, "rain_chance": 80, "wind_speed": 5.2},
      {"date": "2025-04-04", "weekday": "Friday", "description": "clear sky", "low": 7.2, "high": 18.9, "rain": 0, "rain_chance": 10, "wind_speed": 3.3}]}'
  asked 'q=Vienna, AT' units=metric lang=en https://weather.example.com/v1/weather https://weather.example.com/v1/forecast
}

test_tells_three_days_unless_asked() {
  local days
  days=$(printf '{"place": "Vienna"}' | bash "$SKILL_ENTRYPOINT" | jq --compact-output '[.forecast[].date]')
  [[ $days == '["2025-04-03","2025-04-04","2025-04-05"]' ]]
}

test_does_not_ask_for_a_forecast_of_no_days() {
  local days
  days=$(printf '{"place": "Vienna", "days": 0}' | bash "$SKILL_ENTRYPOINT" | jq --compact-output .forecast)
  [[ $days == '[]' ]]
  [[ $(grep --count https: "$SKILL_TRIAL/asked") == 1 ]]
}

test_asks_by_coordinates_units_and_language() {
  local units
  units=$(printf '{"latitude": -33.9, "longitude": 151.2, "units": "imperial", "language": "pt_br", "days": 1}' | bash "$SKILL_ENTRYPOINT" | jq --compact-output .units)
  [[ $units == '{"temperature":"°F","wind_speed":"mph"}' ]]
  asked lat=-33.9 lon=151.2 units=imperial lang=pt_br
  never_asked 'q='
}

test_gives_the_key_through_stdin_and_only_over_tls() {
  printf '{"place": "Vienna", "days": 0}' | bash "$SKILL_ENTRYPOINT" >/dev/null
  [[ $(<"$SKILL_TRIAL/stdin") == 'data-urlencode = "appid=k3y-of-trial"' ]]
  never_asked k3y
  asked '=https' --config - --get --silent --data-urlencode --write-out '%{http_code}'
  [[ $(tr '\n' ' ' <"$SKILL_TRIAL/asked") == *'--connect-timeout 5 --max-time 10 --retry 1 --retry-delay 1 --max-filesize 1000000 '* ]]
}

test_tells_what_is_west_of_greenwich_and_has_no_sun() {
  local told
  jq '.timezone = -12600 | .sys = {} | .rain = null | .snow = {"1h": 1.25} | .wind = {speed: 0} | .main.temp = -3.04' tests/now.json >"$SKILL_TRIAL/weather"
  told=$(printf '{"place": "St. John'"'"'s", "days": 0}' | bash "$SKILL_ENTRYPOINT" |
    jq --compact-output '[.place.utc_offset, .place.country, .current.time, .current.rain, .current.wind_from, .current.temperature, .current.sunrise]')
  [[ $told == '["-03:30","","2025-04-03T11:00:00-03:30",1.3,"N",-3,null]' ]]
}

test_names_the_wind() {
  local pair told
  for pair in 22:N 23:NE 135:SE 337:NW 338:N 360:N; do
    jq ".wind.deg = ${pair%:*}" tests/now.json >"$SKILL_TRIAL/weather"
    told=$(printf '{"place": "Vienna", "days": 0}' | bash "$SKILL_ENTRYPOINT" | jq --raw-output .current.wind_from)
    [[ $told == "${pair#*:}" ]]
  done
}

test_says_what_the_service_refuses() {
  local pair
  for pair in 401:refused-key 404:place-not-found 429:rate-limited 500:provider-error 302:provider-error; do
    printf '%s' "${pair%:*}" >"$SKILL_TRIAL/status"
    expect_error '{"place": "Vienna"}' "${pair#*:}"
  done
  expect_error '{"place": "Vienna"}' provider-error 'the weather service answered with status 302'
}

test_says_when_the_service_is_out_of_reach() {
  : >"$SKILL_TRIAL/down"
  expect_error '{"place": "Vienna"}' unreachable "the weather service could not be reached (curl's status 28): try again later"
}

test_says_when_the_reply_is_no_weather() {
  local message='the weather service sent what cannot be read'
  printf '<html>' >"$SKILL_TRIAL/weather"
  expect_error '{"place": "Vienna"}' provider-error "$message"
  printf '[]' >"$SKILL_TRIAL/weather"
  expect_error '{"place": "Vienna"}' provider-error "$message"
  printf '{}' >"$SKILL_TRIAL/weather"
  expect_error '{"place": "Vienna"}' provider-error "$message"
}

test_needs_a_key_in_the_vault() {
  printf 'a key"\nurl = "x' >"$SKILL_SECRETS/WEATHER_API_KEY"
  expect_error '{"place": "Vienna"}' bad-key 'WEATHER_API_KEY in the vault is no key: letters and digits alone'
  rm "$SKILL_SECRETS/WEATHER_API_KEY"
  expect_error '{"place": "Vienna"}' no-key 'the vault holds no WEATHER_API_KEY: set it with `skillops secret set WEATHER_API_KEY`'
  SKILL_SECRETS='' expect_error '{"place": "Vienna"}' no-key
}

test_refuses_what_names_no_place() {
  expect_error '{}' invalid-inputs 'a place is needed, or latitude and longitude'
  expect_error '[]' invalid-inputs 'the inputs are one object'
  expect_error '{"latitude": 1}' invalid-inputs 'a place is needed, or latitude and longitude'
  expect_error '{"place": "Vienna", "latitude": 1}' invalid-inputs 'place, or latitude and longitude, but not both'
  expect_error '{"place": "Vienna", "longitude": 1}' invalid-inputs 'place, or latitude and longitude, but not both'
  expect_error '{"place": ""}' invalid-inputs 'place is a name of at most 200 letters'
  expect_error '{"place": "a\nb"}' invalid-inputs 'place is a name of at most 200 letters'
  expect_error '{"latitude": 91, "longitude": 0}' invalid-inputs 'latitude is a number from -90 to 90, longitude one from -180 to 180'
  expect_error '{"latitude": 0, "longitude": -181}' invalid-inputs
  expect_error '{"latitude": "0", "longitude": 0}' invalid-inputs
}

test_refuses_other_units_days_and_languages() {
  expect_error '{"place": "Vienna", "units": "kelvin"}' invalid-inputs 'units is metric or imperial'
  expect_error '{"place": "Vienna", "days": 6}' invalid-inputs 'days is a whole number from 0 to 5'
  expect_error '{"place": "Vienna", "days": 1.5}' invalid-inputs
  expect_error '{"place": "Vienna", "language": "english"}' invalid-inputs 'language is like en or pt_br'
}
