#!/bin/sh
# Runs Valkey for store/embedded.py, and ends it when the server is gone.
#
# usage: keeper.sh FOLDER_OF_THE_SOCKET PROGRAM [ARGUMENT ...] < pipe
#
# The server holds the other end of the pipe, and nobody else does: however the server ends, the pipe ends with it.

sockets=$1
shift

trap '' INT HUP

(
    valkey=
    stopping=
    # More than once: a signal to a child that has not become Valkey yet is lost.
    stop() {
        stopping=yes
        while kill -TERM "$valkey"; do sleep 0.1; done 2>/dev/null &
    }
    trap stop TERM
    while :; do
        "$@" &
        valkey=$!
        # The trap may have run before it knew this number.
        if [ "$stopping" ]; then stop; fi
        wait "$valkey"
        status=$?
        # A signal to this shell ends a wait early.
        while kill -0 "$valkey" 2>/dev/null; do
            wait "$valkey"
            status=$?
        done
        # Above 128 a signal ended it: it was killed or it crashed. With anything else it gave up itself.
        if [ "$stopping" ] || [ "$status" -le 128 ]; then break; fi
        sleep 0.5
    done
    rm -rf -- "$sockets"
    # Whoever waits for the pipe to end need not any more.
    kill -TERM $$
) &
keeper=$!

end() {
    kill -TERM "$keeper" 2>/dev/null
    wait "$keeper"
    rm -rf -- "$sockets"
    exit 0
}
trap end TERM
read -r _
end
