#!/bin/sh
# Starts Redis in its container, after making what is missing in .env.secrets.  Every service waits
# for Redis, so all of them find the secrets.  `denzel` makes them before it starts anything; here
# it is done where there is no denzel: a clone, started by `docker compose up -d`.
# In a Swarm and in Kubernetes the project is not here, and the secrets are files in /run/secrets.
set -eu
project=/opt/denzel/project
secrets=$project/.env.secrets

# Print the last value of a setting in a file; as python-dotenv reads it, for what is written here.
value() {
    [ -f "$2" ] || return 0
    sed -n "s/^ *\(export \)\{0,1\}$1 *= *//p" "$2" | tail -n 1 | tr -d '\r' \
        | sed -e "s/^'\([^']*\)'.*/\1/" -e t -e 's/^"\([^"]*\)".*/\1/' -e t \
            -e 's/[[:space:]]\{1,\}#.*//' -e 's/[[:space:]]*$//'
}

# Print the value in /run/secrets, in .env, or else in .env.secrets.
setting() {
    [ ! -f "/run/secrets/$1" ] || { cat "/run/secrets/$1"; return; }
    found=$(value "$1" "$project/.env")
    [ -n "$found" ] && printf %s "$found" || value "$1" "$secrets"
}

random() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }

made=
make() {
    [ -z "$(setting "$1")" ] || return 0
    made="$made $1"
    printf '%s=%s\n' "$1" "$2" >> "$new"
}

umask 077
new=$secrets.new
if [ ! -d "$project" ]; then
    :  # what is missing was made when the project was exported
elif { [ ! -f "$secrets" ] || cat "$secrets"; } > "$new" 2> /dev/null; then
    [ ! -s "$new" ] || [ -z "$(tail -c 1 "$new")" ] || echo >> "$new"
    [ -n "$(setting REDIS_URL)" ] || make REDIS_PASSWORD "$(random | tr '+/' '_-' | tr -d '=')"
    make CALLBACK_SECRET "whsec_$(random)"
    [ -z "${MONITOR_USER:-}" ] || make MONITOR_PASSWORD "$(random | tr '+/' '_-' | tr -d '=')"
    if [ -n "$made" ]; then
        chown "$(stat -c %u:%g "$project")" "$new" || true
        mv "$new" "$secrets"
        echo "Missing in .env.secrets and made anew:$made"
        case $made in
            *CALLBACK_SECRET*) echo "Receivers of callbacks that check signatures need the new CALLBACK_SECRET" ;;
        esac
    else
        rm "$new"
    fi
else
    echo ".env.secrets could not be written: what is missing in it is not made"
fi

# Services that run from an image get each secret in a file of its own (docker-compose.image.yml),
# which any user may read in there, and here none who may not enter .denzel.
if [ -n "${SECRET_FILES:-}" ]; then
    files=$project/$SECRET_FILES
    mkdir -p "$files"
    chmod 0700 "$project/.denzel"
    chmod 0755 "$files"
    for name in $(sed -n 's/^ *\(export \)\{0,1\}\([A-Za-z_][A-Za-z0-9_]*\) *=.*/\2/p' "$secrets"); do
        case $name in PIP_*) continue ;; esac
        printf %s "$(value "$name" "$secrets")" > "$files/.new"
        chmod 0444 "$files/.new"
        mv "$files/.new" "$files/$name"
        [ -s "$files/$name" ] || rm "$files/$name"
    done
    chown -R "$(stat -c %u:%g "$project")" "$project/.denzel" || true
fi

# Where only root finds it: for the health check.
setting REDIS_PASSWORD > /opt/denzel/password
quoted=$(sed 's/[\\"]/\\&/g' /opt/denzel/password)
umask 022

# Zero bytes at the end of its file, as a power failure may leave them, keep Redis from starting; it
# had confirmed nothing that stands there, so they are cut off.
name=$(sed -n 's/^file \([^ ]*\) .*type i.*/\1/p' appendonlydir/*.manifest 2> /dev/null | tail -n 1)
file=appendonlydir/$name
if [ -n "$name" ] && [ -s "$file" ] && [ "$(tail -c 1 "$file" | tr -dc '\000' | wc -c)" -eq 1 ]; then
    good=$(redis-check-aof "$file" | sed -n 's/.*ok_up_to=\([0-9]*\).*/\1/p')
    if [ -n "$good" ] && [ -z "$(tail -c +$((good + 1)) "$file" | tr -d '\000' | head -c 1)" ]; then
        echo "$file ended in zero bytes, as after a power failure: from byte $good on they were cut off"
        truncate -s "$good" "$file"
    fi
fi

# The images of Redis's makers drop privileges by themselves; any other does not.
drop="setpriv --reuid redis --regid redis --clear-groups"
if $drop true 2> /dev/null; then
    find . ! -user redis -exec chown redis:redis {} +
else
    drop=
fi

# Nothing is ever evicted: it could be a request.  The password goes in where no list of processes
# shows it.
exec $drop docker-entrypoint.sh redis-server - <<END
appendonly yes
appendfsync $REDIS_FSYNC
save ""
maxmemory $REDIS_MAX_MEMORY
maxmemory-policy noeviction
requirepass "$quoted"
END
