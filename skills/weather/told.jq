# The provider's two replies as our outputs. $weather and $forecast: each a list of one; $query: what was asked.
# Told in the local time of the place, and only with the fields that every reply has.

def tenths: . * 10 | round / 10;
def two: tostring | if length < 2 then "0" + . else . end;
def offset: (if . < 0 then "-" else "+" end) + (fabs / 60 | floor | "\(. / 60 | floor | two):\(. % 60 | two)");
def day($zone): . + $zone | todate | .[:10];
def time($zone): (. + $zone | todate | .[:-1]) + ($zone | offset);
def compass: ["N", "NE", "E", "SE", "S", "SW", "W", "NW"][((. % 360) + 22.5) / 45 | floor % 8];
def fallen($span): ((.rain // {})[$span] // 0) + ((.snow // {})[$span] // 0);
# The word that is said most often; the first of the alphabet where there are several.
def commonest: group_by(.) | sort_by(-length) | .[0][0];

def current($zone):
  {
    time: (.dt | time($zone)),
    description: .weather[0].description,
    temperature: (.main.temp | tenths),
    feels_like: (.main.feels_like | tenths),
    humidity: .main.humidity,
    pressure: .main.pressure,
    wind_speed: (.wind.speed | tenths),
    wind_from: (.wind.deg // 0 | compass),
    clouds: .clouds.all,
    rain: (fallen("1h") | tenths)
  }
  # Where the sun does not rise or set, the provider says 0.
  + if (.sys.sunrise // 0) > 0 then {sunrise: (.sys.sunrise | time($zone))} else {} end
  + if (.sys.sunset // 0) > 0 then {sunset: (.sys.sunset | time($zone))} else {} end;

def forecast($zone):
  group_by(.dt | day($zone))
  | map({
      date: (.[0].dt | day($zone)),
      weekday: (.[0].dt + $zone | strftime("%A")),
      description: ([.[].weather[0].description] | commonest),
      low: ([.[].main.temp_min] | min | tenths),
      high: ([.[].main.temp_max] | max | tenths),
      rain: ([.[] | fallen("3h")] | add | tenths),
      rain_chance: ([.[].pop // 0] | max * 100 | round),
      wind_speed: ([.[].wind.speed] | max | tenths)
    });

$weather[0] as $now
| ($now.timezone // 0) as $zone
| {
    place: {
      name: $now.name,
      country: ($now.sys.country // ""),
      latitude: $now.coord.lat,
      longitude: $now.coord.lon,
      utc_offset: ($zone | offset)
    },
    units: (if $query.units == "metric" then {temperature: "°C", wind_speed: "m/s"} else {temperature: "°F", wind_speed: "mph"} end),
    current: ($now | current($zone)),
    forecast: ($forecast[0].list | forecast($zone) | .[:$query.days])
  }
