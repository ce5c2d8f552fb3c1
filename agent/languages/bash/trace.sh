# Read first by every Bash of a traced run ($BASH_ENV): the place of each command that runs goes to descriptor 200.
if { : >&200; } 2>/dev/null; then
  BASH_XTRACEFD=200
  PS4='+	${BASH_SOURCE[0]-}	${LINENO}	'
  set -x
fi
