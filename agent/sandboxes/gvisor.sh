# Starts runsc in the namespaces that bubblewrap made for it, and ends as it does. Arguments: the pipe that carries descriptor 3 (or nothing),
# whose the secrets are, the container's name, and runsc with its options.
pipe=$1 owner=$2 name=$3
shift 3
if [ -d /secrets ]; then chown -R "$owner:$owner" /secrets; fi
if [ -n "$pipe" ]; then
    mkfifo -m 666 "$pipe"
    cat "$pipe" >&3 &
    relay=$!
fi
exec 5<&0 # what runs beside a shell has nothing to read unless it is told so by another number
trap '"$@" kill "$name" TERM' TERM
"$@" run --bundle /bundle "$name" <&5 3>&- 5>&- &
program=$!
while :; do
    wait "$program"
    code=$?
    kill -0 "$program" 2>/dev/null || break # a signal came in between
done
if [ -n "$pipe" ]; then
    : <>"$pipe" # so that the relay is at its end, also where the program never began
    wait "$relay"
fi
exit "$code"
