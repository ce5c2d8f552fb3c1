# Runs the program of a sandbox in its container, and says how it ended. Arguments: a mark, the file that takes descriptor 3
# (or nothing), how many bytes of that are wanted, and the program. Behind the mark on stderr: exit code and size, a line; the result.
mark=$1 result=$2 most=$3
shift 3
if [ ! -f "$1" ] || [ ! -x "$1" ]; then
    echo "$1: there is no such program" >&2
    printf '\n%s\n' "$mark "
    printf '\n%s none 0\n' "$mark" >&2
    exec /bin/sleep 30
fi
exec 7>&2 2>/dev/null # so that the shell's own words ("Killed") are not the program's
if [ -n "$result" ]; then
    "$@" 2>&7 3>"$result" 7>&-
else
    "$@" 2>&7 7>&-
fi
code=$?
kill -9 -1 # whatever is left of it but ourselves
size=0
if [ -s "$result" ]; then
    size=$(($(/usr/bin/stat -c %s "$result")))
    if [ "$size" -gt "$most" ]; then size=$most; fi
fi
printf '\n%s\n' "$mark "
printf '\n%s %s %s\n' "$mark" "$code" "$size" >&7
if [ "$size" -gt 0 ]; then /usr/bin/head -c "$size" "$result" >&7; fi
exec /bin/sleep 30 # we are read, looked at and ended
